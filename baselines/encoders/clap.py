"""LAION-CLAP: texts and sounds in one space of 512 dimensions.

HTSAT-base and RoBERTa-base, without fusion: the query encoder of AudioSep, and what CLAPScore
measures with. Runs on the CLAP classes of transformers, with the weights of LAION's or AudioSep's
own files; no config and no weights come from the hub.

Differences from the original: texts are padded to the longest of their batch instead of 512
tokens (1e-7 in the embedding), and clips over 10 s keep their first 10 s instead of a random crop.

Source: Wu et al., ICASSP 2023; model code of LAION-CLAP as used by AudioSep (944583f).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit
from sepbench.baselines.encoders import clap_audio
from sepbench.baselines.encoders.batches import in_batches, refuse_unloaded, trimmed, unit_length
from sepbench.baselines.encoders.clap_names import audio_tensors, read_clap, text_tensors
from sepbench.baselines.encoders.construction import without_draws
from sepbench.baselines.encoders.tokenizers import open_tokenizer, to_tokens
from sepbench.baselines.weights import find_weights
from sepbench.harness.api import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor

# B batch, L tokens, N samples, D = 512

DIMENSION = 512
VOCABULARY = 50_265
MAX_TOKENS = 512
TEXTS_AT_ONCE = 64
CLIPS_AT_ONCE = 8
PAPER = "Wu et al., Large-scale contrastive language-audio pretraining, ICASSP 2023"
LICENCE = "CC0-1.0 (LAION's checkpoint)"
# Buffers the constructors make; whether a state dict holds them differs between releases.
_COMPUTED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")


class ClapText:
    """Embeddings of texts.

    Args:
        checkpoint: LAION's file or an AudioSep checkpoint; None for the installed "clap".
        tokenizer: folder with roberta-base's files; None for the installed one. Opened at the
            first text.
    """

    card = EncoderCard(
        name="clap-text",
        kind="text",
        dimension=DIMENSION,
        normalised=True,
        summary="LAION-CLAP's text tower (RoBERTa-base, projected); AudioSep's query encoder",
        licence=LICENCE,
        paper=PAPER,
        verified="model code of LAION-CLAP in AudioSep 944583f, filled weights: 2e-7",
    )
    weights: Mapping[str, str] = {"checkpoint": "clap", "tokenizer": "roberta-base"}

    def __init__(self, *, checkpoint: str | None = None, tokenizer: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self._opened: Any = None
        self._network: Any = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the checkpoint and put the text tower on the device.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: the file is damaged, unsafe or made for another network.
        """
        path = self.checkpoint or find_weights(self.weights["checkpoint"])
        self.load_state(read_clap(path), device, what=Path(path).name)

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors that were read already, under LAION's names without prefixes.

        Args:
            state: may hold the audio tower and the unused heads too.
            device: where the network runs.
            what: names the tensors' origin in messages.

        Raises:
            CheckpointError: as `load`.
        """
        network = _text_network()
        fit(network, text_tensors(state), what=f"{what} for clap-text", computed=_COMPUTED)
        self._network, self._device = network.to(device), device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, 512) of length 1. Texts are cut after 512 tokens, as in the original.

        Raises:
            QueryError: a text without words.
            MissingWeightsError, CheckpointError: no tokenizer, or another one than RoBERTa's.
        """

        def encode(some: Sequence[str]) -> Tensor:
            tokens = to_tokens(self._tokenizer(), some, longest=MAX_TOKENS, asked_by=self.card.name)
            return self.encode_tokens(*tokens)

        return in_batches(encode, texts, TEXTS_AT_ONCE, DIMENSION)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings (B, 512) of token ids with their mask, both (B, L); padding has id 1.

        Columns that are padding for every text are not computed.
        """
        import torch

        refuse_unloaded(self._network, self.card.name)
        ids, mask = trimmed(input_ids, attention_mask, MAX_TOKENS, self.card.name)
        with torch.inference_mode():
            embeddings = unit_length(self._embed(ids.to(self._device), mask.to(self._device)))
        return embeddings.clone()  # outside of the mode, so that training can use it

    def _embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) -> (B, 512), of any length."""
        embeddings: Tensor = self._network(
            input_ids=input_ids, attention_mask=attention_mask
        ).text_embeds
        return embeddings

    def _tokenizer(self) -> Any:
        if self._opened is None:
            self._opened = open_tokenizer(
                self.tokenizer, name=self.weights["tokenizer"], vocabulary=VOCABULARY
            )
        return self._opened


