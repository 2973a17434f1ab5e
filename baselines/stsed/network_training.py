"""ST-SED in training: the detector by its classes, the separator by the error of the waveform.

The separator is asked with the detector's latent of the very segment that is to be found, as it
was recorded. The detector is frozen then, and no part of the separator's state.

Differences from the original: where a clip's class sounds is found once, before the training,
since the detector does not change; mixup and masks act on the log-mel frames before their
normalisation, whose statistics see the mixed frames.

Source: Chen et al., AAAI 2022; behaviour of the official code (3a4e363).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.encoders.log_mel import LogMel
from sepbench.baselines.encoders.network_cnn14 import Cnn14
from sepbench.baselines.stsed.network_sed import Detection
from sepbench.baselines.stsed.network_separator import Separator
from sepbench.harness.api.training import TrainingBatch

# B batch, N samples, T frames, M mel bands, D latent, E classes

MOST_STRIPES = 2  # of each kind of mask


class Detector(Protocol):
    """What the separator and the training of a detector need; HTS-AT has it too."""

    front: LogMel

    def features(self, waveform: Tensor) -> Tensor:
        """Log-mel frames (B, T, M) of clips (B, N)."""
        ...

    def detect(self, features: Tensor) -> Detection:
        """Latents and probabilities of frames."""
        ...

    def latent(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, D)."""
        ...

    def parameters(self) -> object:
        """Of the module."""
        ...


class Cnn14Detector(nn.Module):
    """CNN14 in the detector's place: its embedding is the latent, its head hears frame by frame.

    The paper's figure has this encoder and says little of it. Here the latent is what CNN14's
    published embedding is, mean and peak over time, and each frame alone goes through the same
    layers for the probabilities over time.

    Args:
        network: CNN14.
        front: its log-mel spectrogram.
    """

    def __init__(self, network: Cnn14, front: LogMel) -> None:
        super().__init__()
        self.network = network
        self.front = front

    def features(self, waveform: Tensor) -> Tensor:
        """Log-mel frames (B, T, M) of clips (B, N)."""
        return self.front(waveform.float())

    def detect(self, features: Tensor) -> Detection:
        """As HTS-AT's; columns are as many as CNN14 has frames, one for 0.32 s."""
        frames = self.network.frames(features)  # (B, D, T')
        pooled = torch.relu(self.network.fc1(frames.amax(2) + frames.mean(2)))
        single = torch.relu(self.network.fc1(2 * frames.transpose(1, 2)))  # peak and mean alike
        return Detection(
            latent=pooled,
            clipwise=self.network.classify(pooled),
            columns=self.network.classify(single),
        )

    def latent(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, D)."""
        embedding: Tensor = self.network(self.features(waveform))
        return embedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What is done to frames in the training of a detector.

    Attributes:
        mixup: of the Beta distribution that the shares come from; 0 for none.
        frames: longest mask in time; 0 for none.
        bands: widest mask in frequency; 0 for none.
    """

    mixup: float
    frames: int
    bands: int


# The normalisation of the mel bands, in HTS-AT and in CNN14.
NORMS = ("audio_encoder.batch_norm", "network.bn0")


