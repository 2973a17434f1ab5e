"""From clips of any lengths to batches of equal ones, and back to one row a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.weights import find_weights
from sepbench.harness.errors import BaselineLoadError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B clips, N samples, D embedding


def checkpoint_path(checkpoint: str | Path | None, name: str) -> Path:
    """The file that was given, else the installed one.

    Raises:
        MissingWeightsError: none given and none installed.
    """
    return Path(checkpoint) if checkpoint else find_weights(name)


def loaded(network: Any, name: str) -> Any:
    """The network, once it is there.

    Raises:
        BaselineLoadError: `load` has not been called.
    """
    if network is None:
        raise BaselineLoadError(f"Encoder {name} is not loaded. Call load(device) first.")
    return network


def pad_to(clip: Tensor, samples: int) -> Tensor:
    """A clip (N,) with zeros at its end where it is shorter than `samples`."""
    from torch.nn.functional import pad

    return pad(clip, (0, max(0, samples - clip.shape[0])))


def encode_equal(
    clips: Sequence[Tensor],
    *,
    name: str,
    dimension: int,
    device: str,
    prepare: Callable[[Tensor], Tensor],
    embed: Callable[[Tensor], Tensor],
    at_once: int,
) -> Tensor:
    """Embeddings of clips, those that come out of `prepare` in one shape together.

    Nothing is padded to the longest of a batch: the encoders hear padding.

    Args:
        clips: B mono signals (N,), N ≥ 1, any lengths.
        name: of the encoder, for messages.
        dimension: D.
        device: where the work is done.
        prepare: from (N,) float32 on the device to what the network takes, without batch axis.
        embed: from a batch of these to (b, D).
        at_once: how many numbers a batch may hold; a clip that has more goes alone.

    Returns:
        (B, D) float32 on the device, rows in the order of the clips.

    Raises:
        QueryError: a clip that is empty, not (N,), or not finite.
    """
    import torch

    rows = torch.empty(len(clips), dimension, device=device)
    groups: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
    with torch.no_grad():
        for index, clip in enumerate(clips):
            _check(clip, name, index)
            prepared = prepare(clip.to(device, torch.float32))
            groups.setdefault(tuple(prepared.shape), []).append((index, prepared))
        for group in groups.values():
            size = max(1, at_once // max(1, group[0][1].numel()))
            for start in range(0, len(group), size):
                indexes, ready = zip(*group[start : start + size], strict=True)
                rows[list(indexes)] = embed(torch.stack(ready)).float()
    return rows


def _check(clip: Tensor, name: str, index: int) -> None:
    where = f"Encoder {name}: clip {index}"
    if clip.ndim != 1:
        raise QueryError(f"{where} has the shape {tuple(clip.shape)}; give mono audio, (N,).")
    if not clip.shape[0]:
        raise QueryError(f"{where} is empty. Leave it out of the query.")
    if not clip.isfinite().all():
        raise QueryError(f"{where} holds NaN or infinite samples. Leave it out of the query.")
