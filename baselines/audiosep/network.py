"""ResUNet30 with additive FiLM: AudioSep's separator, as it is trained.

    mixture --STFT--> magnitude -> U-Net (+ betas of the condition) -> 3 maps --ISTFT--> estimate

`network_inference` makes the faster copy that the adapters run. Tensors are named as published,
and those that no computation uses are kept so that checkpoints fit both ways.

Source: Liu et al., arXiv 2308.05037; layout of the published checkpoint (revision 944583f).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from sepbench.baselines.audiosep.network_blocks import (
    MOMENTUM,
    DecoderBlock,
    EncoderBlock,
    initialise,
)
from sepbench.baselines.audiosep.network_signal import to_spectrum, to_waveform
from sepbench.harness.errors import SettingError

# B batch, N samples, D condition, C channels, T frames, T' = T padded, K frequency bins


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Sizes of the network; the defaults are the published ones.

    Attributes:
        widths: channels of each encoder block; their number is the depth.
        condition: D.
        sample_rate: Hz.
        n_fft: frame length in samples; the README's 1024 belongs to another model, the
            published tensors are made for 2048.
        hop: samples between frames.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 384, 384)
    condition: int = 512
    sample_rate: int = 32_000
    n_fft: int = 2048
    hop: int = 320

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            SettingError: no widths, or bins that cannot be halved once a block.
        """
        if not self.widths or min((*self.widths, self.condition, self.hop)) < 1:
            raise SettingError(f"AudioSep network: {self} has an empty part. Give sizes above 0.")
        if self.n_fft % 2 ** (len(self.widths) + 1):
            raise SettingError(
                f"AudioSep network: n_fft={self.n_fft} cannot be halved {len(self.widths) + 1} "
                f"times. Give a multiple of {2 ** (len(self.widths) + 1)}, or fewer widths."
            )
        if self.hop > self.n_fft // 2:
            raise SettingError(f"AudioSep network: hop={self.hop} exceeds half of n_fft.")

    @property
    def bins(self) -> int:
        """K."""
        return self.n_fft // 2 + 1

    @property
    def min_samples(self) -> int:
        """Fewest samples that can be reflected at both ends."""
        return self.n_fft // 2 + 1

    @property
    def time_step(self) -> int:
        """T' is a multiple of it. The last encoder block pools frequency only."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def bottleneck(self) -> str:
        """Name of the block between encoder and decoder."""
        return f"conv_block{len(self.widths) + 1}a"

    @property
    def encoder(self) -> list[tuple[str, int, int, tuple[int, int]]]:
        """Name, inputs, outputs and pooling of each encoder block, from the top."""
        depth = len(self.widths)
        inputs = (self.widths[0], *self.widths[:-1])
        return [
            (f"encoder_block{i + 1}", inputs[i], self.widths[i], (1 + (i < depth - 1), 2))
            for i in range(depth)
        ]

    @property
    def decoder(self) -> list[tuple[str, int, int, tuple[int, int]]]:
        """Name, inputs, outputs and raising of each decoder block, from the bottom."""
        outputs = self.widths[::-1]
        inputs = (self.widths[-1], *outputs[:-1])
        return [
            (f"decoder_block{i + 1}", inputs[i], outputs[i], (1 + (i > 0), 2))
            for i in range(len(outputs))
        ]


class Film(nn.Module):
    """One linear map for each beta, all of the same condition; `->` stands for `.` in names."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths: dict[str, int] = {}
        for name, inputs, outputs, _ in config.encoder:
            widths |= _residual(f"{name}->conv_block1", inputs, outputs)
        last = config.widths[-1]
        widths |= _residual(f"{config.bottleneck}->conv_block1", last, last)
        for name, inputs, outputs, _ in config.decoder:
            # beta2 belongs to the normalisation that no computation uses.
            widths |= {f"{name}->beta1": inputs, f"{name}->beta2": inputs}
            widths |= _residual(f"{name}->conv_block2", 2 * outputs, outputs)
        for name, channels in widths.items():
            self.add_module(name, nn.Linear(config.condition, channels))
        self.dead = frozenset(f"{name}->beta2" for name, *_ in config.decoder)

    def forward(self, condition: Tensor) -> dict[str, Tensor]:
        """Every beta that is used, (B, D) -> (B, C) by name."""
        return {
            name: linear(condition)
            for name, linear in self.named_children()
            if name not in self.dead
        }


class Base(nn.Module):
    """The U-Net: magnitudes (B, T, K) and betas -> three maps (B, 3, T', K - 1)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.bn0 = nn.BatchNorm2d(config.bins, momentum=MOMENTUM)
        self.pre_conv = nn.Conv2d(1, first, 1)
        for name, inputs, outputs, pool in config.encoder:
            self.add_module(name, EncoderBlock(inputs, outputs, pool))
        self.add_module(config.bottleneck, EncoderBlock(last, last, (1, 1)))
        for name, inputs, outputs, up in config.decoder:
            self.add_module(name, DecoderBlock(inputs, outputs, up))
        self.after_conv = nn.Conv2d(first, 3, 1)

    def forward(self, magnitude: Tensor, betas: Mapping[str, Tensor]) -> Tensor:
        """Maps for a batch; frames past T are what the padding gave."""
        # Frequency takes the place of channels in the first normalisation.
        normed = self.bn0(magnitude.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        # Padded after the normalisation, so that the padding is true zeros.
        missing = -normed.shape[1] % self.config.time_step
        padded = functional.pad(normed, (0, -1, 0, missing))  # (B, T', K - 1)
        features = self.pre_conv(padded[:, None])
        skips = []
        for name in [*(block[0] for block in self.config.encoder), self.config.bottleneck]:
            at = f"{name}->conv_block1->beta"
            block = self.get_submodule(name)
            features, skip = block(features, betas[f"{at}1"], betas[f"{at}2"])
            skips.append(skip)
        skips.pop()  # the bottleneck's is what it passes on
        for name, *_ in self.config.decoder:
            at = f"{name}->conv_block2->beta"
            features = self.get_submodule(name)(
                features, skips.pop(), betas[f"{name}->beta1"], betas[f"{at}1"], betas[f"{at}2"]
            )
        maps: Tensor = self.after_conv(features)
        return maps


class ResUNet30(nn.Module):
    """The separator with its tensors named as published (`ss_model.` in the checkpoints).

    Args:
        config: sizes; None for the published ones.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.base = Base(self.config)
        self.film = Film(self.config)
        initialise(self)

    def forward(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, 1, N), (B, D) -> (B, 1, N) float32.

        Args:
            mixture: at the config's rate; N at least `config.min_samples`. Silence gives silence.
            condition: embeddings of length 1.
        """
        n_fft, hop = self.config.n_fft, self.config.hop
        spectrum = to_spectrum(mixture[:, 0], n_fft, hop)
        maps = self.base(spectrum.magnitude, self.film(condition))
        return to_waveform(maps, spectrum, n_fft, hop, mixture.shape[-1])[:, None]


def _residual(name: str, inputs: int, outputs: int) -> dict[str, int]:
    return {f"{name}->beta1": inputs, f"{name}->beta2": outputs}
