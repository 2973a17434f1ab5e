"""LAION-CLAP on the network of its own package, `laion-clap`, with the same checkpoints.

A witness for `clap.py`, and the way to LAION's own code for those who want it: same tokenizer,
same log-mel rules, same tensors, another implementation. The package needs NumPy below 2 and an
undeclared torchvision, so it lives in an environment of its own (the extra `laion`).
`tests/bench/laion_parity.py` prints what the two differ by.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit
from sepbench.baselines.encoders.clap import VOCABULARY, ClapAudio, ClapText
from sepbench.baselines.encoders.clap_names import is_computed
from sepbench.baselines.encoders.construction import without_draws
from sepbench.harness.errors import MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, L tokens

_VERIFIED = "laion-clap 1.1.7 with filled weights, against clap-text and clap-audio: 2e-7"


class LaionClapText(ClapText):
    """Embeddings of texts by LAION's package; arguments as `ClapText`."""

    card = replace(
        ClapText.card,
        name="laion-clap-text",
        summary="clap-text on the network of the package laion-clap (extra: laion)",
        verified=_VERIFIED,
    )

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors of both towers, which the package's network holds together.

        Raises:
            MissingExtraError: laion-clap is not installed.
            CheckpointError: as `ClapText.load_state`.
        """
        self._network, self._device = _fitted(state, what, self.card.name).to(device), device

    def _embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens = {"input_ids": input_ids, "attention_mask": attention_mask}
        embeddings: Tensor = self._network.get_text_embedding(tokens)
        return embeddings


class LaionClapAudio(ClapAudio):
    """Embeddings of sounds by LAION's package; arguments as `ClapAudio`."""

    card = replace(
        ClapAudio.card,
        name="laion-clap-audio",
        summary="clap-audio on the network of the package laion-clap (extra: laion)",
        verified=_VERIFIED,
    )

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """Take tensors of both towers; errors as `LaionClapText.load_state`."""
        self._network, self._device = _fitted(state, what, self.card.name).to(device), device

    def _embed(self, windows: Tensor) -> Tensor:
        import torch

        short = torch.tensor([False])  # no clip is longer than the window
        rows = [{"waveform": window, "longer": short} for window in windows]
        embeddings: Tensor = self._network.get_audio_embedding(rows)
        return embeddings


def _fitted(state: Mapping[str, Tensor], what: str, name: str) -> Any:
    """LAION's network with these tensors in it."""
    network = _network(name)
    computed = [own for own in network.state_dict() if is_computed(own)]
    fit(network, state, what=f"{what} for {name}", ignored=is_computed, computed=computed)
    return network


def _network(name: str) -> Any:
    """LAION's network as its package builds it, still without weights."""
    with _without_downloads(), warnings.catch_warnings():
        # What the package's dependencies have deprecated is not ours to mend.
        warnings.simplefilter("ignore")
        try:
            package = importlib.import_module("laion_clap.clap_module")
        except ImportError as error:
            raise MissingExtraError(f"The encoder {name}", "laion-clap", "laion") from error
        network = without_draws(
            lambda: package.create_model("HTSAT-base", "roberta", enable_fusion=False)[0]
        )
    return network


@contextmanager
def _without_downloads() -> Iterator[None]:
    """Keep the package from the hub.

    At import it loads three tokenizers, which nothing here uses, and without network it tries for
    ten minutes; its constructor loads RoBERTa's weights only to overwrite them. For the length of
    this context these names stand for nothing, and for a RoBERTa without weights.
    """
    from unittest.mock import patch

    import transformers

    config = transformers.RobertaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    stand_ins: dict[str, Any] = {
        "BertTokenizer": lambda *_, **__: None,
        "RobertaTokenizer": lambda *_, **__: None,
        "BartTokenizer": lambda *_, **__: None,
        "RobertaModel": lambda *_, **__: transformers.RobertaModel(config),
    }
    with ExitStack() as stack:
        for owner, stand_in in stand_ins.items():
            stack.enter_context(
                patch.object(getattr(transformers, owner), "from_pretrained", stand_in)
            )
        yield
