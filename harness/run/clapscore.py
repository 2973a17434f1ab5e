"""CLAPScore with the CLAP that is installed: metrics may not import encoders, so it is joined here.

The weights "clap" are used, else those inside an installed "audiosep-clap" (the same CLAP under
other names in the file). They are loaded at the first score; a file without a record is read
once before, for its sum. Without weights the metric has its card and refuses when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.weights import installed, known_sha256
from sepbench.harness.api import Samples
from sepbench.harness.identity import file_sha256
from sepbench.harness.metrics.clap import ClapScore, clap_score_family
from sepbench.harness.run.catalogs import ENCODERS

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = ("clap", "audiosep-clap")


class InstalledClap:
    """Text and audio tower of one checkpoint, each loaded when it is first asked.

    Args:
        checkpoint: holds both.
        text: encoder that reads its text tower.
        audio: encoder that reads its audio tower.

    Attributes:
        identity, sample_rate, crop: as `ClapEncoder` says.
    """

    def __init__(
        self, checkpoint: Path, *, text: str = "clap-text", audio: str = "clap-audio"
    ) -> None:
        sha256 = known_sha256(checkpoint) or file_sha256(checkpoint)
        self.identity = f"{checkpoint.name} sha256:{sha256[:16]}"
        self._text = ENCODERS.load(text)(checkpoint=str(checkpoint))
        self._audio = ENCODERS.load(audio)(checkpoint=str(checkpoint))
        self.sample_rate: int = self._audio.card.sample_rate
        self.crop: str = self._audio.card.crop
        self._loaded: set[int] = set()

    def encode_text(self, texts: Sequence[str]) -> Any:
        """Embeddings (B, D) of texts."""
        return self._ready(self._text).encode_text(texts).numpy()

    def encode_audio(self, waveforms: Samples) -> Any:
        """Embeddings (B, D) of mono waveforms (B, N)."""
        import torch

        clips: list[Tensor] = list(torch.from_numpy(waveforms))
        return self._ready(self._audio).encode_audio(clips).numpy()

    def _ready(self, encoder: Any) -> Any:
        if id(encoder) not in self._loaded:
            encoder.load("cpu")
            self._loaded.add(id(encoder))
        return encoder


def _family() -> ClapScore:
    found = next((there for name in WEIGHTS if (there := installed(name)) is not None), None)
    return clap_score_family(None if found is None else InstalledClap(found.path))


CLAP_SCORE = _family()
