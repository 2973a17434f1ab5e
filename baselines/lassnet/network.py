"""LASS-Net as it is trained: text encoder, U-Net on magnitudes, mask.

    text tokens -> condition ------------------------------v
    mixture --STFT--> magnitude -> U-Net, moved by it -> mask · mixture --ISTFT--> estimate

`network_inference` makes the faster copy that the adapter runs. Tensors are named as published.

Source: Liu et al., Separate What You Describe, Interspeech 2022 (arXiv 2203.15147); layout of the
published checkpoint (8979776).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.lassnet.network_blocks import (
    DecoderBlock,
    EncoderBlock,
    ResidualBlock,
    initialise,
)
from sepbench.baselines.lassnet.network_signal import to_spectrum, to_waveform
from sepbench.baselines.lassnet.network_text import TextEmbedder
from sepbench.harness.errors import SettingError

# B batch, N samples, L tokens, D condition, T frames, T' = T padded, K bins, F = K - 2 of them used


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Sizes of the network; the defaults are the published ones.

    Attributes:
        widths: channels of each encoder block; their number is the depth.
        condition: D.
        sample_rate: Hz.
        n_fft: frame length in samples; frames are half of it apart.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 384, 384)
    condition: int = 256
    sample_rate: int = 32_000
    n_fft: int = 1024

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            SettingError: an empty size, or bins that cannot be halved once a block.
        """
        if not self.widths or min((*self.widths, self.condition, self.sample_rate)) < 1:
            raise SettingError(f"LASS-Net: {self} has an empty part. Give sizes above 0.")
        # One bin at least has to be left at the bottom: F + 1 is halved to 2, not to 1.
        step = 4 * self.time_step
        if self.n_fft < step or self.n_fft % step:
            raise SettingError(
                f"LASS-Net: n_fft={self.n_fft} does not fit {len(self.widths)} blocks. "
                f"Give a multiple of {step}, or fewer widths."
            )

    @property
    def bins(self) -> int:
        """K."""
        return self.n_fft // 2 + 1

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.n_fft // 2

    @property
    def min_samples(self) -> int:
        """Fewest samples that can be reflected at both ends."""
        return self.n_fft // 2 + 1

    @property
    def time_step(self) -> int:
        """T' is a multiple of it."""
        return int(2 ** len(self.widths))

    @property
    def bottleneck(self) -> str:
        """Name of the block between encoder and decoder."""
        return f"conv_block{len(self.widths) + 1}"

    @property
    def encoder(self) -> list[tuple[str, int, int]]:
        """Name, inputs and outputs of each encoder block, from the top."""
        inputs = (1, *self.widths[:-1])
        pairs = zip(inputs, self.widths, strict=True)
        return [(f"encoder_block{i}", *pair) for i, pair in enumerate(pairs, start=1)]

    @property
    def decoder(self) -> list[tuple[str, int, int]]:
        """Name, inputs and outputs of each decoder block, from the bottom."""
        outputs = self.widths[::-1]
        pairs = zip((self.widths[-1], *outputs[:-1]), outputs, strict=True)
        return [(f"decoder_block{i}", *pair) for i, pair in enumerate(pairs, start=1)]


class UNet(nn.Module):
    """Magnitudes and conditions to the logits of a mask."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        for name, inputs, outputs in config.encoder:
            self.add_module(name, EncoderBlock(inputs, outputs, config.condition))
        self.add_module(config.bottleneck, ResidualBlock(last, last, config.condition))
        for name, inputs, outputs in config.decoder:
            self.add_module(name, DecoderBlock(inputs, outputs, config.condition))
        self.after_conv_block1 = ResidualBlock(first, first, config.condition)
        self.after_conv2 = nn.Conv2d(first, 1, 1)
        initialise(self)

    def forward(self, magnitude: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, T, K) of magnitudes (B, T, K) and conditions (B, D)."""
        config = self.config
        features = padded(magnitude, config)[:, None]
        skips = []
        for name, *_ in config.encoder:
            features, skip = self.get_submodule(name)(features, condition)
            skips.append(skip)
        features = self.get_submodule(config.bottleneck)(features, condition)
        for name, *_ in config.decoder:
            features = self.get_submodule(name)(features, skips.pop(), condition)
        features = self.after_conv2(self.after_conv_block1(features, condition))
        return cropped(features[:, 0], magnitude.shape[1])


class LassNetwork(nn.Module):
    """Text encoder and separator, their tensors named as published (less `module.`).

    Args:
        config: sizes; None for the published ones.
        bert: a BertModel of other sizes than BERT-mini's.
    """

    def __init__(self, config: NetworkConfig | None = None, bert: Any = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.text_embedder = TextEmbedder(self.config.condition, bert)
        self.UNet = UNet(self.config)
        self.text_embedder.initialise()

    def forward(self, mixture: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Estimates for a batch, (B, N) with ids and mask (B, L) -> (B, N) float32.

        Args:
            mixture: at the config's rate; N at least `config.min_samples`.
            input_ids: int64, padded on the right with 0.
            attention_mask: 1 on tokens, 0 on padding.
        """
        return self.separate(mixture, self.text_embedder(input_ids, attention_mask))

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, N), (B, D) -> (B, N) float32. Silence gives silence."""
        n_fft = self.config.n_fft
        spectrum = to_spectrum(mixture, n_fft)
        logits = self.UNet(frames_seen(spectrum, mixture.shape[-1], self.config), condition)
        return to_waveform(logits, spectrum, n_fft, mixture.shape[-1])


def frames_seen(spectrum: Tensor, length: int, config: NetworkConfig) -> Tensor:
    """Magnitudes (B, T, K) of the frames that the network sees, T = N // hop + 1."""
    return spectrum[:, : length // config.hop + 1].abs()


def padded(magnitude: Tensor, config: NetworkConfig) -> Tensor:
    """Magnitudes (B, T, K) as the network takes them, (B, T', F): the last two bins left out."""
    return functional.pad(magnitude, (0, -2, 0, -magnitude.shape[1] % config.time_step))


def cropped(logits: Tensor, frames: int) -> Tensor:
    """Logits (B, T', F) -> (B, T, K); those of the last two bins are 0, so their mask is 0.5."""
    return functional.pad(logits[:, :frames], (0, 2))
