"""The query encoders that AudioSep is trained under; none of them changes in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sepbench.baselines.encoders.clap import DIMENSION, ClapAudio, ClapText
from sepbench.baselines.encoders.clap_names import read_clap
from sepbench.baselines.encoders.clip import ClipText
from sepbench.baselines.encoders.clips import checkpoint_path
from sepbench.baselines.encoders.wav2clip import Wav2Clip
from sepbench.baselines.small.contrastive_recipe import read_pair
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sepbench.baselines.small.network_contrastive import ContrastivePair

# B batch, N samples, D condition


class FrozenClap:
    """LAION-CLAP, both towers; becomes part of the written checkpoint.

    Args:
        checkpoint: LAION's file or AudioSep's; None for the installed "clap".
        tokenizer: folder of roberta-base; None for the installed one.
    """

    dimension = DIMENSION

    def __init__(self, checkpoint: str | None, tokenizer: str | None) -> None:
        self._checkpoint = checkpoint
        self._text, self._audio = ClapText(tokenizer=tokenizer), ClapAudio()
        self._device, self._hears, self._rate = "", False, 0
        self.state: Mapping[str, Tensor] = {}

    def load(self, sample_rate: int, *, hears: bool) -> None:
        """Read the file; networks go to a device when they are first asked.

        Raises:
            MissingWeightsError, CheckpointError: as the encoders'.
        """
        self.state = read_clap(checkpoint_path(self._checkpoint, "clap"))
        self._rate, self._hears = sample_rate, hears

    def read(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Directions (B, D) of texts."""
        self._move(str(device))
        return self._text.encode_text(texts).to(device)

    def hear(self, sounds: Tensor) -> Tensor:
        """Directions (B, D) of sounds (B, N)."""
        self._move(str(sounds.device))
        found = self._audio.encode_audio(list(sounds), sample_rate=self._rate)
        return found.to(sounds.device)

    def _move(self, device: str) -> None:
        if self._device != device:
            self._text.load_state(self.state, device)
            if self._hears:
                self._audio.load_state(self.state, device)
            self._device = device


class FrozenClip:
    """CLIP's texts, and Wav2CLIP for sounds; neither becomes part of the written checkpoint.

    Args:
        checkpoint: hub file of CLIP ViT-B/32; None for the installed one.
        tokenizer: folder of CLIP's; None for the installed one.
    """

    dimension = DIMENSION
    state: Mapping[str, Any] = {}

    def __init__(self, checkpoint: str | None, tokenizer: str | None) -> None:
        self._text = ClipText(checkpoint=checkpoint, tokenizer=tokenizer)
        self._audio = Wav2Clip()
        self._device, self._hears, self._rate = "", False, 0

    def load(self, sample_rate: int, *, hears: bool) -> None:
        """Read the files.

        Raises:
            MissingWeightsError, CheckpointError: as the encoders'.
        """
        self._rate, self._hears = sample_rate, hears
        self._move("cpu")

    def read(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Embeddings (B, D) of texts."""
        self._move(str(device))
        return self._text.encode_text(texts).to(device)

    def hear(self, sounds: Tensor) -> Tensor:
        """Embeddings (B, D) of sounds (B, N)."""
        from torchaudio.functional import resample

        self._move(str(sounds.device))
        heard = resample(sounds, self._rate, self._audio.card.sample_rate)
        return self._audio.encode_audio(list(heard)).to(sounds.device)

    def _move(self, device: str) -> None:
        if self._device != device:
            self._text.load(device)
            if self._hears:
                self._audio.load(device)
            self._device = device


class FrozenPair:
    """A pair that the recipe "contrastive" has trained; becomes part of the written file.

    Args:
        checkpoint: contrastive.safetensors.
        tokenizer: has to be None; the file holds the words.
    """

    def __init__(self, checkpoint: str | None, tokenizer: str | None) -> None:
        if checkpoint is None:
            raise SettingError(
                "network.encoder=contrastive needs network.encoder_checkpoint=FILE: train one "
                "with bench train contrastive."
            )
        if tokenizer is not None:
            raise SettingError("network.tokenizer: a contrastive pair has words of its own.")
        self._checkpoint = checkpoint
        self.pair: ContrastivePair
        self.vocabulary = Vocabulary(())
        self.dimension = 0

    def load(self, sample_rate: int, *, hears: bool) -> None:
        """Read the file.

        Raises:
            CheckpointError: missing, damaged, or another network's.
            SettingError: trained at another rate.
        """
        self.pair, self.vocabulary = read_pair(self._checkpoint)
        self.pair.requires_grad_(False)
        self.dimension = self.pair.config.condition
        if self.pair.config.sample_rate != sample_rate:
            raise SettingError(
                f"{self._checkpoint} hears at {self.pair.config.sample_rate} Hz; give "
                f"data.sample_rate={self.pair.config.sample_rate}."
            )

    def refuse_unknown(self, texts: Sequence[str]) -> None:
        """Refuse texts that would all be one to it.

        Raises:
            SettingError: it knows no word of one.
        """
        unknown = self.vocabulary.unknown(texts)
        if unknown:
            raise SettingError(
                f"{self._checkpoint} knows no word of {len(unknown)} of {len(texts)} texts, "
                f"'{unknown[0]}' among them. Train a pair on these texts (bench train "
                "contrastive), or give network.text_ratio=0."
            )

    def read(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Directions (B, D) of texts."""
        self.pair.to(device)
        ids, mask = self.vocabulary.encode(texts)
        return self.pair.read(ids.to(device), mask.to(device))

    def hear(self, sounds: Tensor) -> Tensor:
        """Directions (B, D) of sounds (B, N)."""
        return self.pair.to(sounds.device).hear(sounds)