class DetectorTraining(nn.Module):
    """A detector and its classes; a `Trainee`.

    Args:
        detector: with its start values.
        augmentation: in training.
        columns: class of the data -> class of the detector.
    """

    def __init__(
        self,
        detector: nn.Module,
        augmentation: Augmentation,
        columns: Sequence[int],
    ) -> None:
        super().__init__()
        self.detector = detector
        self._augmentation = augmentation
        self._columns = list(columns)

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Binary cross-entropy of the clip's probabilities."""
        found = self._detect(batch, train=self.training)
        wanted = torch.zeros_like(found.clipwise, dtype=torch.float32)
        wanted[:, self._columns] = batch.tags
        with torch.autocast(wanted.device.type, enabled=False):
            return functional.binary_cross_entropy(found.clipwise.float(), wanted)

    def hits(self, batch: TrainingBatch) -> Tensor:
        """(B,) 1 where the likeliest of the data's classes is one of the clip's."""
        best = self._detect(batch, train=False).clipwise[:, self._columns].argmax(1)
        return batch.tags.gather(1, best[:, None])[:, 0]

    def _detect(self, batch: TrainingBatch, *, train: bool) -> Detection:
        detector: Detector = self.detector  # type: ignore[assignment]  # has its methods
        features = detector.features(batch.sound)
        if train:
            features = self._mixed(self._masked(features))
        return detector.detect(features)

    def _masked(self, features: Tensor) -> Tensor:
        """Stripes set to each band's running mean, which the normalisation makes zero."""
        # Looked up each time: on several GPUs the module that it is has been replaced.
        norm: Any = next(
            part for name, part in self.detector.named_modules() if name.endswith(NORMS)
        )
        mean: Tensor | None = norm.running_mean
        if mean is None:
            raise TypeError("a detector without running statistics cannot be masked")
        sizes = features.shape
        lost = torch.zeros(sizes[0], *sizes[1:], dtype=torch.bool)
        for axis, widest in ((1, self._augmentation.frames), (2, self._augmentation.bands)):
            if not widest:
                continue
            places = torch.arange(sizes[axis])
            for _ in range(MOST_STRIPES):
                width = torch.randint(min(widest, sizes[axis]) + 1, (sizes[0], 1))
                begin = (torch.rand(sizes[0], 1) * (sizes[axis] - width)).long()
                stripe = (places >= begin) & (places < begin + width)  # (B, T) or (B, M)
                lost |= stripe[:, :, None] if axis == 1 else stripe[:, None]
        return torch.where(lost.to(features.device), mean, features)

    def _mixed(self, features: Tensor) -> Tensor:
        """Each clip with the one that stands opposite in the batch; labels stay as they are."""
        if not self._augmentation.mixup:
            return features
        alpha = torch.full((len(features), 1, 1), self._augmentation.mixup)
        share = torch.distributions.Beta(alpha, alpha).sample().to(features.device)
        return share * features + (1 - share) * features.flip(0)


class SeparatorTraining(nn.Module):
    """The separator under a frozen detector; a `Trainee`.

    Args:
        network: with its start values.
        detector: in eval mode.
    """

    def __init__(self, network: Separator, detector: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._detector = [detector.requires_grad_(False).eval()]  # no part of the state

    @property
    def detector(self) -> nn.Module:
        """The frozen one."""
        return self._detector[0]

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean absolute error of the waveform."""
        return (self._separate(batch) - batch.target).abs().mean()

    def estimates(self, batch: TrainingBatch) -> Tensor:
        """(B, N)."""
        return self._separate(batch)

    def _separate(self, batch: TrainingBatch) -> Tensor:
        detector: Detector = self.detector.to(batch.sound.device)  # type: ignore[assignment]  # as above
        with torch.no_grad(), torch.autocast(batch.sound.device.type, enabled=False):
            condition = detector.latent(batch.sound)
        estimate: Tensor = self.network(batch.mixture, condition)
        return estimate


class MostPresent:
    """The segment of a clip in which its class sounds most, for a detector of any rate.

    The same rule as `localise`: probabilities over time, summed over a window as long as a segment,
    and no threshold.

    Args:
        detector: in eval mode.
        columns: class of the data -> class of the detector.
        segment: samples.
    """

    def __init__(self, detector: nn.Module, columns: Sequence[int], segment: int) -> None:
        self._detector = detector
        self._columns = list(columns)
        self._segment = segment

    def __call__(self, sounds: Tensor, asked: Tensor) -> list[int]:
        """First sample of each, for clips (B, N) and classes (B,)."""
        detector: Detector = self._detector  # type: ignore[assignment]  # has its methods
        length, hop = sounds.shape[-1], detector.front.hop
        with torch.inference_mode():
            columns = detector.detect(detector.features(sounds)).columns  # (B, T', E)
        numbers = torch.tensor([self._columns[number] for number in asked.tolist()])
        presence = columns.gather(2, numbers.view(-1, 1, 1).expand(-1, columns.shape[1], 1))
        repeats = max(1, 1024 // (length // hop + 1)) if self._repeats else 1
        frames = functional.interpolate(
            presence.transpose(1, 2).float(), size=repeats * (length // hop), mode="nearest"
        )[:, 0].reshape(len(sounds), repeats, -1)
        likely = frames.amax(1)  # (B, T) one for each hop
        window = max(1, self._segment // hop)
        summed = functional.avg_pool1d(likely[:, None], window, stride=1)[:, 0]  # begins in hops
        begins = summed.argmax(1) * hop
        return [min(begin, length - self._segment) for begin in begins.tolist()]

    @property
    def _repeats(self) -> bool:
        """HTS-AT's image holds a short clip as often as it fits."""
        return not isinstance(self._detector, Cnn14Detector)
