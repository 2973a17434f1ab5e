"""LASS-Net's text encoder as an encoder of its own: texts to the vectors its separator takes.

A text becomes "[CLS]" and its word pieces, without a closing token: the caller writes "[CLS] " in
front, and nothing else is added. The network reads its answer at that first position.

Source: behaviour of the official code (8979776).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.encoders.batches import in_batches, refuse_unloaded, trimmed
from sepbench.baselines.encoders.tokenizers import open_tokenizer, refuse_empty
from sepbench.baselines.lassnet.layout import network_of, read_state
from sepbench.baselines.weights import find_weights
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.lassnet.network_text import TextEmbedder

# B batch, L tokens, D = 256

DIMENSION = 256
VOCABULARY = 30_522
MAX_TOKENS = 512
TEXTS_AT_ONCE = 64
PREFIX = "[CLS] "
CLS_ID = 101
# Captions are asked without it, in lower case: so the original's inference script and test do.
FINAL_STOP = "."


class LassText:
    """Embeddings of texts, zero or more everywhere.

    Args:
        checkpoint: LASSNet.pt; None for the installed "lassnet".
        tokenizer: folder with the files of bert-base-uncased; None for the installed one. Opened
            at the first text.
    """

    card = EncoderCard(
        name="lassnet-text",
        kind="text",
        dimension=DIMENSION,
        summary="BERT-mini trained together with LASS-Net's separator",
        paper="Liu et al., Separate what you describe, Interspeech 2022",
        verified="official code 8979776, filled weights: 3e-6",
    )
    weights: Mapping[str, str] = {"checkpoint": "lassnet", "tokenizer": "bert-base-uncased"}

    def __init__(self, *, checkpoint: str | None = None, tokenizer: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self._opened: Any = None
        self._network: TextEmbedder | None = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the checkpoint and put the text encoder on the device.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: the file is damaged, unsafe or made for another network.
        """
        path = Path(self.checkpoint or find_weights(self.weights["checkpoint"]))
        self.take(network_of(read_state(path), path.name).text_embedder, device)

    def take(self, network: TextEmbedder, device: str) -> None:
        """Use a network that was read already."""
        self._network, self._device = network.to(device).eval(), device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, 256), in lower case and without a final full stop.

        Raises:
            QueryError: a text without words, or of more than 512 tokens.
            MissingWeightsError, CheckpointError: no tokenizer, or another one than BERT's.
        """

        def encode(some: Sequence[str]) -> Tensor:
            return self.encode_tokens(*self.tokens(some))

        return in_batches(encode, [as_asked(text) for text in texts], TEXTS_AT_ONCE, DIMENSION)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings (B, 256) of token ids with their mask, both (B, L); padding has id 0.

        Raises:
            BaselineLoadError: before `load`.
            QueryError: shapes that differ, a row without a token, or too many tokens.
        """
        import torch

        refuse_unloaded(self._network, self.card.name)
        network: Any = self._network
        ids, mask = trimmed(input_ids, attention_mask, MAX_TOKENS, self.card.name)
        with torch.inference_mode():
            embeddings: Tensor = network(ids.to(self._device), mask.to(self._device))
        return embeddings.clone()  # outside of the mode, so that training can use it

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask (B, L), padded to the longest text; nothing is cut off."""
        refuse_empty(texts, self.card.name)
        tokens = self._tokenizer()(
            [PREFIX + text for text in texts],
            add_special_tokens=False,
            padding="longest",
            return_tensors="pt",
        )
        ids: Tensor = tokens["input_ids"]
        if ids.shape[1] > MAX_TOKENS:
            longest = int(tokens["attention_mask"].sum(dim=1).argmax())
            raise QueryError(
                f"{self.card.name}: the text '{texts[longest][:40]}…' has {ids.shape[1]} tokens, "
                f"and the network takes {MAX_TOKENS}. Shorten it."
            )
        return ids, tokens["attention_mask"]

    def _tokenizer(self) -> Any:
        if self._opened is None:
            opened = open_tokenizer(
                self.tokenizer, name=self.weights["tokenizer"], vocabulary=VOCABULARY
            )
            found = opened(PREFIX, add_special_tokens=False)["input_ids"]
            if found != [CLS_ID]:
                raise CheckpointError(
                    f"The tokenizer for {self.card.name} reads '[CLS]' as {found}, and the "
                    f"network expects [{CLS_ID}]: its answer lies there. Give the files of "
                    "bert-base-uncased."
                )
            self._opened = opened
        return self._opened


def as_asked(text: str) -> str:
    """A caption as the original asks it."""
    return text.strip().removesuffix(FINAL_STOP).rstrip().lower()
