"""Resampling, cutting and joining of signals on a model's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepbench.harness.errors import EstimateError

if TYPE_CHECKING:
    from torch import Tensor


def resample(audio: Tensor, rate_from: int, rate_to: int) -> Tensor:
    """Resample (C, N) on its device with a Kaiser-windowed sinc.

    The parameters are those torchaudio documents as matching the "kaiser best" setting of
    resampy: 64 zero crossings, roll-off 0.9476, beta 14.77.
    """
    if rate_from == rate_to:
        return audio
    import torchaudio.functional

    result: Tensor = torchaudio.functional.resample(
        audio,
        rate_from,
        rate_to,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return result


def channel_units(audio: Tensor, channels: int | None, *, downmix: bool) -> list[Tensor]:
    """What a model of so many channels gets of (C, N): one call's signal (c, N) each.

    Args:
        audio: (C, N).
        channels: 1 takes each channel by itself, or their mean with `downmix`; a mono signal is
            repeated for a model of several; None takes any number together.
        downmix: as the protocol says.

    Raises:
        EstimateError: C and the model's channels do not go together.
    """
    if channels is None or channels == audio.shape[0]:
        return [audio]
    if channels == 1:
        return [audio.mean(0, keepdim=True)] if downmix else list(audio.unsqueeze(1))
    if audio.shape[0] == 1:
        return [audio.expand(channels, -1)]
    raise EstimateError(
        f"takes {channels} channels; the mixture has {audio.shape[0]}. "
        "Score it under a protocol with mono mixtures."
    )


def stack_key(condition: Any) -> Any:
    """Conditions with equal keys can be stacked; None means one at a time."""
    import torch

    if isinstance(condition, torch.Tensor):
        return (tuple(condition.shape), str(condition.dtype))
    return None


def chunk_starts(total: int, size: int, overlap: int) -> list[int]:
    """Where to cut `total` samples into pieces of exactly `size` that overlap.

    Neighbours share `overlap` samples; the last piece is moved back to end with the signal, so
    that all pieces have one length and no model sees padding.
    """
    if total <= size:
        return [0]
    hop = size - overlap
    starts = list(range(0, total - size, hop))
    return [*starts, total - size]


class OverlapAdd:
    """Joins estimates of pieces with a linear cross-fade.

    Weights rise over `overlap` samples from 1/(overlap+1) and are normalised by their sum, so a
    model that returns its input gives the input back, whatever the overlap.

    Args:
        channels: of the signal.
        total: its length in samples.
        size: length of each piece.
        overlap: samples shared by neighbours.
        device: where to add.
    """

    def __init__(self, channels: int, total: int, size: int, overlap: int, device: Any) -> None:
        self._shape = (channels, total)
        self._size, self._overlap, self._device = size, overlap, device
        self._sum: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, estimate: Tensor, start: int) -> None:
        """Add the estimate (C, size) of the piece that began at `start`."""
        import torch

        total = self._shape[1]
        if self._size == total:  # one piece: nothing to join
            self._sum = estimate
            return
        if self._sum is None or self._weight is None:
            self._sum = torch.zeros(self._shape, device=self._device)
            self._weight = torch.zeros(total, device=self._device)
        fade = torch.arange(1, self._overlap + 1, device=self._device) / (self._overlap + 1)
        weight = torch.ones(self._size, device=self._device)
        if start > 0:
            weight[: self._overlap] = fade
        if start + self._size < total:
            weight[self._size - self._overlap :] = fade.flip(0)
        self._sum[:, start : start + self._size] += estimate * weight
        self._weight[start : start + self._size] += weight

    def result(self) -> Tensor:
        """The joined signal (C, total)."""
        assert self._sum is not None
        return self._sum if self._weight is None else self._sum / self._weight
