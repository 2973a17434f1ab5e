"""What CLAP's audio tower is fed: ten seconds at 48 kHz as a log-mel spectrogram.

Source: LAION-CLAP without fusion, as AudioSep uses it. Its torchlibrosa front end is a
convolution with DFT matrices; the FFT of `LogMel` agrees to 5e-4 dB at the floor, 5e-8 in the
embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepbench.baselines.encoders.log_mel import LogMel
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

# N samples

SAMPLE_RATE = 48_000
WINDOW = 480_000  # samples: 10 s
CROP = "first 10 s; shorter repeated as often as it fits, then zero-padded"
LOG_MEL = LogMel(sample_rate=SAMPLE_RATE, n_fft=1024, hop=480, low=50, high=14_000)


def to_window(clip: Tensor, sample_rate: int, asked_by: str) -> Tensor:
    """Exactly 10 s at 48 kHz of a clip.

    Other rates are resampled by torchaudio's windowed sinc with its default arguments, as
    AudioSep does for its queries at 32 kHz. Longer clips keep their first 10 s; the original
    crops at random, so its embedding of a long clip is another one each time.

    Args:
        clip: mono samples (N,).
        sample_rate: Hz of the clip.
        asked_by: the encoder's name, for messages.

    Returns:
        (480000,) float32.

    Raises:
        QueryError: not mono, empty, or with NaN or infinite samples.
    """
    import torch

    if clip.ndim != 1:
        raise QueryError(f"{asked_by}: a clip has the shape {tuple(clip.shape)}; give mono (N,).")
    if clip.numel() == 0:
        raise QueryError(f"{asked_by}: a clip is empty. Give one with at least one sample.")
    if not torch.isfinite(clip).all():
        raise QueryError(
            f"{asked_by}: a clip holds NaN or infinite samples. Export the file again."
        )
    clip = clip.to(torch.float32)
    if sample_rate != SAMPLE_RATE:
        from torchaudio.functional import resample

        clip = resample(clip, sample_rate, SAMPLE_RATE)
    tiled = clip[:WINDOW].repeat(WINDOW // min(len(clip), WINDOW))
    return torch.nn.functional.pad(tiled, (0, WINDOW - len(tiled)))
