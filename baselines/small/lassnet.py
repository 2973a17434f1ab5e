"""LASS-Net of a few channels at 16 kHz, which knows the ten sounds of ESC-10 and no others.

The network class is LASS-Net's; its BERT is a small one over the words of the training's captions.
It is there so that a text-queried separator can be seen at work without a download, and no measure
of the published system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sepbench.baselines.lassnet.adapter import LassNet
from sepbench.baselines.small.files import SizedFile, read_sized, refuse_other_rate
from sepbench.baselines.small.places import present, shipped
from sepbench.baselines.small.words import Vocabulary
from sepbench.harness.api import BaselineCard, Query
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.lassnet.network import LassNetwork

# A additions of a query to the network's channels

SAMPLE_RATE = 16_000
TRAINING_DATA = ("ESC-10 folds 1 and 2 (chosen on fold 3)",)
LICENCE = "MIT; trained on clips under CC0 and CC BY, see their list"


class LassNetSmall(LassNet):
    """A small LASS-Net.

    Args:
        checkpoint: as `bench train lassnet-small` writes it.
    """

    card = BaselineCard(
        name="lassnet-small",
        summary="LASS-Net of 1.9 M parameters at 16 kHz, for ten classes; its weights ship",
        query_kinds=("text", "label"),
        sample_rate=SAMPLE_RATE,
        channels=1,
        min_samples=257,  # both ends are reflected over 256
        licence=LICENCE,
        paper="network of Liu et al., Separate what you describe, Interspeech 2022",
        training_data=TRAINING_DATA,
    )
    weights: Mapping[str, str] = {}

    def __init__(self, *, checkpoint: str = shipped("lassnet")) -> None:
        super().__init__(checkpoint=checkpoint)
        self._file = checkpoint
        self._vocabulary = Vocabulary(())
        self._embedder: Any = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the file and put the networks on the device.

        Raises:
            MissingWeightsError: no such file.
            CheckpointError: it is damaged, or another network's.
            BaselineLoadError: it works at another rate.
        """
        from sepbench.baselines.lassnet.network_inference import InferenceNetwork

        path = present(self._file, self.card.name)
        held = read_sized(path, "lassnet")
        network = small_network(held, str(path))
        refuse_other_rate(network.config.sample_rate, self.card, path)
        self._vocabulary = Vocabulary(held.names)
        self._embedder = network.text_embedder.to(device)
        self._network = InferenceNetwork(network.UNet).to(device)
        self._device = device

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """What each query adds to the channels of the U-Net, each (A,).

        Raises:
            BaselineLoadError: before `load`.
            QueryError: a query without words, or without one that is known.
        """
        import torch

        network = self._loaded()
        texts = [query.words for query in queries]
        if not all(text.strip() for text in texts):
            raise QueryError(f"Baseline {self.card.name} needs a text or a label.")
        self._vocabulary.refuse_unknown(texts, f"Baseline {self.card.name}")
        ids, mask = self._vocabulary.encode(texts)
        with torch.inference_mode():
            embeddings = self._embedder(ids.to(self._device), mask.to(self._device))
            additions: Tensor = network.additions(embeddings)
        return list(additions.clone())


def small_network(held: SizedFile, what: str) -> LassNetwork:
    """The network of a file, on the CPU in eval mode.

    Raises:
        CheckpointError: tensors that do not fit the sizes.
    """
    from sepbench.baselines.checkpoints import fit
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.lassnet.network import LassNetwork, NetworkConfig
    from sepbench.baselines.small.network_text import bert_buffers, small_bert

    sizes = dict(held.sizes)
    separator = dict(sizes["separator"])
    config = NetworkConfig(**{**separator, "widths": tuple(separator["widths"])})
    bert = small_bert(
        len(Vocabulary(held.names)), width=sizes["text_width"], layers=sizes["text_layers"]
    )
    network = without_draws(lambda: LassNetwork(config, bert))
    fit(
        network, held.state, what=f"{what} for lassnet", computed=bert_buffers(network.state_dict())
    )
    return network.eval()
