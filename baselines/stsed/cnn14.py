"""ST-SED's separator asked through CNN14: the paper's ablation of its own detector.

CNN14's embedding stands in the detector's place, in training and as the query: the mean over the
loud 2-s segments of a clip, then over clips. A separator understands the vectors it was trained
with alone, and none of this kind is public; `bench train stsed network.detector=cnn14` makes one.

Differences from the paper: it does not say at which point of CNN14 the 2048 numbers are taken;
here they are CNN14's published embedding. Its variant of 527 numbers is not here.

Source: Chen et al., AAAI 2022, rows "2048-d PANN-SEP"; Kong et al., IEEE/ACM TASLP 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sepbench.baselines.checks import number, whole_number
from sepbench.baselines.encoders.cnn14 import Cnn14
from sepbench.baselines.stsed.adapter import StSed
from sepbench.baselines.stsed.latent import THRESHOLD, checked, clip_means, loud_segments
from sepbench.baselines.stsed.layout import holds_detector
from sepbench.harness.errors import CheckpointError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B clips, N samples, S segments, D = 2048


class Cnn14Segments(Cnn14):
    """CNN14 on the segments that ST-SED is queried with, instead of whole clips.

    Args:
        checkpoint: as `Cnn14`.
        threshold: sum of squared samples that a 2-s segment must exceed to count.
        at_once: segments in one pass of the network; bounds the memory, changes no number.
    """

    card = replace(
        Cnn14.card,
        crop="mean over whole 2-s segments, without those of less than -58 dB of full scale and "
        "without the tail; zeros after a clip under 1 s",
    )

    def __init__(
        self, checkpoint: str | None = None, *, threshold: float = THRESHOLD, at_once: int = 4
    ) -> None:
        super().__init__(checkpoint)
        self.threshold = number(self.card.name, "threshold", threshold, low=0.0, high=1e6)
        self.at_once = whole_number(self.card.name, "at_once", at_once, low=1, high=1024)

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 2048), none negative, of mono clips (N,) at 32 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that cannot be heard, or without a segment that is loud enough.
        """
        import torch

        segments = [self._segments(clip, index) for index, clip in enumerate(clips)]
        embed = super().encode_audio
        means = clip_means(lambda batch: embed(list(batch)), segments, at_once=self.at_once)
        return torch.stack(means) if means else torch.zeros(0, self.card.dimension)

    def _segments(self, clip: Tensor, index: int) -> Tensor:
        """(S, 64000), S ≥ 1."""
        what = f"Encoder {self.card.name}: clip {index}"
        segments = loud_segments(checked(clip, what), self.threshold)
        if not len(segments):
            raise QueryError(
                f"{what} has no 2-s segment louder than the threshold (sum of squares "
                f"{self.threshold:g}). Give a clip in which something sounds."
            )
        return segments


class StSedCnn14(StSed):
    """The separator, trained with CNN14's vectors. Bring your own weights.

    Args:
        checkpoint: the separator, in the layout of the published ones; None for an installed
            "stsed-cnn14".
        sed_checkpoint: `Cnn14_mAP=0.431.pth`; None for the installed "cnn14".
        overlap: as `StSed`; likewise `threshold` and `at_once`.
    """

    card = replace(
        StSed.card,
        name="stsed-cnn14",
        summary="ST-SED's separator asked through CNN14, the paper's ablation. No public weights: "
        "bench train stsed network.detector=cnn14",
        licence="of CNN14's weights: see their record (Zenodo 3987831)",
    )
    weights: Mapping[str, str] = {"checkpoint": "stsed-cnn14", "sed_checkpoint": "cnn14"}

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        sed_checkpoint: str | None = None,
        overlap: bool = False,
        threshold: float = THRESHOLD,
        at_once: int = 4,
    ) -> None:
        super().__init__(
            checkpoint=checkpoint,
            sed_checkpoint=sed_checkpoint,
            overlap=overlap,
            threshold=threshold,
            at_once=at_once,
        )
        self.audio_encoder = Cnn14Segments(
            sed_checkpoint, threshold=self.threshold, at_once=self.at_once
        )

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """As `StSed.load_state`.

        Raises:
            CheckpointError: as there, or a separator with the HTS-AT it was trained with.
        """
        if holds_detector(state):
            raise CheckpointError(
                f"{what} was trained with the HTS-AT it holds, and CNN14's embeddings would mean "
                "nothing to it. Use stsed for it."
            )
        super().load_state(state, device, what=what)
