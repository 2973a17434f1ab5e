"""AudioSep: separate what a text, a label or a sound asks for.

A frozen CLAP turns the query into a vector of 512 numbers, which FiLM adds into a U-Net over the
mixture's spectrogram. Three models share the separator: the published one ("audiosep-clap"), the
same trained on other data ("audiosep-hive"), and one that reads texts with CLIP ("audiosep-clip",
for which no weights are public).

Differences from the original:
* Several audio examples make one condition: the mean of their embeddings, at length 1 again. The
  original takes one example. Long ones keep their first 10 s instead of a random crop. A text and
  examples together make the mean of both.
* A label is asked for as a text, underscores as blanks.
* "audiosep-clip" hears examples with Wav2CLIP, whose embeddings lie in CLIP's space.
* Long audio is cut by the harness with overlap and cross-fade; `chunking="original"` cuts as the
  original does (without its zeros for audio up to 5 s), "whole" not at all.
* Estimates keep their float values; the original writes 16-bit files, wrapped beyond full scale.

Source: Liu et al., Separate anything you describe, arXiv 2308.05037; code revision 944583f.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sepbench.baselines.audiosep.conditions import conditions
from sepbench.baselines.audiosep.layout import read_parts
from sepbench.baselines.audiosep.separation import (
    CARD_CHUNKING,
    MIN_SAMPLES,
    SAMPLE_RATE,
    checked_chunking,
    load_network,
    separate_batch,
)
from sepbench.baselines.encoders.clap import ClapAudio, ClapText
from sepbench.baselines.encoders.clap_names import read_clap
from sepbench.baselines.encoders.clip import ClipText
from sepbench.baselines.encoders.remembered import RememberedClips
from sepbench.baselines.encoders.wav2clip import Wav2Clip
from sepbench.baselines.weights import find_weights
from sepbench.harness.api import WITH_EXAMPLES, BaselineCard, Query, QueryKind
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.audiosep.network_inference import InferenceNetwork

# B batch, C channels, N samples, D = 512

WITH_WORDS: tuple[QueryKind, ...] = ("text", "label", "text+audio")
PAPER = "Liu et al., Separate anything you describe, arXiv 2308.05037"


class AudioSepClap:
    """AudioSep with its CLAP query encoder.

    Args:
        checkpoint: a file in one of the published forms; None for the installed one.
        tokenizer: folder with roberta-base's files; None for the installed one. Opened at the
            first text.
        clap_checkpoint: file of a CLAP, for a checkpoint that holds the separator alone; None
            where the checkpoint has its own.
        chunking: who cuts long audio: "harness", "original" (AudioSep's own rule) or "whole"
            (nobody, so memory grows with the length).
    """

    card = BaselineCard(
        name="audiosep-clap",
        summary="ResUNet30 with FiLM, conditioned on CLAP (text or audio), 4 M steps",
        query_kinds=("text", "label", "audio", "text+audio"),
        sample_rate=SAMPLE_RATE,
        channels=1,
        min_samples=MIN_SAMPLES,
        licence="code MIT; none stated for the weights",
        paper=PAPER,
        # The released code takes any list of files; these are the paper's, not checked against it.
        training_data=(
            "AudioSet (unchecked)",
            "VGGSound (unchecked)",
            "AudioCaps (unchecked)",
            "Clotho (unchecked)",
            "WavCaps (unchecked)",
        ),
    )
    weights: Mapping[str, str] = {"checkpoint": "audiosep-clap", "tokenizer": "roberta-base"}
    weights_of_kinds: Mapping[str, tuple[QueryKind, ...]] = {"tokenizer": WITH_WORDS}

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        tokenizer: str | None = None,
        clap_checkpoint: str | None = None,
        chunking: str = "harness",
    ) -> None:
        self.checkpoint = checkpoint
        self.clap_checkpoint = clap_checkpoint
        self.chunking = checked_chunking(self.card.name, chunking)
        self.card = replace(self.card, chunking=CARD_CHUNKING[self.chunking])
        self.text_encoder = ClapText(tokenizer=tokenizer)
        self.audio_encoder = ClapAudio()
        self.network: InferenceNetwork | None = None
        self._device = "cpu"
        self._hears = False
        self._remembered = RememberedClips()

    def load(self, device: str) -> None:
        """Separator and text tower to the device; the audio tower waits for an audio query.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: a file that is damaged, unsafe or made for another network, or one
                without a query encoder where no other is given.
        """
        path, name = self._path(), self.card.name
        parts = read_parts(path)
        if not parts.encoder and self.clap_checkpoint is None:
            raise CheckpointError(
                f"Baseline {name}: {path} holds the separator without a query encoder. Give the "
                f"CLAP it was trained with: models.{name}.clap_checkpoint=FILE."
            )
        self.network = load_network(parts.separator, device, what=f"{path.name} for {name}")
        self.text_encoder.load_state(*self._clap(device, parts.encoder), what=self._clap_name())
        self._device, self._hears = device, False
        self._remembered.clear()

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """One embedding (512,) of length 1 for each query, in order.

        Args:
            queries: with a text, a label, one or more examples at 32 kHz, or a text and examples.

        Raises:
            QueryError: a query without any of them, or an example that cannot be used.
            MissingWeightsError, CheckpointError: no tokenizer, or not RoBERTa's.
        """
        return conditions(
            queries,
            baseline=self.card.name,
            read=self.text_encoder.encode_text,
            hear=self._hear,
            remembered=self._remembered,
        )

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, C, N), (B, 512) -> (B, C, N). Silence stays silence.

        Raises:
            BaselineLoadError: not loaded.
        """
        return separate_batch(
            self.network, mixture, condition, chunking=self.chunking, baseline=self.card.name
        )

    def compile_network(self) -> None:
        """Let torch compile what lies between the spectra; spectra and masks run as they are."""
        if self.network is not None:
            self.network.compile_inner()

    def _path(self) -> Path:
        return Path(self.checkpoint or find_weights(self.weights["checkpoint"]))

    def _clap_name(self) -> str:
        return Path(self.clap_checkpoint or self._path()).name

    def _clap(
        self, device: str, encoder: Mapping[str, Tensor] | None = None
    ) -> tuple[Mapping[str, Tensor], str]:
        """CLAP's tensors and the device: the given file's before the checkpoint's own."""
        if self.clap_checkpoint is not None:
            return read_clap(self.clap_checkpoint), device
        return encoder if encoder is not None else read_parts(self._path()).encoder, device

    def _hear(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 512) of clips (N,) at 32 kHz."""
        import torch

        if not self._hears:
            # Parameters are made outside of the mode in which the harness asks.
            with torch.inference_mode(False):
                self.audio_encoder.load_state(*self._clap(self._device), what=self._clap_name())
            self._hears = True
        return self.audio_encoder.encode_audio(clips, sample_rate=SAMPLE_RATE)


class AudioSepHive(AudioSepClap):
    """The same network trained again on the Hive data; settings as `AudioSepClap`."""

    card = replace(
        AudioSepClap.card,
        name="audiosep-hive",
        summary="AudioSep's network and CLAP, trained again on the Hive data",
        licence="Apache-2.0",
        paper="arXiv 2601.22599; network of " + PAPER,
        training_data=("Hive",),
    )
    weights: Mapping[str, str] = {"checkpoint": "audiosep-hive", "tokenizer": "roberta-base"}


class AudioSepClip:
    """AudioSep's separator conditioned on CLIP's texts, or on Wav2CLIP. Bring your own weights.

    That the condition has length 1 here is our choice: nobody published how the paper's variant
    was scaled.

    Args:
        checkpoint: the separator, in one of AudioSep's forms (its tensors `ss_model.…` or bare);
            None for an installed one.
        clip_checkpoint: the hub file of CLIP ViT-B/32; None for the installed one.
        tokenizer: folder with CLIP's files; None for the installed one. Opened at the first text.
        wav2clip_checkpoint: Wav2CLIP.pt, which audio queries need; None for the installed one.
        chunking: as `AudioSepClap`.
    """

    card = BaselineCard(
        name="audiosep-clip",
        summary="AudioSep's network with CLIP ViT-B/32 texts. No public weights: train them and "
        "give checkpoint=FILE with the keys ss_model.…",
        query_kinds=("text", "label", "audio", "text+audio"),
        sample_rate=SAMPLE_RATE,
        channels=1,
        min_samples=MIN_SAMPLES,
        licence="CLIP: MIT (code); none stated for its weights",
        paper=PAPER,
    )
    weights: Mapping[str, str] = {
        "checkpoint": "audiosep-clip",
        "clip_checkpoint": "clip-vit-b32",
        "tokenizer": "clip-vit-b32-tokenizer",
        "wav2clip_checkpoint": "wav2clip",
    }
    weights_of_kinds: Mapping[str, tuple[QueryKind, ...]] = {
        "tokenizer": WITH_WORDS,
        "wav2clip_checkpoint": WITH_EXAMPLES,
    }

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        clip_checkpoint: str | None = None,
        tokenizer: str | None = None,
        wav2clip_checkpoint: str | None = None,
        chunking: str = "harness",
    ) -> None:
        self.checkpoint = checkpoint
        self.chunking = checked_chunking(self.card.name, chunking)
        self.card = replace(self.card, chunking=CARD_CHUNKING[self.chunking])
        self.text_encoder = ClipText(checkpoint=clip_checkpoint, tokenizer=tokenizer)
        self.audio_encoder = Wav2Clip(checkpoint=wav2clip_checkpoint)
        self.network: InferenceNetwork | None = None
        self._device = "cpu"
        self._hears = False
        self._remembered = RememberedClips()

    def load(self, device: str) -> None:
        """Separator and text tower to the device; Wav2CLIP waits for an audio query.

        Raises:
            MissingWeightsError: a file that is neither given nor installed.
            CheckpointError: a file that is damaged, unsafe or made for another network, such as
                an AudioSep that was trained with CLAP.
        """
        path, name = (
            Path(self.checkpoint or find_weights(self.weights["checkpoint"])),
            self.card.name,
        )
        parts = read_parts(path)
        if parts.encoder:
            raise CheckpointError(
                f"Baseline {name}: {path} was trained with the CLAP it holds, and CLIP's "
                "embeddings would mean nothing to it. Use audiosep-clap for it."
            )
        self.network = load_network(parts.separator, device, what=f"{path.name} for {name}")
        self.text_encoder.load(device)
        self._device, self._hears = device, False
        self._remembered.clear()

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """One embedding (512,) of length 1 for each query, as `AudioSepClap.condition`.

        Raises:
            QueryError: a query without words or examples, or an example that cannot be used.
            MissingWeightsError, CheckpointError: no tokenizer or not CLIP's, no Wav2CLIP.
        """
        return conditions(
            queries,
            baseline=self.card.name,
            read=self.text_encoder.encode_text,
            hear=self._hear,
            remembered=self._remembered,
        )

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """As `AudioSepClap.separate`."""
        return separate_batch(
            self.network, mixture, condition, chunking=self.chunking, baseline=self.card.name
        )

    def compile_network(self) -> None:
        """As `AudioSepClap.compile_network`."""
        if self.network is not None:
            self.network.compile_inner()

    def _hear(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 512) of clips (N,) at 32 kHz, not of length 1."""
        import torch
        from torchaudio.functional import resample

        if not self._hears:
            with torch.inference_mode(False):  # as `AudioSepClap`
                self.audio_encoder.load(self._device)
            self._hears = True
        rate = Wav2Clip.card.sample_rate
        return self.audio_encoder.encode_audio([resample(c, SAMPLE_RATE, rate) for c in clips])
