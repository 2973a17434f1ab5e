"""What the AudioSep models share once their queries are conditions: from mixture to estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sepbench.baselines.audiosep.chunks import separate_in_windows
from sepbench.baselines.audiosep.layout import build_network
from sepbench.harness.errors import BaselineLoadError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.audiosep.network_inference import InferenceNetwork

# B batch, C channels, N samples, D = 512

SAMPLE_RATE = 32_000
MIN_SAMPLES = 1025  # the STFT reflects 1024 at both ends

Chunking: TypeAlias = Literal["harness", "original", "whole"]
# The setting's words as the card's.
CARD_CHUNKING: Mapping[Chunking, Literal["harness", "own", "none"]] = {
    "harness": "harness",
    "original": "own",
    "whole": "none",
}
# Windows of 5 s a call holds: two take the memory of one clip of 10 s.
_AT_ONCE = {"cpu": 2}
_AT_ONCE_ELSEWHERE = 16


def checked_chunking(baseline: str, chunking: object) -> Chunking:
    """The setting `chunking`.

    Raises:
        SettingError: none of harness, original and whole.
    """
    for known in get_args(Chunking):
        if chunking == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the literals' type
    raise SettingError(
        f"Baseline {baseline}: chunking={chunking!r} is not possible. "
        "Give harness, original or whole."
    )


def load_network(state: Mapping[str, Tensor], device: str, *, what: str) -> InferenceNetwork:
    """The separator for use, on the device.

    Raises:
        CheckpointError: the tensors are another network's.
    """
    from sepbench.baselines.audiosep.network_inference import InferenceNetwork

    return InferenceNetwork(build_network(state, what=what)).to(device)


def separate_batch(
    network: InferenceNetwork | None,
    mixture: Tensor,
    condition: Tensor,
    *,
    chunking: Chunking,
    baseline: str,
) -> Tensor:
    """Estimates for a batch, (B, C, N), (B, D) -> (B, C, N) float32; channels one by one.

    Args:
        network: as loaded.
        mixture: at 32 kHz, N at least 1025.
        condition: (B, D).
        chunking: "original" cuts here; with the others all of the signal is separated at once.
        baseline: for messages.

    Raises:
        BaselineLoadError: not loaded.
    """
    import torch

    if network is None:
        raise BaselineLoadError(f"Baseline {baseline} is not loaded. Call load(device) first.")
    with torch.inference_mode():
        shifts = network.shifts(condition.to(mixture.device))
        estimates = []
        for channel in mixture.unbind(1):  # (B, N)
            if chunking == "original":
                at_once = _AT_ONCE.get(mixture.device.type, _AT_ONCE_ELSEWHERE)
                estimate = separate_in_windows(
                    network, channel, shifts, sample_rate=SAMPLE_RATE, at_once=at_once
                )
            elif channel.device.type == "cpu":
                # Nothing is gained by a batch here, and one item fits the caches better.
                rows = [[shift[row : row + 1] for shift in shifts] for row in range(len(channel))]
                estimate = torch.cat(
                    [network(channel[row : row + 1], each) for row, each in enumerate(rows)]
                )
            else:
                estimate = network(channel, shifts)
            estimates.append(estimate)
        stacked = torch.stack(estimates, dim=1)
    return stacked.clone()  # outside of the mode: a tensor like any other
