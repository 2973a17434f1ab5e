"""Query by example without any training: NMF of the examples and of the mixture.

The examples' spectrogram is factorised into a dictionary of what the asked-for sound is made of.
The mixture's is factorised freely, and each of its components goes to the target in the measure
in which the dictionary explains it. A Wiener-style mask follows from the two groups. torchnmf
does every factorisation (Kullback-Leibler divergence, seeded start).

Differences from the textbook (a fixed target dictionary beside free components, both fitted to
the mixture at once); `tests/bench/nmf_tuning.py` shows what the last three are worth:
* Components are learned freely and assigned afterwards. Fitted beside a dictionary that comes
  from another recording, free components explain the target better than it does and take it
  over: tried on the same mixtures, that was hardly better than halving the mixture.
* The spectrogram has mel bands instead of bins: another recording of the same class shares its
  envelope, not its partials.
* An atom spans several frames, so that an onset differs from a steady sound of the same timbre.
* Components that come in bursts suit a query that does, steady ones a steady query.

Source: Smaragdis, Raj & Shashanka, ICA 2007 (query dictionary, free components); Virtanen, IEEE
TASLP 2007 (components grouped into sources); Lee & Seung, NIPS 2000 (the updates).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.checks import frame_sizes, number, whole_number
from sepbench.baselines.filters import ratio_share
from sepbench.baselines.spectrum import istft, mel_weights, merge_frames, stack_frames, stft
from sepbench.harness.api import BaselineCard, Example, Query
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, C channels, N samples, K frequency bins, F features = bands × context, T frames,
# R atoms of a dictionary, M components of a mixture

SAMPLE_RATE = 32_000
# Frames this far below the loudest of their example say nothing about the sound asked for.
SILENCE_DB = -40.0
TINY = 1e-12


class QueryNmf:
    """Components of the mixture, shared out by how well the query's dictionary explains them.

    Args:
        rank: atoms learned from a query's examples.
        components: components learned from a mixture.
        bands: mel bands of the spectrogram that is factorised.
        context: frames an atom spans.
        stride: hops between those frames.
        iterations: multiplicative updates of each factorisation.
        softness: divergence between an atom's worth of target and one of residual; small
            values give each component to one of them, large ones half to both.
        burst_weight: weight of the difference in burstiness beside the divergence.
        exponent: of target and residual in the mask.
        n_fft: frame length in samples at 32 kHz.
        hop: samples between frames.
        seed: of the factorisations' start, the same for every item.
    """

    card = BaselineCard(
        name="nmf",
        summary="query by example without training: NMF dictionary, assigned components, mask",
        query_kinds=("audio",),
        sample_rate=SAMPLE_RATE,
        channels=1,
        paper="after Smaragdis, Raj & Shashanka, Supervised and semi-supervised separation of "
        "sounds from single-channel mixtures, ICA 2007",
    )

    def __init__(
        self,
        *,
        rank: int = 8,
        components: int = 16,
        bands: int = 32,
        context: int = 4,
        stride: int = 3,
        iterations: int = 60,
        softness: float = 0.1,
        burst_weight: float = 0.5,
        exponent: float = 1.0,
        n_fft: int = 2048,
        hop: int = 512,
        seed: int = 0,
    ) -> None:
        name = self.card.name
        self.rank = whole_number(name, "rank", rank, low=1, high=512)
        self.components = whole_number(name, "components", components, low=2, high=512)
        self.bands = whole_number(name, "bands", bands, low=4, high=512)
        self.context = whole_number(name, "context", context, low=1, high=64)
        self.stride = whole_number(name, "stride", stride, low=1, high=64)
        self.iterations = whole_number(name, "iterations", iterations, low=1, high=10_000)
        self.softness = number(name, "softness", softness, low=1e-4, high=100.0)
        self.burst_weight = number(name, "burst_weight", burst_weight, low=0.0, high=100.0)
        self.exponent = number(name, "exponent", exponent, low=0.1, high=10.0)
        self.n_fft, self.hop = frame_sizes(name, n_fft, hop)
        self.seed = whole_number(name, "seed", seed, low=0, high=2**31 - 1)
        self.device = "cpu"

    def load(self, device: str) -> None:
        """Choose the device; there are no weights."""
        self.device = device

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """Dictionaries of the queries.

        Args:
            queries: each with one or more examples at 32 kHz.

        Returns:
            Per query (F + 1, R): atoms with a mean of 1, and a last row that repeats the
            burstiness of the examples.

        Raises:
            QueryError: no example, an example that is not loaded, empty, not finite or at
                another rate, or nothing but silence in all of them.
        """
        return [self._dictionary(query) for query in queries]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, C, N), (B, F + 1, R) -> (B, C, N). Silence stays silence.

        Items are factorised one by one, so what a batch is made of cannot change them.
        """
        import torch

        pairs = zip(mixture, condition, strict=True)
        return torch.stack([torch.stack([self._separate(c, d) for c in m]) for m, d in pairs])

    def _dictionary(self, query: Query) -> Tensor:
        import torch

        if not query.examples:
            raise QueryError("Baseline nmf needs audio examples, and the query has none.")
        heard, bursts = [], []
        for example in query.examples:
            spectrum = stft(_waveform(example).to(self.device), self.n_fft, self.hop)
            features = self._features(spectrum.abs())  # (F, T)
            level = features.sum(0)  # (T,)
            if level.max() > 0:
                loud = features[:, level > level.max() * 10 ** (SILENCE_DB / 20)]
                # Each example counts by its frames, not by its level.
                heard.append(loud / loud.mean())
                bursts.append(_burstiness(level))
        if not heard:
            names = ", ".join(example.clip_id for example in query.examples)
            raise QueryError(
                f"Baseline nmf cannot learn from silence: example {names} holds no sound. "
                "Give a query example in which the target can be heard."
            )
        atoms, _ = self._factorise(torch.cat(heard, dim=1), self.rank)
        return torch.cat([atoms, torch.stack(bursts).mean().expand(1, self.rank)])

    def _separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimate of one item, (N,), (F + 1, R) -> (N,)."""
        import torch

        spectrum = stft(mixture, self.n_fft, self.hop)  # (K, T)
        features = self._features(spectrum.abs())  # (F, T)
        if not features.max() > 0:
            return torch.zeros_like(mixture)
        atoms, activations = self._factorise(features / features.mean(), self.components)
        share = self._share(atoms, activations, condition.to(mixture.device))  # (M,)
        target = self._bins((atoms * share) @ activations)  # (K, T)
        residual = self._bins((atoms * (1 - share)) @ activations)
        mask = ratio_share(target, residual, self.exponent)
        return istft(spectrum * mask, self.n_fft, self.hop, mixture.shape[-1])

    def _share(self, atoms: Tensor, activations: Tensor, condition: Tensor) -> Tensor:
        """How much of each component is the target's, (F, M), (M, T), (F + 1, R) -> (M,)."""
        import torch

        dictionary, burst = condition[:-1], condition[-1, 0]
        _, weights = self._factorise(atoms, self.rank, dictionary)
        explained = dictionary @ weights
        # Generalised Kullback-Leibler divergence; atoms have a mean of 1, which scales it.
        ratio = ((atoms + 1e-4) / (explained + 1e-4)).log()
        distance = (atoms * ratio - atoms + explained).mean(0)  # (M,)
        distance = distance + self.burst_weight * (_burstiness(activations) - burst).abs()
        # Which distance is near cannot be known without the other sounds, so the mixture's own
        # average, weighted by energy, is the border.
        energy = activations.sum(1)
        border = (energy * distance).sum() / energy.sum()
        return torch.sigmoid((border - distance) / self.softness)

    def _factorise(
        self, features: Tensor, rank: int, atoms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Factors of (F, T): atoms (F, rank) with a mean of 1, activations (rank, T).

        Given atoms, only the activations are fitted.
        """
        import torch
        from torchnmf.nmf import NMF

        # torchnmf derives its updates by automatic differentiation, and the harness switches
        # that off around a model.
        with torch.inference_mode(False), torch.enable_grad():
            observed = features.detach().clone()
            # Drawn on the CPU, so that every device starts from the same numbers.
            draw = torch.Generator().manual_seed(self.seed)
            first = torch.rand(len(observed), rank, generator=draw).to(observed) + 0.1
            first = first * (observed.mean(1, keepdim=True) + 1e-3 * observed.mean())
            first = first / first.mean(0) if atoms is None else atoms.detach().clone()
            start = torch.rand(observed.shape[1], rank, generator=draw).to(observed) + 0.1
            start = start * observed.mean() / rank
            model = NMF(W=first, H=start, trainable_W=atoms is None)
            model.to(observed.device).fit(observed.T, beta=1, tol=0.0, max_iter=self.iterations)
            learned, activations = model.W.detach(), model.H.detach().T
        scale = learned.mean(0) + TINY
        return learned / scale, activations * scale[:, None]

    def _features(self, magnitudes: Tensor) -> Tensor:
        """Mel magnitudes of `context` frames on top of each other, (K, T) -> (F, T)."""
        weights = mel_weights(self.n_fft, self.bands, SAMPLE_RATE).to(magnitudes)
        return stack_frames((weights.T @ magnitudes.square()).sqrt(), self.context, self.stride)

    def _bins(self, features: Tensor) -> Tensor:
        """Stacked mel frames as a magnitude for each bin, (F, T) -> (K, T)."""
        weights = mel_weights(self.n_fft, self.bands, SAMPLE_RATE).to(features)
        return weights @ merge_frames(features, self.context, self.stride)


def _waveform(example: Example) -> Tensor:
    """The samples of one example, (N,)."""
    import torch

    name = f"Baseline nmf: query example {example.clip_id}"
    if example.waveform is None:
        raise QueryError(f"{name} is not loaded. Read its file and set `waveform` before asking.")
    if example.sample_rate not in (None, SAMPLE_RATE):
        raise QueryError(f"{name} is at {example.sample_rate} Hz; resample it to {SAMPLE_RATE} Hz.")
    if example.waveform.numel() == 0:
        raise QueryError(f"{name} is empty. Give an example with at least one sample.")
    if not torch.isfinite(example.waveform).all():
        raise QueryError(f"{name} holds NaN or infinite samples. Export the file again.")
    return example.waveform.mean(0)


def _burstiness(levels: Tensor) -> Tensor:
    """log(rms / mean) over time, (…, T) -> (…): 0 for a steady level, large for rare events."""
    rms = levels.square().mean(-1).sqrt().clamp(min=TINY)
    return (rms / levels.mean(-1).clamp(min=TINY)).log()
