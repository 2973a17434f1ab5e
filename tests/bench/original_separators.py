"""Stand-ins for the published evaluation loops of AudioSep and LASS-Net, to be timed beside ours.

The same networks with the same tensors, run as their authors' scripts run them: eagerly, one item
at a time, spectra by convolutions with DFT matrices, nothing kept between items; for AudioSep the
text goes through RoBERTa twice, padded to 512 tokens.
"""

from __future__ import annotations

import torch
from convolution_stft import ConvolutionStft
from torch import Tensor, nn

from sepbench.baselines.audiosep.network import ResUNet30
from sepbench.baselines.encoders.clap import ClapText
from sepbench.baselines.lassnet.network import LassNetwork

# B batch, N samples, T frames, K frequency bins, L tokens

FLOOR = 1e-10
LONGEST_TEXT = 512
PAD_ID = 1


class OriginalAudioSep(nn.Module):
    """AudioSep's loop for one item: text, separation.

    Args:
        network: the separator as it is trained, in eval mode.
        text_encoder: CLAP's text tower, loaded.
    """

    def __init__(self, network: ResUNet30, text_encoder: ClapText) -> None:
        super().__init__()
        self.network, self.text_encoder = network, text_encoder
        self.stft = ConvolutionStft(network.config.n_fft, network.config.hop)

    def condition(self, input_ids: Tensor) -> Tensor:
        """The embedding of one text (1, L), padded to 512 tokens; both passes of the script."""
        missing = LONGEST_TEXT - input_ids.shape[1]
        ids = nn.functional.pad(input_ids, (0, missing), value=PAD_ID)
        mask = nn.functional.pad(torch.ones_like(input_ids), (0, missing))
        for _ in range(2):  # the encoder's own method would leave the padding out
            embedding = self.text_encoder._embed(ids, mask)
        return nn.functional.normalize(embedding, dim=-1)

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """The estimate of one mixture, (1, N), (1, D) -> (1, N)."""
        real, imaginary = self.stft(mixture)
        magnitude = (real.square() + imaginary.square()).clamp(min=FLOOR).sqrt()
        cosine, sine = real / magnitude, imaginary / magnitude
        maps = self.network.base(magnitude, self.network.film(condition))
        # The bin at Nyquist has no map of its own: zeros.
        maps = nn.functional.pad(maps, (0, 1))[:, :, : magnitude.shape[1]]
        mask, mask_real, mask_imaginary = maps.unbind(1)
        mask, mask_real, mask_imaginary = mask.sigmoid(), mask_real.tanh(), mask_imaginary.tanh()
        norm = (mask_real.square() + mask_imaginary.square()).sqrt().clamp(min=FLOOR)
        mask_real, mask_imaginary = mask_real / norm, mask_imaginary / norm
        level = torch.relu(magnitude * mask)
        return self.stft.inverse(
            level * (cosine * mask_real - sine * mask_imaginary),
            level * (sine * mask_real + cosine * mask_imaginary),
            mixture.shape[-1],
        )


class OriginalLassNet(nn.Module):
    """LASS-Net's loop for one item.

    Args:
        network: text encoder and separator as they are trained, in eval mode.
    """

    def __init__(self, network: LassNetwork) -> None:
        super().__init__()
        self.network = network
        self.stft = ConvolutionStft(network.config.n_fft, network.config.hop)

    def condition(self, input_ids: Tensor) -> Tensor:
        """The embedding of one text, (1, L) -> (1, D)."""
        condition: Tensor = self.network.text_embedder(input_ids, torch.ones_like(input_ids))
        return condition

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """The estimate of one mixture, (1, N), (1, D) -> (1, N); N a multiple of the hop."""
        real, imaginary = self.stft(mixture)
        magnitude = (real.square() + imaginary.square()).sqrt()
        phase = torch.atan2(imaginary, real)
        masked = magnitude * self.network.UNet(magnitude, condition).sigmoid()
        return self.stft.inverse(masked * phase.cos(), masked * phase.sin(), mixture.shape[-1])
