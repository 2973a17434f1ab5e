"""The image that AST and Audio-MAE look at: ten seconds of Kaldi's filter bank, normalised.

Source: the published data loaders of both (YuanGongND/ast at 31088be, facebookresearch/AudioMAE at
bd60e29), whose AudioSet settings these are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# N samples, F frames, M mel bands

SAMPLE_RATE = 16_000
FRAMES = 1024  # 10.24 s
BANDS = 128
SHORTEST = 400  # one frame
# Of AudioSet; the data are divided by twice the standard deviation.
MEAN, STD = -4.2677393, 4.5689974


def image(clip: Tensor) -> Tensor:
    """Normalised log-mel frames of the first 10.24 s.

    Args:
        clip: (N,) at 16 kHz, N ≥ 400, any level.

    Returns:
        (1024, 128) time × mel on the clip's device. What is missing in time is 0 before the
        normalisation, as in training: neither silence nor the mean.
    """
    from torch.nn.functional import pad
    from torchaudio.compliance.kaldi import fbank

    # Frames end where the image does, so what lies behind them is not worth transforming; the
    # mean is the whole clip's, as published.
    needed = (clip - clip.mean())[: SHORTEST + (FRAMES - 1) * 160]
    frames = fbank(
        needed[None],
        htk_compat=True,
        sample_frequency=SAMPLE_RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=BANDS,
        dither=0.0,
        frame_shift=10,
    )  # (F, 128)
    whole: Tensor = pad(frames, (0, 0, 0, FRAMES - frames.shape[0]))
    return (whole - MEAN) / (2 * STD)
