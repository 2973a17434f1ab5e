"""The separator for use: the same mathematics as `network`, with less work.

Of a trained network in eval mode it keeps its own tensors, rearranged:
* What follows a convolution as a normalisation is multiplied into its weights; the rest of it is
  one addition together with the beta. A normalisation before a convolution is one multiply-add.
* All additions ("shifts") are affine in the condition, so one matrix makes them for a condition.
* A transposed convolution whose stride is its kernel is a product of matrices.
* Activations run in place, channels come last in memory, unused tensors are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.audiosep.network import ResUNet30
from sepbench.baselines.audiosep.network_blocks import SLOPE
from sepbench.baselines.audiosep.network_signal import to_spectrum, to_waveform

# B batch, N samples, D condition, C channels, T frames, T' = T padded, K frequency bins


class FastResidual(nn.Module):
    """A residual block whose second normalisation is inside of its first convolution.

    Args:
        block: a `ResidualBlock`; submodules found by name have no type.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        scale1, _ = _affine(block.bn1)
        scale2, _ = _affine(block.bn2)
        self.scale1 = _kept(scale1[None, :, None, None])
        self.weight1 = _kept(block.conv1.weight * scale2[:, None, None, None])
        self.weight2 = _kept(block.conv2.weight)
        self.shortcut: nn.Parameter | None = None  # (in, out)
        self.bias: nn.Parameter | None = None
        if block.shortcut is not None:
            self.shortcut = _kept(block.shortcut.weight[:, :, 0, 0].T)
            self.bias = _kept(block.shortcut.bias)

    def forward(self, features: Tensor, shift1: Tensor, shift2: Tensor) -> Tensor:
        """Features (B, in, T, F) with shifts (B, in, 1, 1) and (B, out, 1, 1)."""
        return self.after(_scaled(features, self.scale1, shift1), [features], shift2)

    def after(self, activated: Tensor, parts: Sequence[Tensor], shift2: Tensor) -> Tensor:
        """The rest of the block.

        Args:
            activated: (B, in, T, F), what the first convolution reads.
            parts: the block's input as consecutive slices of its channels.
            shift2: (B, out, 1, 1).
        """
        hidden = _convolved(activated, self.weight1, shift2)
        hidden = functional.leaky_relu_(hidden, SLOPE)
        hidden = functional.conv2d(hidden, self.weight2, self.bias, padding=1)
        if self.shortcut is None:
            return hidden.add_(parts[0])
        # Added into the convolution's own result; one product a part, so that nothing is joined.
        flat = _last(hidden).flatten(0, 2)  # (B·T·F, out), the same memory
        weights = torch.split(self.shortcut.to(hidden.dtype), [part.shape[1] for part in parts])
        for part, weight in zip(parts, weights, strict=True):
            flat.addmm_(_last(part).flatten(0, 2).to(hidden.dtype), weight)
        return hidden


