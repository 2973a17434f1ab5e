"""How LASS-Net is trained and written: the published sizes as LASSNet.pt, others with theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sepbench.baselines.checks import NetworkSettings
from sepbench.baselines.small.files import SizedFile, refuse_unread_rate, write_sized
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.api.training import Placing, RecipeFacts, Task
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

    from sepbench.baselines.lassnet.network import NetworkConfig
    from sepbench.baselines.lassnet.network_training import Tokens

NAME = "lassnet"


class LassNetRecipe:
    """Text encoder and separator jointly.

    Args:
        widths: channels of each encoder block.
        condition: length of the text's vector.
        n_fft: frame length in samples.
        text: "bert-mini" with BERT's word pieces, or "words": a small encoder with the words of
            the training's texts.
        text_width: of a small one, a multiple of 16.
        text_layers: likewise.
        text_checkpoint: BERT-mini to begin with; None draws the weights.
        tokenizer: folder of bert-base-uncased; None for the installed one.
        dropout: of the text encoder.
        word_dropout: share of the words it does not get to see.
    """

    task: Task = "separate"

    def __init__(
        self,
        *,
        widths: Sequence[int],
        condition: int,
        n_fft: int,
        text: Literal["bert-mini", "words"],
        text_width: int,
        text_layers: int,
        text_checkpoint: str | None,
        tokenizer: str | None,
        dropout: float,
        word_dropout: float,
    ) -> None:
        if text not in ("bert-mini", "words"):
            raise SettingError(f"network.text={text}; one of bert-mini, words.")
        given = NetworkSettings(NAME)
        self.widths = given.sizes("widths", widths)
        self.condition = given.whole_number("condition", condition, low=1, high=4096)
        self.n_fft = given.frame(n_fft, widths=self.widths, multiple=2 ** (len(self.widths) + 2))
        self.text = text
        self.text_width = given.whole_number(
            "text_width", text_width, low=16, high=1024, multiple=16
        )
        self.text_layers = given.whole_number("text_layers", text_layers, low=1, high=24)
        self.text_checkpoint = text_checkpoint
        self.tokenizer = tokenizer
        self.dropout = given.number("dropout", dropout, low=0.0, high=0.9)
        self.word_dropout = given.number("word_dropout", word_dropout, low=0.0, high=0.9)
        if self.word_dropout and text == "bert-mini":
            raise SettingError(
                f"network.word_dropout={self.word_dropout:g} is for network.text=words; the pieces "
                "of BERT's words have numbers of their own. Give network.word_dropout=0."
            )
        self._vocabulary = Vocabulary(())

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: sizes that could not be written, a rate that no baseline works at, texts
                without a word, or examples shorter than half a frame.
        """
        from sepbench.baselines.lassnet.network import LassNetwork, NetworkConfig
        from sepbench.baselines.lassnet.network_training import LassTraining
        from sepbench.baselines.small.network_text import set_dropout, small_bert

        config = self._config(facts.sample_rate)
        if self.text == "bert-mini" and config != NetworkConfig():
            raise SettingError(
                "LASS-Net of other sizes than the published ones (network.widths, condition, "
                "n_fft; data.sample_rate=32000) takes network.text=words: no file holds it with "
                "BERT-mini."
            )
        NetworkSettings(NAME).refuse_length(facts, shortest=config.min_samples)
        if self.text == "words":
            refuse_unread_rate(NAME, facts.sample_rate)
            self._vocabulary = Vocabulary.of(facts.texts)
            bert = small_bert(len(self._vocabulary), width=self.text_width, layers=self.text_layers)
            made = LassNetwork(config, bert)
            tokens: Tokens = self._vocabulary.encode
        else:
            made = LassNetwork(config)
            tokens = self._word_pieces()
            if self.text_checkpoint is not None:
                self._begin_with(made, self.text_checkpoint)
        set_dropout(made.text_embedder, self.dropout)
        return LassTraining(made, tokens, word_dropout=self.word_dropout)

    def placing(self, network: nn.Module) -> Placing | None:
        """None: cut at random."""
        return None

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """LASSNet.pt for the published sizes, else lassnet.safetensors."""
        import torch

        from sepbench.baselines.lassnet.network import NetworkConfig
        from sepbench.baselines.lassnet.network_training import LassTraining, published_state
        from sepbench.baselines.small.network_text import without_buffers

        if not isinstance(network, LassTraining):
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        made = network.network
        if made.config == NetworkConfig() and self.text == "bert-mini":
            path = folder / "LASSNet.pt"
            torch.save(published_state(made), path)
            return [path]
        sizes = {
            "separator": asdict(made.config),
            "text_width": self.text_width,
            "text_layers": self.text_layers,
        }
        held = SizedFile(
            network=NAME,
            sizes=sizes,
            names=self._vocabulary.words,
            facts=facts,
            state=without_buffers(made.state_dict()),
        )
        return [write_sized(folder / "lassnet.safetensors", held)]

    def _config(self, sample_rate: int) -> NetworkConfig:
        from sepbench.baselines.lassnet.network import NetworkConfig

        return NetworkConfig(
            widths=self.widths,
            condition=self.condition,
            sample_rate=sample_rate,
            n_fft=self.n_fft,
        )

    def _word_pieces(self) -> Tokens:
        """BERT's tokens of texts, written as the original asks them."""
        from sepbench.baselines.lassnet.text import LassText, as_asked

        reader = LassText(tokenizer=self.tokenizer)
        reader.tokens(["a sound"])  # a tokenizer that is not there is missed now, not later
        return lambda texts: reader.tokens([as_asked(text) for text in texts])

    def _begin_with(self, network: Any, checkpoint: str) -> None:
        """BERT-mini's weights, from its own file or from one of LASS-Net."""
        from sepbench.baselines.checkpoints import fit
        from sepbench.baselines.encoders.bert import COMPUTED
        from sepbench.baselines.lassnet.layout import read_state

        held = read_state(checkpoint)
        for prefix in ("text_embedder.bert_layer.", "bert."):
            inner = {n.removeprefix(prefix): v for n, v in held.items() if n.startswith(prefix)}
            held = inner or held
        fit(
            network.text_embedder.bert_layer,
            held,
            what=f"{checkpoint} for BERT-mini",
            computed=COMPUTED,
            ignored=lambda name: name.startswith(("pooler.", "cls.")),
        )
