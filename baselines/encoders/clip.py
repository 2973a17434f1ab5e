"""CLIP's text tower, ViT-B/32: the text encoder of AudioSep-CLIP.

Runs on the CLIP classes of transformers, with the text part of the hub file of
openai/clip-vit-base-patch32; the image tower in that file is not used.

Source: Radford et al., ICML 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.batches import (
    in_batches,
    refuse_unloaded,
    trimmed,
    unit_length,
)
from sepbench.baselines.encoders.construction import without_draws
from sepbench.baselines.encoders.tokenizers import open_tokenizer, to_tokens
from sepbench.baselines.weights import find_weights
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, L tokens, D = 512

DIMENSION = 512
VOCABULARY = 49_408
MAX_TOKENS = 77
TEXTS_AT_ONCE = 64
# What the hub file holds beside the text tower: images, and the temperature of the loss.
_UNUSED = ("vision_model.", "visual_projection.", "logit_scale")
# A buffer the constructor makes; older files hold it.
_COMPUTED = ("text_model.embeddings.position_ids",)


class ClipText:
    """Embeddings of texts.

    Args:
        checkpoint: the hub file (pytorch_model.bin or safetensors); None for the installed
            "clip-vit-b32".
        tokenizer: folder with its files; None for the installed one. Opened at the first text.
    """

    card = EncoderCard(
        name="clip-text",
        kind="text",
        dimension=DIMENSION,
        normalised=True,
        summary="CLIP ViT-B/32's text tower, projected",
        licence="MIT (code); none stated for the weights",
        paper="Radford et al., Learning transferable visual models from natural language "
        "supervision, ICML 2021",
        verified="transformers' CLIPModel.get_text_features, filled weights: 1e-6",
    )
    weights: Mapping[str, str] = {
        "checkpoint": "clip-vit-b32",
        "tokenizer": "clip-vit-b32-tokenizer",
    }

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
        self.load_state(read_checkpoint(path), device, what=Path(path).name)

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors that were read already, under the hub's names.

        Args:
            state: "text_model.…" and "text_projection.weight"; the image tower is left out.
            device: where the network runs.
            what: names the tensors' origin in messages.

        Raises:
            CheckpointError: as `load`.
        """
        network = _network()
        fit(network, state, what=f"{what} for clip-text", ignored=_is_unused, computed=_COMPUTED)
        self._network, self._device = network.to(device), device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, 512) of length 1. Texts are cut after 77 tokens, as in the original.

        Raises:
            QueryError: a text without words.
            MissingWeightsError, CheckpointError: no tokenizer, or another one than CLIP's.
        """

        def encode(some: Sequence[str]) -> Tensor:
            if self._opened is None:
                self._opened = open_tokenizer(
                    self.tokenizer, name=self.weights["tokenizer"], vocabulary=VOCABULARY
                )
            tokens = to_tokens(self._opened, some, longest=MAX_TOKENS, asked_by=self.card.name)
            return self.encode_tokens(*tokens)

        return in_batches(encode, texts, TEXTS_AT_ONCE, DIMENSION)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings (B, 512) of token ids with their mask, both (B, L).

        The embedding is read at the highest id of a row, which is the closing token; nothing
        after it counts.
        """
        import torch

        refuse_unloaded(self._network, self.card.name)
        ids, mask = trimmed(input_ids, attention_mask, MAX_TOKENS, self.card.name)
        with torch.inference_mode():
            found = self._network(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device)
            )
            embeddings = unit_length(found.text_embeds)
        return embeddings.clone()  # outside of the mode, so that training can use it


def check(path: Path) -> str:
    """One line about a CLIP file.

    Raises:
        CheckpointError: damaged, unsafe, or made for another network.
    """
    state = read_checkpoint(path)
    if not any(name.startswith("text_model.") for name in state):
        some = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{path} holds no CLIP with the hub's names (text_model.…), but {some}. Give "
            "pytorch_model.bin of openai/clip-vit-base-patch32."
        )
    ClipText().load_state(state, "cpu", what=str(path))
    used = [tensor for name, tensor in state.items() if not _is_unused(name)]
    return f"CLIP ViT-B/32, text tower, {sum(tensor.numel() for tensor in used):,} numbers"


def _is_unused(name: str) -> bool:
    return name.startswith(_UNUSED)


def _network() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        num_hidden_layers=12,
        num_attention_heads=8,
        intermediate_size=2048,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=DIMENSION,
        # The hub's own config has these wrong ids; with eos 2, transformers reads the embedding
        # at the highest id of a row, as OpenAI's code does.
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    return without_draws(lambda: CLIPTextModelWithProjection(config))