class FastDecoder(nn.Module):
    """A decoder block; the unused normalisation is gone.

    Args:
        block: a `DecoderBlock`.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        scale, _ = _affine(block.bn1)
        self.scale = _kept(scale[None, :, None, None])
        # (in, out, up, up) -> (up·up·out, in), for a product over the channels, which come last.
        weight = block.conv1.weight
        self.up = (weight.shape[2], weight.shape[3])
        self.weight = _kept(weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0]))
        self.inner = FastResidual(block.conv_block2)

    def forward(
        self, features: Tensor, skip: Tensor, shift: Tensor, inner1: Tensor, inner2: Tensor
    ) -> Tensor:
        """As `DecoderBlock`, with shifts in place of betas."""
        hidden = _scaled(features, self.scale, shift)
        batch, _, frames, bins = hidden.shape
        up, across = self.up
        raised = functional.linear(_last(hidden), self.weight)
        raised = raised.view(batch, frames, bins, up, across, -1).transpose(2, 3)
        raised = _first(raised.reshape(batch, frames * up, bins * across, -1))
        # What [raised, skip] becomes when it is scaled, without the two being joined before.
        if torch.compiler.is_compiling():  # it joins and scales in one pass, and takes no views
            joined = torch.cat([raised, skip.to(raised.dtype)], dim=1)
            activated = _scaled(joined, self.inner.scale1, inner1)
            return self.inner.after(activated, [raised, skip], inner2)
        out = raised.shape[1]
        scale, kind = self.inner.scale1.to(raised.dtype), raised.dtype
        inner1 = inner1.to(kind)
        activated = torch.empty(
            (batch, *raised.shape[2:], 2 * out), dtype=kind, device=raised.device
        ).permute(0, 3, 1, 2)
        for part, at in ((raised, slice(None, out)), (skip.to(kind), slice(out, None))):
            torch.addcmul(inner1[:, at], part, scale[:, at], out=activated[:, at])
        activated = functional.leaky_relu_(activated, SLOPE)
        return self.inner.after(activated, [raised, skip], inner2)


class InnerNetwork(nn.Module):
    """Padded magnitudes (B, T', K - 1) and shifts -> maps (B, 3, T', K - 1): what is compiled."""

    def __init__(self, network: ResUNet30) -> None:
        super().__init__()
        base, config = network.base, network.config
        self.first = _kept(base.pre_conv.weight[:, :, 0, 0])
        self.first_bias = _kept(base.pre_conv.bias)
        self.last = _kept(base.after_conv.weight[:, :, 0, 0])
        self.last_bias = _kept(base.after_conv.bias)
        self.pools = [pool for *_, pool in config.encoder]
        names = [*(name for name, *_ in config.encoder), config.bottleneck]
        self.encoder = nn.ModuleList(
            FastResidual(base.get_submodule(name).conv_block1) for name in names
        )
        self.decoder = nn.ModuleList(
            FastDecoder(base.get_submodule(name)) for name, *_ in config.decoder
        )

    def forward(self, magnitude: Tensor, shifts: Sequence[Tensor]) -> Tensor:
        """Shifts in the order in which they are used, (B, C, 1, 1) each."""
        left = iter(shifts)
        features = _first(functional.linear(magnitude[..., None], self.first, self.first_bias))
        skips = []
        for block, pool in zip(self.encoder[:-1], self.pools, strict=True):
            features = block(features, next(left), next(left))
            skips.append(features)
            features = functional.avg_pool2d(features, pool)
        features = self.encoder[-1](features, next(left), next(left))
        for block in self.decoder:
            features = block(features, skips.pop(), next(left), next(left), next(left))
        return _first(functional.linear(_last(features), self.last, self.last_bias))


class InferenceNetwork(nn.Module):
    """A fast copy of a trained network; the network itself can be let go.

    Args:
        network: with its weights, on any device; taken as in eval mode.
    """

    def __init__(self, network: ResUNet30) -> None:
        super().__init__()
        self.config = network.config
        with torch.no_grad():
            scale, shift = _affine(network.base.bn0)
            self.scale0, self.shift0 = _kept(scale[:-1]), _kept(shift[:-1])
            matrix, offset, self.sizes = _all_shifts(network)
            self.matrix, self.offset = _kept(matrix), _kept(offset)
            self.inner = InnerNetwork(network)
        self.eval()

    def compile_inner(self) -> None:
        """Let torch compile what lies between the spectra."""
        self.inner.compile()

    def shifts(self, condition: Tensor) -> list[Tensor]:
        """All that a condition does, (B, D) -> (B, C, 1, 1) for each normalisation in use."""
        with torch.autocast(condition.device.type, enabled=False):
            together = functional.linear(condition.float(), self.matrix, self.offset)
        # Contiguous each: compiled code asks for the strides it has seen.
        return [
            part.contiguous()[:, :, None, None] for part in torch.split(together, self.sizes, dim=1)
        ]

    def forward(self, mixture: Tensor, shifts: Sequence[Tensor]) -> Tensor:
        """Estimates for a batch, (B, N) -> (B, N) float32; silence gives exact silence."""
        config = self.config
        spectrum = to_spectrum(mixture, config.n_fft, config.hop)
        normed = torch.addcmul(self.shift0, spectrum.magnitude[..., :-1], self.scale0)
        # Padded after the normalisation, so that the padding is true zeros.
        padded = functional.pad(normed, (0, 0, 0, -normed.shape[1] % config.time_step))
        maps = self.inner(padded, shifts)
        return to_waveform(maps, spectrum, config.n_fft, config.hop, mixture.shape[-1])

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """As `ResUNet30`, (B, 1, N), (B, D) -> (B, 1, N)."""
        estimate: Tensor = self(mixture[:, 0], self.shifts(condition))
        return estimate[:, None]


def _scaled(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """lrelu(x · scale + shift) in the precision of x, which stays as it is."""
    kind = features.dtype
    scaled = torch.addcmul(shift.to(kind), features, scale.to(kind))
    return functional.leaky_relu_(scaled, SLOPE)


def _convolved(features: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    """A 3 x 3 convolution plus a shift for each item."""
    if len(features) == 1:  # the shift is a bias, and one pass over the memory less
        return functional.conv2d(features, weight, shift.reshape(-1), padding=1)
    convolved = functional.conv2d(features, weight, padding=1)
    return convolved.add_(shift.to(convolved.dtype))


def _last(features: Tensor) -> Tensor:
    """Channels moved to the end, (B, C, T, F) -> (B, T, F, C): a view, contiguous here."""
    return features.permute(0, 2, 3, 1)


def _first(features: Tensor) -> Tensor:
    """Back again, (B, T, F, C) -> (B, C, T, F)."""
    return features.permute(0, 3, 1, 2)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A normalisation with fixed statistics as scale and shift, (C,) each."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a normalisation without running statistics cannot be fixed")
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _all_shifts(network: ResUNet30) -> tuple[Tensor, Tensor, list[int]]:
    """Matrix (sum of C, D), offset (sum of C,) and each C, in the order of use."""
    matrices, offsets = [], []
    dead = network.film.dead
    for name, linear in network.film.named_children():
        if name in dead:
            continue
        norm = network.base.get_submodule(name.replace("->", ".").replace("beta", "bn"))
        if not isinstance(linear, nn.Linear) or not isinstance(norm, nn.BatchNorm2d):
            raise TypeError(f"{name} is no pair of a linear map and a normalisation")
        matrices.append(linear.weight)
        offsets.append(linear.bias + _affine(norm)[1])
    return torch.cat(matrices), torch.cat(offsets), [len(offset) for offset in offsets]


def _kept(tensor: Tensor | None) -> nn.Parameter:
    """A copy of its own, without gradients."""
    if tensor is None:
        raise ValueError("a convolution of this network has no bias where it should")
    copy = tensor.detach().clone()
    if copy.ndim == 4:
        copy = copy.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(copy, requires_grad=False)
