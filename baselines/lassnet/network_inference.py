"""The separator for use: the same mathematics as `network`, with less work.

Of a trained network in eval mode it keeps its own tensors, rearranged:
* A normalisation behind a convolution is multiplied into its weights; the rest of it is one
  addition together with what the query adds. One before a convolution is one multiply-add.
* All additions depend on the condition alone: they are made once for a query.
* A transposed convolution of stride 2 is four small ones, one for each pair of odd or even places.
* What is not needed again is overwritten: new memory costs more time than the arithmetic on it.
* Channels come last in memory.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.lassnet.network import NetworkConfig, UNet, cropped, frames_seen, padded
from sepbench.baselines.lassnet.network_blocks import (
    SLOPE,
    DecoderBlock,
    EncoderBlock,
    ResidualBlock,
)
from sepbench.baselines.lassnet.network_signal import to_spectrum, to_waveform

# B batch, N samples, D condition, A additions, C channels, T frames, T' = T padded, F bins used


class FastResidual(nn.Module):
    """A residual block whose second normalisation is inside of its first convolution."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        first, second = _affine(block.bn1), _affine(block.bn2)
        self.scale = _kept(_spread(first.scale))
        self.shift = _kept(_spread(first.shift))
        self.weight1 = _kept(block.conv1.weight * second.scale[:, None, None, None])
        self.weight2 = _kept(block.conv2.weight)
        layer = block.shortcut
        self.shortcut = None if layer is None else _kept(layer.weight[:, :, 0, 0])
        self.channels = len(block.conv1.weight)

    def forward(self, features: Tensor, added1: Tensor, added2: Tensor) -> Tensor:
        """Features (B, in, T, F) with additions (B, out, 1, 1) twice.

        The features stay as they are where the block has no shortcut layer, else they are lost.
        """
        if self.shortcut is None:
            kept, hidden = features, _scaled(features, self.scale, self.shift)
        else:
            kept = _product(features, self.shortcut)
            hidden = _rescaled(features, self.scale, self.shift)
        hidden = _convolved(functional.leaky_relu_(hidden, SLOPE), self.weight1, added1)
        hidden = _convolved(functional.leaky_relu_(hidden, SLOPE), self.weight2, added2)
        return hidden.add_(kept)


class Additions(nn.Module):
    """What a query adds within one residual block, before and after its second convolution."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        second = _affine(block.bn2)
        self.film1 = copy.deepcopy(block.film1)
        self.scale, self.shift = _kept(second.scale), _kept(second.shift)
        self.film2 = copy.deepcopy(block.film2)
        self.film_res = copy.deepcopy(block.film_res)
        shortcut = block.shortcut
        self.bias = None if shortcut is None or shortcut.bias is None else _kept(shortcut.bias)

    def forward(self, condition: Tensor) -> list[Tensor]:
        """Both of them, (B, D) -> (B, out) twice."""
        before = torch.addcmul(self.shift, self.film1(condition), self.scale)
        after = self.film2(condition)
        if self.film_res is not None and self.bias is not None:
            after = after + self.film_res(condition) + self.bias
        return [before, after]


class FastDecoder(nn.Module):
    """The first part of a decoder block: features twice as fine, with the skip beside them."""

    def __init__(self, block: DecoderBlock) -> None:
        super().__init__()
        first = _affine(block.bn1)
        self.scale = _kept(_spread(first.scale))
        self.shift = _kept(_spread(first.shift))
        weight = block.conv1.weight.transpose(0, 1)  # (out, in, 3, 3)
        # Even places get the first and the last tap, of their neighbour before them; odd places
        # the one in the middle.
        self.both_even = _kept(weight[:, :, ::2, ::2].flip(2, 3))
        self.even_odd = _kept(weight[:, :, ::2, 1:2].flip(2))
        self.odd_even = _kept(weight[:, :, 1:2, ::2].flip(3))
        self.both_odd = _kept(weight[:, :, 1, 1])

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features (B, in, T, F) and skip (B, out, 2·T, 2·F + 1) -> (B, 2·out, 2·T, 2·F + 1).

        The features are lost.
        """
        hidden = functional.relu_(_rescaled(features, self.scale, self.shift))
        batch, channels, frames, bins = skip.shape
        joined = torch.empty(
            (batch, 2 * channels, frames, bins),
            dtype=skip.dtype,
            device=skip.device,
            memory_format=torch.channels_last,
        )
        raised = joined[:, :channels]
        # A last even frame would be the one that the network drops.
        raised[:, :, ::2, ::2] = functional.conv2d(hidden, self.both_even, padding=1)[:, :, :-1]
        even_odd = functional.conv2d(hidden, self.even_odd, padding=(1, 0))
        raised[:, :, ::2, 1::2] = even_odd[:, :, :-1]
        raised[:, :, 1::2, ::2] = functional.conv2d(hidden, self.odd_even, padding=(0, 1))
        raised[:, :, 1::2, 1::2] = _product(hidden, self.both_odd)
        joined[:, channels:] = skip
        return joined