class ClapAudio:
    """Embeddings of sounds, in the space of `ClapText`.

    Args:
        checkpoint: LAION's file or an AudioSep checkpoint; None for the installed "clap".
    """

    card = EncoderCard(
        name="clap-audio",
        kind="audio",
        dimension=DIMENSION,
        sample_rate=clap_audio.SAMPLE_RATE,
        crop=clap_audio.CROP,
        normalised=True,
        summary="LAION-CLAP's audio tower (HTSAT-base, projected)",
        licence=LICENCE,
        paper=PAPER,
        verified="model code of LAION-CLAP in AudioSep 944583f, filled weights: 1e-7",
    )
    weights: Mapping[str, str] = {"checkpoint": "clap"}

    def __init__(self, *, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self._network: Any = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the checkpoint and put the audio tower on the device.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: the file is damaged, unsafe or made for another network.
        """
        path = self.checkpoint or find_weights(self.weights["checkpoint"])
        self.load_state(read_clap(path), device, what=Path(path).name)

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors that were read already, as `ClapText.load_state`."""
        network = _audio_network()
        indexes = _window_indexes(network)
        fit(network, audio_tensors(state), what=f"{what} for clap-audio", computed=indexes)
        self._network, self._device = network.to(device), device

    def encode_audio(
        self, clips: Sequence[Tensor], *, sample_rate: int = clap_audio.SAMPLE_RATE
    ) -> Tensor:
        """Embeddings (B, 512) of length 1; see the card's `crop` for other lengths than 10 s.

        Args:
            clips: B mono clips (N,), of any lengths. Silence has an embedding like any sound.
            sample_rate: Hz of the clips; 32000 for AudioSep's audio queries.

        Raises:
            QueryError: a clip that is empty, not mono, or holds NaN or infinite samples.
        """
        refuse_unloaded(self._network, self.card.name)

        def encode(some: Sequence[Tensor]) -> Tensor:
            import torch

            with torch.inference_mode():
                windows = [self._window(clip, sample_rate) for clip in some]
                embeddings = unit_length(self._embed(torch.stack(windows)))
            return embeddings.clone()

        return in_batches(encode, clips, CLIPS_AT_ONCE, DIMENSION)

    def _window(self, clip: Tensor, sample_rate: int) -> Tensor:
        return clap_audio.to_window(clip.to(self._device), sample_rate, self.card.name)

    def _embed(self, windows: Tensor) -> Tensor:
        """(B, 480000) -> (B, 512), of any length."""
        features = clap_audio.LOG_MEL(windows)[:, None]  # (B, 1, 1001, 64)
        embeddings: Tensor = self._network(input_features=features).audio_embeds
        return embeddings


def check(path: Path) -> str:
    """One line about a CLAP file: both towers are fitted.

    Raises:
        CheckpointError: damaged, unsafe, or made for another network.
    """
    state = read_clap(path)
    ClapText().load_state(state, "cpu", what=str(path))
    ClapAudio().load_state(state, "cpu", what=str(path))
    used = [*text_tensors(state).values(), *audio_tensors(state).values()]
    parameters = sum(tensor.numel() for tensor in used)
    return f"CLAP, HTSAT-base and RoBERTa-base, {parameters:,} numbers"


def _text_network() -> Any:
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    config = ClapTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        # RoBERTa's. The class defaults to 1e-12: embeddings off by 6e-5, small enough to overlook.
        layer_norm_eps=1e-5,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        projection_dim=DIMENSION,
        projection_hidden_act="relu",
    )
    return without_draws(lambda: ClapTextModelWithProjection(config))


def _audio_network() -> Any:
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection

    config = ClapAudioConfig(
        window_size=8,
        num_mel_bins=clap_audio.LOG_MEL.bands,
        spec_size=256,
        patch_size=4,
        patch_stride=[4, 4],
        patch_embeds_hidden_size=128,
        hidden_size=1024,
        depths=[2, 2, 12, 2],
        num_attention_heads=[4, 8, 16, 32],
        mlp_ratio=4.0,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        enable_fusion=False,
        num_classes=527,
        projection_dim=DIMENSION,
        projection_hidden_act="relu",
    )
    return without_draws(lambda: ClapAudioModelWithProjection(config))


def _window_indexes(network: Any) -> list[str]:
    """Tables of relative positions in a window, which the constructor makes."""
    return [n for n, _ in network.named_buffers() if n.endswith("relative_position_index")]
