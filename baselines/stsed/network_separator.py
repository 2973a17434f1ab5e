"""The separator of ST-SED: a magnitude U-Net that a query vector shifts at every convolution.

It masks the mixture's magnitude and keeps its phase. No residual links, no complex mask, no
scaling by the query: linear layers of it are added to the channels, after the ReLU.

Parameters have the published names. Beyond the original: any number of levels and widths, so that
small ones can be trained; the FFT in place of convolutions with DFT matrices; and norms that are
merged into the convolutions before use (`prepare`).

Source: Chen et al., AAAI 2022 (arXiv 2112.07891); behaviour of the official code (3a4e363).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad, relu

from sepbench.baselines.stsed.network_winograd import LEAST_CHANNELS, Winograd

# B batch, N samples, D condition, T frames, K = n_fft / 2 + 1 frequency bins, W channels of a map


@dataclass(frozen=True, kw_only=True, slots=True)
class SeparatorConfig:
    """Sizes of the network; the defaults are the published ones (167.6 M parameters).

    Attributes:
        widths: channels of the encoder's levels, the centre last. L levels above the centre halve
            time and frequency L times.
        condition: D, the length of the query vector.
        n_fft: frame length in samples; n_fft / 2 must divide by 2 ** L.
        hop: samples between frames.
        sample_rate: Hz that the network is trained at; nothing is computed with it.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    condition: int = 2048
    n_fft: int = 2048
    hop: int = 320
    sample_rate: int = 32_000

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            ValueError: says which.
        """
        if len(self.widths) < 2 or min(*self.widths, self.condition, self.hop) < 1:
            raise ValueError(f"widths={self.widths}, condition={self.condition}, hop={self.hop}")
        if self.n_fft % (2 * self.stride):
            raise ValueError(f"n_fft={self.n_fft} must divide by {2 * self.stride}")

    @property
    def stride(self) -> int:
        """Frames, and bins, that become one in the centre."""
        return int(2 ** (len(self.widths) - 1))


class ConvBlock(nn.Module):
    """Two convolutions, each normalised, rectified and shifted by the query."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(outputs, momentum=0.01)
        self.emb1 = nn.Linear(condition, outputs)
        self.conv2: nn.Module = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(outputs, momentum=0.01)
        self.emb2 = nn.Linear(condition, outputs)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """(B, W, T, K), (B, D) -> (B, W', T, K)."""
        image = _shifted(self.bn1(self.conv1(image)), self.emb1(condition))
        return _shifted(self.bn2(self.conv2(image)), self.emb2(condition))


class EncoderBlock(nn.Module):
    """A block, and its map at half the size.

    Attributes:
        joins: the map is handed on with room for the decoder's before it, (B, 2W', T, K), so that
            it need not be copied there: what `Doubling` takes.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.conv_block = ConvBlock(inputs, outputs, condition)
        self.joins = False

    def forward(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W, T, K) -> pooled (B, W', T / 2, K / 2), and the map (B, W', T, K) itself."""
        block = self.conv_block
        if not self.joins:
            image = block(image, condition)
            return avg_pool2d(image, 2), image
        image = _shifted(block.bn1(block.conv1(image)), block.emb1(condition))
        image = block.bn2(block.conv2(image)).relu_()
        shift = block.emb2(condition)[:, :, None, None]
        batch, channels, rows, columns = image.shape
        joined = torch.empty(
            (batch, 2 * channels, rows, columns),
            dtype=image.dtype,
            device=image.device,
            memory_format=torch.channels_last,
        )
        torch.add(image, shift, out=joined[:, channels:])
        return avg_pool2d(image, 2).add_(shift), joined


