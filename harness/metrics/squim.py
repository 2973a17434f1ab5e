"""SQUIM: STOI, PESQ and SI-SDR of speech guessed from the estimate alone, by torchaudio's network.

No reference is looked at; the network was trained on the DNS 2020 noises, so other material is
outside what it knows. Weights (28 MB, CC BY 4.0) are read from torch's cache and never downloaded
here. One forward pass gives all three ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from sepbench.harness.api import MetricCard, Samples, Undefined, Value
from sepbench.harness.errors import MissingNetworkError, UndefinedScoreError
from sepbench.harness.metrics.contract import ScoredScene, as_value
from sepbench.harness.metrics.refusals import refuse_silence
from sepbench.harness.metrics.signals import to_float64

RATE = 16000
"""Hz the network was trained at."""

SHORTEST = 71 * 32 + 32
"""Samples at 16 kHz that fill one of the network's chunks: 71 frames of 64 samples, hop 32."""

WEIGHTS = "squim_objective_dns2020.pth"


@dataclass(frozen=True)
class Squim:
    """The family squim_stoi, squim_pesq, squim_si_sdr, in the order of the network's outputs."""

    cards: tuple[MetricCard, ...]

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of every item; see `MetricFamily.score`.

        Raises:
            MissingNetworkError: as `require`.
        """
        network = self.require(wanted)
        rows: list[Mapping[str, Value]] = []
        for item in scene.items:
            try:
                values: Sequence[Value] = [
                    as_value(number) for number in _guess(network, item.estimate, scene.sample_rate)
                ]
            except UndefinedScoreError as error:
                values = [Undefined(cause=error.cause, reason=error.reason)] * len(self.cards)
            named = zip((card.metric_id for card in self.cards), values, strict=True)
            rows.append({name: value for name, value in named if name in wanted})
        return rows

    def require(self, wanted: frozenset[str]) -> Any:
        """The network, from weights on disk.

        Raises:
            MissingNetworkError: they are not there, or cannot be used.
        """
        path = weights_path()
        if not path.is_file():
            raise MissingNetworkError(
                f"{', '.join(sorted(wanted)) or 'SQUIM'} needs torchaudio's weights {WEIGHTS}, "
                f"which are not at {path}. Fetch them once where there is a network, with "
                'python -c "from torchaudio.pipelines import SQUIM_OBJECTIVE as s; s.get_model()" '
                "and copy the file there, or leave the metric out."
            )
        return _network(path)


def weights_path() -> Path:
    """Where torchaudio keeps the weights: under torch.hub's folder (TORCH_HOME moves it)."""
    import torch

    return Path(torch.hub.get_dir()) / "torchaudio" / "models" / WEIGHTS


@lru_cache(maxsize=1)
def _network(path: Path) -> Any:
    """The network with its weights, on the CPU."""
    import torch
    from torchaudio.models import squim_objective_base

    network = squim_objective_base()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises half a dozen kinds for a file that is not one
        raise MissingNetworkError(
            f"The SQUIM weights at {path} cannot be used ({type(error).__name__}). Delete the file "
            "and fetch it again."
        ) from error
    return network.eval()


def _guess(network: Any, estimate: Samples, sample_rate: int) -> list[float]:
    """STOI, PESQ, SI-SDR of an estimate (C, N).

    Raises:
        UndefinedScoreError: it is mute, not finite, or too short.
    """
    import torch

    mono = to_float64(estimate).mean(axis=0)
    refuse_silence(mono, "estimate")
    if sample_rate != RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, RATE, quality="HQ")
    if len(mono) < SHORTEST:
        raise UndefinedScoreError(
            "reference", f"too short: {len(mono)} samples at 16 kHz, SQUIM needs {SHORTEST}"
        )
    # The network divides by the level in float32; made 1 here, no level can overflow or vanish.
    mono = mono / np.sqrt(np.mean((mono / np.abs(mono).max()) ** 2)) / np.abs(mono).max()
    with torch.inference_mode():
        outputs = network(torch.from_numpy(mono.astype(np.float32))[None])
    return [float(output.item()) for output in outputs]


_card = partial(
    MetricCard,
    version=1,
    parameters={
        "weights": WEIGHTS,
        "sample_rate": RATE,
        "resampling": "soxr HQ where the scene's rate differs",
        "channels": "mean",
        "min_seconds": SHORTEST / RATE,
        "precision": "float32",
    },
    silence="undefined for a mute estimate; the reference is not looked at",
    formula="a network's guess from the estimate alone",
    source="Kumar et al., TorchAudio-Squim, ICASSP 2023; torchaudio.pipelines.SQUIM_OBJECTIVE",
)

SQUIM = Squim(
    cards=(
        _card(metric_id="squim_stoi", title="SQUIM STOI", unit="", range="[0, 1]"),
        _card(metric_id="squim_pesq", title="SQUIM PESQ", unit="MOS", range="[1, 4.64]"),
        _card(metric_id="squim_si_sdr", title="SQUIM SI-SDR"),
    )
)