class InnerNetwork(nn.Module):
    """Padded magnitudes (B, T', F) and additions (B, A) -> logits (B, T', F): what is compiled."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        config = network.config
        blocks = [FastResidual(block) for block in residual_blocks(network)]
        self.residuals = nn.ModuleList(blocks)
        parts = network.children()
        self.decoders = nn.ModuleList(FastDecoder(p) for p in parts if isinstance(p, DecoderBlock))
        self.depth = len(config.widths)
        self.sizes = [block.channels for block in blocks for _ in range(2)]
        self.last = _kept(network.after_conv2.weight[:, :, 0, 0])
        self.last_bias = _kept(network.after_conv2.bias)

    def forward(self, magnitude: Tensor, additions: Tensor) -> Tensor:
        """Additions in the order in which they are used."""
        added = iter(torch.split(additions[:, :, None, None], self.sizes, dim=1))
        residuals = iter(self.residuals)
        features = magnitude[:, None].contiguous(memory_format=torch.channels_last)
        skips = []
        for _ in range(self.depth):
            features = next(residuals)(features, next(added), next(added))
            features = next(residuals)(features, next(added), next(added))
            skips.append(features)
            features = functional.avg_pool2d(features, 2)
        features = next(residuals)(features, next(added), next(added))
        for decoder in self.decoders:
            features = decoder(features, skips.pop())
            features = next(residuals)(features, next(added), next(added))
            features = next(residuals)(features, next(added), next(added))
        features = next(residuals)(features, next(added), next(added))
        return functional.linear(features.permute(0, 2, 3, 1), self.last, self.last_bias)[..., 0]


class InferenceNetwork(nn.Module):
    """A fast copy of a trained separator; the network itself can be let go.

    Args:
        network: with its weights, on any device; taken as in eval mode.
    """

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.config: NetworkConfig = network.config
        with torch.no_grad():
            self.films = nn.ModuleList(Additions(block) for block in residual_blocks(network))
            self.inner = InnerNetwork(network)
        self.requires_grad_(False)
        self.eval()

    def compile_inner(self) -> None:
        """Let torch compile what lies between the spectra."""
        self.inner.compile()

    def additions(self, condition: Tensor) -> Tensor:
        """All that a query does to the network, (B, D) -> (B, A) float32."""
        with torch.autocast(condition.device.type, enabled=False):
            made = [part for film in self.films for part in film(condition.float())]
            return torch.cat(made, dim=1)

    def logits(self, magnitude: Tensor, additions: Tensor) -> Tensor:
        """As `UNet`, with additions (B, A) in place of conditions."""
        logits: Tensor = self.inner(padded(magnitude, self.config), additions)
        return cropped(logits, magnitude.shape[1])

    def forward(self, mixture: Tensor, additions: Tensor) -> Tensor:
        """Estimates for a batch, (B, N), (B, A) -> (B, N) float32; silence gives silence."""
        n_fft, length = self.config.n_fft, mixture.shape[-1]
        spectrum = to_spectrum(mixture, n_fft)
        logits = self.logits(frames_seen(spectrum, length, self.config), additions)
        return to_waveform(logits, spectrum, n_fft, length)


class Affine(NamedTuple):
    """A normalisation with fixed statistics, (C,) each."""

    scale: Tensor
    shift: Tensor


def residual_blocks(network: UNet) -> list[ResidualBlock]:
    """All residual blocks in the order in which they are used."""
    found: list[ResidualBlock] = []
    # Encoder, bottleneck, decoder, end: the order in which they were made.
    for part in network.children():
        if isinstance(part, EncoderBlock):
            found += [part.conv_block1, part.conv_block2]
        elif isinstance(part, DecoderBlock):
            found += [part.conv_block2, part.conv_block3]
        elif isinstance(part, ResidualBlock):
            found.append(part)
    return found


def _affine(norm: nn.BatchNorm2d) -> Affine:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a normalisation without running statistics cannot be fixed")
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return Affine(scale, norm.bias - mean * scale)


def _scaled(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Features · scale + shift in the precision of the features, which stay as they are."""
    kind = features.dtype
    return torch.addcmul(shift.to(kind), features, scale.to(kind))


def _rescaled(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """As `_scaled`, in the memory of the features."""
    kind = features.dtype
    return features.mul_(scale.to(kind)).add_(shift.to(kind))


def _convolved(features: Tensor, weight: Tensor, added: Tensor) -> Tensor:
    """A 3 x 3 convolution plus an addition for each item."""
    if len(features) == 1:  # the addition is a bias, and one pass over the memory less
        return functional.conv2d(features, weight, added.reshape(-1), padding=1)
    convolved = functional.conv2d(features, weight, padding=1)
    return convolved.add_(added.to(convolved.dtype))


def _product(features: Tensor, weight: Tensor) -> Tensor:
    """A 1 x 1 convolution: (B, in, T, F) with (out, in) -> (B, out, T, F)."""
    return functional.linear(features.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


def _spread(values: Tensor) -> Tensor:
    return values[None, :, None, None]


def _kept(tensor: Tensor | None) -> nn.Parameter:
    """A copy of its own, without gradients."""
    if tensor is None:
        raise ValueError("a layer of the separator lacks its bias")
    copied = tensor.detach().clone()
    if copied.ndim == 4:
        copied = copied.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(copied, requires_grad=False)