class DecoderBlock(nn.Module):
    """Twice the size, then a block over what the encoder had there."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(outputs, momentum=0.01)
        self.emb1 = nn.Linear(condition, outputs)
        self.conv_block2 = ConvBlock(2 * outputs, outputs, condition)

    def forward(self, image: Tensor, skip: Tensor, condition: Tensor) -> Tensor:
        """(B, W, T / 2, K / 2), (B, W', T, K) -> (B, W', T, K)."""
        shift = self.emb1(condition)
        if isinstance(self.conv1, Doubling):
            joined = self.conv1(image, shift, skip)
        else:
            image = _shifted(self.bn1(self.conv1(image)), shift)
            # The transposed convolution gives one row and one column too many.
            joined = torch.cat([image[:, :, :-1, :-1], skip], 1)
        return self.conv_block2(joined, condition)  # type: ignore[no-any-return]  # modules are untyped


class Doubling(nn.Module):
    """The first half of a decoder block: a transposed convolution as four small ones.

    Row 2i of its answer takes rows i - 1 and i of the image, row 2i + 1 takes row i alone, and
    columns alike: no product with an inserted zero. What comes out is rectified, shifted and put
    beside the encoder's map, where that has left room. For use, not for training.
    """

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        weight = conv.weight.transpose(0, 1)  # (W', W, 3, 3)
        self.bias = conv.bias
        even, odd = [2, 0], [1]
        for name, rows, columns in (
            ("even_even", even, even),
            ("even_odd", even, odd),
            ("odd_even", odd, even),
            ("odd_odd", odd, odd),
        ):
            part = weight[:, :, rows][:, :, :, columns].detach().clone()
            self.register_parameter(name, nn.Parameter(part, requires_grad=False))

    def forward(self, image: Tensor, shift: Tensor, joined: Tensor) -> Tensor:
        """(B, W, T, K), (B, W'), (B, 2W', 2T, 2K) -> the last, its first W' channels filled."""
        channels, rows, columns = joined.shape[1] // 2, *joined.shape[2:]
        for row, down in enumerate(("even", "odd")):
            for column, across in enumerate(("even", "odd")):
                weight = self.get_parameter(f"{down}_{across}")
                part = conv2d(image, weight, self.bias, padding=(1 - row, 1 - column))
                part = _shifted(part[:, :, : rows // 2, : columns // 2], shift)
                joined[:, :channels, row::2, column::2] = part
        return joined


class Separator(nn.Module):
    """Waveforms and query vectors to waveforms."""

    window: Tensor

    def __init__(self, config: SeparatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or SeparatorConfig()
        widths, size = self.config.widths, self.config.condition
        self.depth = len(widths) - 1
        self.bn0 = nn.BatchNorm2d(self.config.n_fft // 2 + 1, momentum=0.01)
        for level, (above, here) in enumerate(zip((1, *widths[:-2]), widths[:-1], strict=True), 1):
            self.add_module(f"encoder_block{level}", EncoderBlock(above, here, size))
        self.add_module(f"conv_block{len(widths)}", ConvBlock(widths[-2], widths[-1], size))
        down = widths[::-1]
        for level, (below, here) in enumerate(pairwise(down), 1):
            self.add_module(f"decoder_block{level}", DecoderBlock(below, here, size))
        self.after_conv_block1 = ConvBlock(widths[0], widths[0], size)
        self.after_conv2 = nn.Conv2d(widths[0], 1, 1)
        # Made here and in no checkpoint.
        self.register_buffer("window", torch.hann_window(self.config.n_fft), persistent=False)

    def forward(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """The asked-for sound in each mixture.

        Args:
            mixture: (B, N), N > n_fft / 2.
            condition: (B, D).

        Returns:
            (B, N). Silence stays silence.
        """
        spectrum = self.spectrum(mixture)
        return self.waveform(spectrum * self.mask(spectrum.abs(), condition), mixture.shape[-1])

    def spectrum(self, signal: Tensor) -> Tensor:
        """(B, N) -> (B, K, T) complex, T = 1 + N // hop; the edges are reflected."""
        spectrum = torch.stft(
            signal.float(),
            self.config.n_fft,
            self.config.hop,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return spectrum

    def waveform(self, spectrum: Tensor, length: int) -> Tensor:
        """(B, K, T) complex -> (B, N = length), by window-weighted overlap-add."""
        n_fft, hop = self.config.n_fft, self.config.hop
        return torch.istft(spectrum, n_fft, hop, window=self.window, center=True, length=length)

    def mask(self, magnitude: Tensor, condition: Tensor) -> Tensor:
        """Share of the target, (B, K, T), (B, D) -> (B, K, T) in (0, 1)."""
        logits = self.logits(self.image(magnitude), condition)  # (B, 1, T', K - 1)
        frames = magnitude.shape[-1]
        # The network does not see the last bin; a logit of 0 makes its mask 0.5 for any query.
        logits = pad(logits[:, 0, :frames].float(), (0, 1))  # (B, T, K)
        return torch.sigmoid(logits).transpose(1, 2)

    def image(self, magnitude: Tensor) -> Tensor:
        """What the U-Net takes: normalised bins, frames padded with zeros to a multiple of 2 ** L.

        (B, K, T) -> (B, 1, T', K - 1).
        """
        image = self.bn0(magnitude[..., None])[..., 0].transpose(1, 2)[:, None, :, :-1]
        padded: Tensor = pad(image, (0, 0, 0, -image.shape[2] % self.config.stride))
        # Channels last is what the convolutions of a CPU, and of a GPU in half precision, are
        # fastest with; they hand the order on.
        return padded.contiguous(memory_format=torch.channels_last)

    def logits(self, image: Tensor, condition: Tensor) -> Tensor:
        """The U-Net itself, (B, 1, T', K - 1), (B, D) -> the same shape."""
        skips: list[Tensor] = []
        for block in self._blocks("encoder_block"):
            image, skip = block(image, condition)
            skips.append(skip)
        image = self.get_submodule(f"conv_block{self.depth + 1}")(image, condition)
        for block in self._blocks("decoder_block"):
            image = block(image, skips.pop(), condition)
        image = self.after_conv_block1(image, condition)
        return self.after_conv2(image)  # type: ignore[no-any-return]  # modules are untyped

    def prepare(self, device: str = "cpu") -> None:
        """Make it fast: for use, not for training. The same function up to rounding.

        Every norm is merged into the convolution before it, which saves a pass over each map;
        transposed convolutions are taken apart; the weights get the order that the maps have;
        the encoder's maps are made where the decoder takes them. For a CPU, convolutions of many
        channels become `Winograd`, which takes 0.3 GB of weights more; GPUs have their own.
        """
        self.eval()
        for block in self.modules():
            if isinstance(block, ConvBlock | DecoderBlock):
                _merge(block, "1")
            if isinstance(block, ConvBlock):
                _merge(block, "2")
            elif isinstance(block, DecoderBlock) and isinstance(block.conv1, nn.ConvTranspose2d):
                block.conv1 = Doubling(block.conv1)
            elif isinstance(block, EncoderBlock):
                block.joins = True
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
        if device == "cpu":
            for block in self.modules():
                if isinstance(block, ConvBlock):
                    block.conv1, block.conv2 = _fewer_products(block.conv1, block.conv2)

    def _blocks(self, kind: str) -> Sequence[nn.Module]:
        return [self.get_submodule(f"{kind}{level}") for level in range(1, self.depth + 1)]


def initialise(network: Separator) -> None:
    """Draw the parameters as the original does before training; uses torch's global generator."""
    for block in network.modules():
        if isinstance(block, ConvBlock):
            for number in (1, 2):
                nn.init.xavier_uniform_(block.get_parameter(f"conv{number}.weight"))
            for embedding in (block.emb1, block.emb2):
                nn.init.uniform_(embedding.weight, -0.1, 0.1)
                nn.init.zeros_(embedding.bias)
    nn.init.xavier_uniform_(network.after_conv2.weight)
    if network.after_conv2.bias is not None:
        nn.init.zeros_(network.after_conv2.bias)


def _shifted(image: Tensor, shift: Tensor) -> Tensor:
    """Rectified, then a constant added to each channel: (B, W, T, K), (B, W)."""
    if torch.is_grad_enabled():
        return relu(image) + shift[:, :, None, None]
    return image.relu_().add_(shift[:, :, None, None])


def _fewer_products(*convs: nn.Module) -> list[nn.Module]:
    """Convolutions, those that gain by it as `Winograd`."""
    return [
        Winograd(conv)
        if isinstance(conv, nn.Conv2d)
        and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
        else conv
        for conv in convs
    ]


def _merge(block: nn.Module, number: str) -> None:
    """Replace a block's convolution and norm by one convolution that does both."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    conv, norm = block.get_submodule(f"conv{number}"), block.get_submodule(f"bn{number}")
    if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
        transpose = isinstance(conv, nn.ConvTranspose2d)
        setattr(block, f"conv{number}", fuse_conv_bn_eval(conv, norm, transpose=transpose))
        setattr(block, f"bn{number}", nn.Identity())
