"""The joint Wiener step of ST-SED: the estimates of a scene share out the mixture.

Each target's own mask leaves gaps and overlaps. Here the estimated powers become masks that add
up to one in every bin, so all estimates together are the mixture again. The paper applies it to
the four stems of MUSDB18, in pieces of 2 s; it fits any estimates that together should make up a
mixture, so it may follow any model: `models.NAME.postprocess=joint-wiener`.

Differences from the original: it has the magnitudes that its network has masked, where this reads
them from the estimates' waveforms; tails are kept; channels are filtered one by one; and other
rates than 32 kHz have frames of the same duration.

Source: Chen et al., AAAI 2022; behaviour of the official code (3a4e363), which runs one
iteration of open-unmix's filter from a soft mask (Stöter et al., JOSS 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepbench.baselines.spectrum import istft, stft
from sepbench.baselines.stsed.sizes import HOP, SAMPLE_RATE, SEGMENT
from sepbench.harness.api import PostprocessCard
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

# Q estimates, C channels, N samples, K frequency bins, T frames

N_FFT = 2048
EPS = 1e-9
AT_ONCE = 16  # segments whose spectra are held together: a song's would be gigabytes
LOUDEST = 8.0  # magnitudes are scaled down to this before they are squared


class JointWiener:
    """The step as a setting of any model."""

    card = PostprocessCard(
        name="joint-wiener",
        summary="one step of a Wiener filter over all sources of a scene, in pieces of 2 s: the "
        "estimates share out the mixture",
        paper="Chen et al., Zero-shot audio source separation through query-based learning from "
        "weakly-labeled data, AAAI 2022; filter of Open-Unmix (Stöter et al., JOSS 2019)",
    )

    def process(self, mixture: Tensor, estimates: Tensor, *, sample_rate: int) -> Tensor:
        """(C, N), (Q, C, N) at any rate -> (Q, C, N): frames of 64 ms every 10 ms, as published.

        Raises:
            SettingError: fewer than two estimates.
        """
        scale = sample_rate / SAMPLE_RATE
        return joint_wiener(
            mixture,
            estimates,
            n_fft=2 * max(1, round(N_FFT * scale / 2)),
            hop=max(1, round(HOP * scale)),
            segment=max(1, round(SEGMENT * scale)),
        )


def joint_wiener(
    mixture: Tensor,
    estimates: Tensor,
    *,
    n_fft: int = N_FFT,
    hop: int = HOP,
    segment: int | None = SEGMENT,
) -> Tensor:
    """Estimates of one scene, filtered together.

    Channels are filtered one by one. The last piece is padded with silence.

    Args:
        mixture: (C, N).
        estimates: (Q, C, N), Q ≥ 2; together they should make up the mixture.
        n_fft: frame length in samples; the default is the paper's, 64 ms at 32 kHz.
        hop: samples between frames.
        segment: samples filtered by themselves, by default the paper's 2 s at 32 kHz; None for
            the whole signal.

    Returns:
        (Q, C, N); the sum over Q is the mixture wherever any estimate is not silent.

    Raises:
        SettingError: fewer than two estimates, which leave nothing to share out.
    """
    import torch
    from torch.nn.functional import pad

    if estimates.shape[0] < 2:
        raise SettingError(
            f"Joint Wiener filtering shares the mixture out among the estimates of a scene, and "
            f"this scene has {estimates.shape[0]}. Use it where a scene's targets make up the "
            "mixture, or switch it off."
        )
    channels, length = mixture.shape
    piece = segment or max(length, 1)
    signals = torch.cat([mixture[None], estimates])  # (1 + Q, C, N)
    pieces = pad(signals, (0, -length % piece)).unfold(-1, piece, piece)  # (1 + Q, C, S, n)
    filtered = torch.empty_like(pieces[1:])  # (Q, C, S, n)
    for first in range(0, pieces.shape[2], AT_ONCE):
        part = slice(first, first + AT_ONCE)
        spectra = stft(pieces[:, :, part], n_fft, hop)  # (1 + Q, C, S', K, T)
        shared = share_out(spectra[0], spectra[1:].abs())  # (Q, C, S', K, T)
        filtered[:, :, part] = istft(shared, n_fft, hop, piece)
    return filtered.reshape(len(estimates), channels, -1)[..., :length]


def share_out(spectrum: Tensor, magnitudes: Tensor) -> Tensor:
    """The mixture's spectrum, divided by the powers of its estimates.

    Args:
        spectrum: (…, K, T) complex, of the mixture.
        magnitudes: (Q, …, K, T), of the estimates.

    Returns:
        (Q, …, K, T) complex. Bins in which all estimates are silent stay silent.
    """
    loudest = (spectrum.abs().amax((-2, -1), keepdim=True) / LOUDEST).clamp(min=1.0)
    share = magnitudes / (EPS + magnitudes.sum(0))
    power = (spectrum.abs() * share / loudest).square()  # (Q, …, K, T)
    energy = power.sum(-1, keepdim=True)  # over time: the filter's one-channel covariance
    weighted = power * (energy / (EPS + energy))
    shared: Tensor = spectrum * (weighted / (EPS**0.5 + weighted.sum(0)))
    return shared
