"""ST-SED's sound event detector as a query encoder, "htsat": its latent, and what it hears.

Besides embeddings it answers which of AudioSet's classes sound in a clip (`clipwise`) and where
(`locate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.checks import number, whole_number
from sepbench.baselines.encoders.clips import checkpoint_path, loaded
from sepbench.baselines.stsed.classes import audioset_names
from sepbench.baselines.stsed.latent import THRESHOLD, checked, clip_means, loud_segments
from sepbench.baselines.stsed.layout import detector_of, read_state
from sepbench.baselines.stsed.sizes import CLIP, LONGEST_CLIP, SAMPLE_RATE
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.stsed.localise import Segment
    from sepbench.baselines.stsed.network_sed import Detection, SoundEventDetector

# B batch, N samples, D = 2048, E = 527 event classes

DIMENSION = 2048


class HtsatLatent:
    """Embeddings of sounds: what ST-SED's separator is queried with.

    Args:
        checkpoint: htsat_audioset_2048d.ckpt; None for the installed "htsat".
        threshold: sum of squared samples that a 2-s segment must exceed to count.
        at_once: segments in one pass of the network; bounds the memory, changes no number.
    """

    card = EncoderCard(
        name="htsat",
        kind="audio",
        dimension=DIMENSION,
        sample_rate=SAMPLE_RATE,
        crop="mean over whole 2-s segments, without those of less than -58 dB of full scale and "
        "without the tail; a clip under 2 s is repeated to fill the detector's window",
        summary="latent of HTS-AT, ST-SED's sound event detector trained on AudioSet",
        licence="none stated for the weights",
        paper="Chen et al., HTS-AT, ICASSP 2022; latent of AAAI 2022 (arXiv 2112.07891)",
        verified="official code (3a4e363) with filled weights: latents 1e-6",
    )
    weights: Mapping[str, str] = {"checkpoint": "htsat"}

    def __init__(
        self, *, checkpoint: str | None = None, threshold: float = THRESHOLD, at_once: int = 4
    ) -> None:
        name = self.card.name
        self.checkpoint = checkpoint
        self.threshold = number(name, "threshold", threshold, low=0.0, high=1e6)
        self.at_once = whole_number(name, "at_once", at_once, low=1, high=1024)
        self._detector: SoundEventDetector | None = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the checkpoint and put the detector on the device.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: the file is damaged, unsafe or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        self.load_state(read_state(path), device, what=path.name)

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors that were read already, with any of the prefixes a file may have.

        Args:
            state: name -> tensor.
            device: where the detector runs.
            what: names the tensors' origin in messages.

        Raises:
            CheckpointError: no detector, or one of another layout.
        """
        self._detector, self._device = detector_of(state, what).to(device), device

    @property
    def detector(self) -> SoundEventDetector:
        """The loaded network; answers with events over time too.

        Raises:
            BaselineLoadError: before `load`.
        """
        detector: SoundEventDetector = loaded(self._detector, self.card.name)
        return detector

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 2048) of mono clips (N,) at 32 kHz, any lengths from 16 ms.

        Raises:
            QueryError: a clip that is not mono, too short, with NaN or infinite samples, or
                without a segment that is loud enough.
        """
        import torch

        detector = self.detector
        segments = [self._segments(clip, index) for index, clip in enumerate(clips)]
        if not segments:
            return torch.zeros(0, DIMENSION)
        with torch.inference_mode():
            found = torch.stack(clip_means(detector.latent, segments, at_once=self.at_once))
        return found.clone()  # outside of the mode, so that training can use it

    def detect(self, clips: Tensor) -> Detection:
        """Latent and events of whole clips (B, N) at 32 kHz, up to 10.24 s, without cutting.

        Raises:
            QueryError: too short or too long.
        """
        import torch

        with torch.inference_mode():
            found: Detection = self.detector(clips.to(self._device))
        return found

    @property
    def class_names(self) -> tuple[str, ...]:
        """AudioSet's display names of the E classes, in the order of `clipwise`."""
        return audioset_names()

    def clipwise(self, clips: Sequence[Tensor]) -> Tensor:
        """Probabilities (B, E) that a class sounds in mono clips (N,) at 32 kHz, from 16 ms on.

        A clip over 10.24 s is heard in equal pieces of up to 10 s, and their probabilities are
        averaged, as the original averages its windows of a long clip. Silence has an answer too.

        Raises:
            QueryError: a clip that is not mono, too short, or with NaN or infinite samples.
        """
        import torch

        detector = self.detector
        pieces = [self._pieces(clip, index) for index, clip in enumerate(clips)]
        if not pieces:
            return torch.zeros(0, len(self.class_names))

        def probabilities(batch: Tensor) -> Tensor:
            found: Detection = detector(batch)
            return found.clipwise

        with torch.inference_mode():
            heard = torch.stack(clip_means(probabilities, pieces, at_once=self.at_once))
        return heard.clone()

    def locate(self, clip: Tensor, class_index: int) -> Segment:
        """The 2 s of a mono clip (N,) at 32 kHz, 2 s to 10.24 s long, in which a class sounds most.

        Every class has its place in every clip: there is no threshold.

        Args:
            clip: (N,) at 32 kHz.
            class_index: in `class_names`.

        Raises:
            QueryError: a clip of another length, not mono, or with NaN or infinite samples; no
                such class.
        """
        from sepbench.baselines.stsed.localise import segment_of

        what = f"Encoder {self.card.name}: the clip"
        return segment_of(self.detector, checked(clip, what).to(self._device), class_index)

    def _pieces(self, clip: Tensor, index: int) -> Tensor:
        """(S, n) equal parts that the detector takes; a whole clip where it is short enough."""
        samples = checked(clip, f"Encoder {self.card.name}: clip {index}").to(self._device)
        count = 1 if len(samples) <= LONGEST_CLIP else -(-len(samples) // CLIP)
        size = len(samples) // count  # fewer than `count` samples are left over
        return samples[: count * size].reshape(count, size)

    def _segments(self, clip: Tensor, index: int) -> Tensor:
        what = f"Encoder {self.card.name}: clip {index}"
        segments = loud_segments(checked(clip, what).to(self._device), self.threshold)
        if not len(segments):
            raise QueryError(
                f"{what} has no 2-s segment louder than the threshold (sum of squares "
                f"{self.threshold:g}), so it has no latent. Give a clip in which something sounds."
            )
        return segments
