"""Upper bounds: what masking and Wiener filtering reach when the true target is known.

All three see the target and the residual (mixture − target) and filter the mixture's short-time
spectrum, as the oracles of SiSEC 2018 do. Frames of 2048 samples, half overlapping, are that
campaign's (at 44.1 kHz); at 16 kHz they are 128 ms long, which `n_fft` and `hop` change.

An absent target (silent reference) comes out as exact zeros, a silent residual lets the mixture
pass; bins where nothing sounds are never 0 / 0.

Source: Stöter, Liutkus & Ito, LVA/ICA 2018; sigsep-mus-oracle (IRM, IBM, MWF).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.checks import frame_sizes, number
from sepbench.baselines.filters import ratio_share, wiener_filter
from sepbench.baselines.spectrum import istft, stft
from sepbench.harness.api import BaselineCard, Query
from sepbench.harness.errors import BaselineError

if TYPE_CHECKING:
    from torch import Tensor

# C channels, N samples, Q queries, K frequency bins, T frames

N_FFT = 2048
HOP = 1024
PAPER = "Stöter, Liutkus & Ito, The 2018 signal separation evaluation campaign, LVA/ICA 2018"


class IdealRatioMask:
    """Soft mask |S|^a / (|S|^a + |R|^a) of target S and residual R, for each channel by itself.

    Args:
        n_fft: frame length in samples.
        hop: samples between frames.
        exponent: a. 2, SiSEC's, is the Wiener filter of two independent sources.
    """

    card = BaselineCard(
        name="oracle-irm",
        summary="ideal ratio mask, made from the true target",
        channels=None,
        needs_references=True,
        chunking="none",
        role="upper",
        paper=PAPER,
    )

    def __init__(self, *, n_fft: int = N_FFT, hop: int = HOP, exponent: float = 2.0) -> None:
        self.n_fft, self.hop = frame_sizes(self.card.name, n_fft, hop)
        self.exponent = number(self.card.name, "exponent", exponent, low=0.1, high=10.0)

    def load(self, device: str) -> None:
        """Nothing to load; the filter runs where its input lies."""

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """The mixture under the mask of each target.

        Args:
            mixture: (C, N).
            queries: Q queries; only their number matters.
            references: (Q, C, N), the true targets.
            seeds: not used.

        Returns:
            (Q, C, N).
        """
        targets = _require_references(self.card.name, mixture, queries, references)
        return _masked(mixture, targets, self.n_fft, self.hop, self.exponent, binary=False)


class IdealBinaryMask:
    """Mask of 1 where |S|^a / (|S|^a + |R|^a) reaches the threshold, else 0.

    sigsep-mus-oracle compares |S| with half of |mixture|; the share of target and residual used
    here does not depend on their phases.

    Args:
        n_fft: frame length in samples.
        hop: samples between frames.
        threshold: share of the target above which a bin is kept; at 0.5 whoever is louder
            gets it, whatever the exponent.
        exponent: a.
    """

    card = BaselineCard(
        name="oracle-ibm",
        summary="ideal binary mask, made from the true target",
        channels=None,
        needs_references=True,
        chunking="none",
        role="upper",
        paper=PAPER,
    )

    def __init__(
        self,
        *,
        n_fft: int = N_FFT,
        hop: int = HOP,
        threshold: float = 0.5,
        exponent: float = 2.0,
    ) -> None:
        self.n_fft, self.hop = frame_sizes(self.card.name, n_fft, hop)
        self.threshold = number(self.card.name, "threshold", threshold, low=0.01, high=0.99)
        self.exponent = number(self.card.name, "exponent", exponent, low=0.1, high=10.0)

    def load(self, device: str) -> None:
        """Nothing to load; the filter runs where its input lies."""

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """The mixture under the mask of each target; shapes as in `IdealRatioMask`."""
        targets = _require_references(self.card.name, mixture, queries, references)
        threshold = self.threshold
        return _masked(
            mixture, targets, self.n_fft, self.hop, self.exponent, binary=True, threshold=threshold
        )


class MultichannelWiener:
    """Multichannel Wiener filter from the true power and spatial covariance of both sources.

    A source j has power P_j(f, t), the mean over channels, and one spatial covariance per
    frequency, R_j(f) = Σ_t s_j s_jᴴ / Σ_t P_j. The estimate is P_s R_s (P_s R_s + P_r R_r)⁻¹ x.
    With one channel R_j = 1, and what remains is the ratio mask with exponent 2.

    Args:
        n_fft: frame length in samples.
        hop: samples between frames.
    """

    card = BaselineCard(
        name="oracle-mwf",
        summary="multichannel Wiener filter, made from the true target (for music)",
        channels=None,
        needs_references=True,
        chunking="none",
        role="upper",
        paper=PAPER,
    )

    def __init__(self, *, n_fft: int = N_FFT, hop: int = HOP) -> None:
        self.n_fft, self.hop = frame_sizes(self.card.name, n_fft, hop)

    def load(self, device: str) -> None:
        """Nothing to load; the filter runs where its input lies."""

    def separate_scene(
        self,
        mixture: Tensor,
        queries: Sequence[Query],
        *,
        references: Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """The filtered mixture for each target; shapes as in `IdealRatioMask`."""
        targets = _require_references(self.card.name, mixture, queries, references)
        estimates = mixture.new_empty(targets.shape)  # (Q, C, N)
        mixed = stft(mixture, self.n_fft, self.hop)  # (C, K, T)
        for index, target in enumerate(targets):
            wanted = stft(target, self.n_fft, self.hop)
            rest = stft(mixture - target, self.n_fft, self.hop)
            filtered = wiener_filter(mixed, wanted, rest)
            estimates[index] = istft(filtered, self.n_fft, self.hop, mixture.shape[-1])
        return estimates


def _require_references(
    name: str, mixture: Tensor, queries: Sequence[Query], references: Tensor | None
) -> Tensor:
    expected = (len(queries), *mixture.shape)
    if references is None or tuple(references.shape) != expected:
        given = "none" if references is None else str(tuple(references.shape))
        raise BaselineError(
            f"Baseline {name} is an oracle and needs the true targets, shape {expected}; given: "
            f"{given}. Pass references= to separate_scene, one target per query."
        )
    return references


def _masked(
    mixture: Tensor,
    targets: Tensor,
    n_fft: int,
    hop: int,
    exponent: float,
    *,
    binary: bool,
    threshold: float = 0.5,
) -> Tensor:
    """The mixture under the ratio or binary mask of each target, (C, N), (Q, C, N) -> (Q, C, N)."""
    import torch

    estimates = mixture.new_empty(targets.shape)
    mixed = stft(mixture, n_fft, hop)  # (C, K, T)
    # One query after the other: the spectra of all stems of a song would fill the memory.
    for index, target in enumerate(targets):
        share = ratio_share(
            stft(target, n_fft, hop).abs(), stft(mixture - target, n_fft, hop).abs(), exponent
        )
        mask = torch.where(share >= threshold, 1.0, 0.0) if binary else share
        estimates[index] = istft(mixed * mask, n_fft, hop, mixture.shape[-1])
    return estimates
