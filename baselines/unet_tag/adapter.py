"""The U-Net asked with a class: what LASS-Net is compared with, and its small version.

The paper's own network and weights were never published; this one is LASS-Net's separator with a
vector for each class in the place of the text's. Its classes are those it was trained on.

Source: Liu et al., arXiv 2203.15147 (as a review of it tells); the rest is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sepbench.baselines.lassnet.adapter import LassNet
from sepbench.baselines.small.files import SizedFile, read_sized, refuse_other_rate
from sepbench.baselines.small.lassnet import LICENCE, TRAINING_DATA
from sepbench.baselines.small.places import present, shipped
from sepbench.harness.api import BaselineCard, Query
from sepbench.harness.errors import BaselineLoadError, QueryError, near_matches

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from sepbench.baselines.unet_tag.network import UNetTagNetwork

# A additions of a query to the network's channels

NETWORK = "unet-tag"


class UNetTag(LassNet):
    """The separator of LASS-Net's size. Bring weights that you trained: none are public.

    Args:
        checkpoint: as `bench train unet-tag` writes it; None for the installed "unet-tag".
    """

    card = BaselineCard(
        name="unet-tag",
        summary="magnitude U-Net asked with a class: the comparison of the LASS-Net paper. No "
        "public weights: bench train unet-tag",
        query_kinds=("label",),
        sample_rate=32_000,
        channels=1,
        min_samples=513,
        paper="compared with in Liu et al., Separate what you describe, Interspeech 2022; "
        "conditioning ours",
    )
    weights: Mapping[str, str] = {"checkpoint": "unet-tag"}

    def __init__(self, *, checkpoint: str | None = None) -> None:
        super().__init__(checkpoint=checkpoint)
        self._classes: tuple[str, ...] = ()
        self._tags: UNetTagNetwork | None = None

    def load(self, device: str) -> None:
        """Read the file and put the network on the device.

        Raises:
            MissingWeightsError: no file given and none installed.
            CheckpointError: it is damaged, or another network's.
            BaselineLoadError: it works at another rate.
        """
        from sepbench.baselines.lassnet.network_inference import InferenceNetwork

        path = self._path()
        held = read_sized(path, NETWORK)
        network = tag_network(held, str(path))
        refuse_other_rate(network.config.sample_rate, self.card, path)
        self._classes = held.names
        self._tags = network.to(device)
        self._network = InferenceNetwork(network.UNet).to(device)

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """What each class adds to the channels of the U-Net, each (A,).

        Raises:
            BaselineLoadError: before `load`.
            QueryError: a query without a label, or a class that it was not trained on.
        """
        import torch

        network = self._loaded()
        numbers = torch.tensor([self._number(query) for query in queries])
        with torch.inference_mode():
            tags = self._tags
            if tags is None:
                raise BaselineLoadError(f"Baseline {self.card.name}: call load(device) first.")
            additions: Tensor = network.additions(
                tags.condition(numbers.to(tags.tags.weight.device))
            )
        return list(additions.clone())

    def _path(self) -> Path:
        from sepbench.baselines.encoders.clips import checkpoint_path

        return checkpoint_path(self.checkpoint, "unet-tag")

    def _number(self, query: Query) -> int:
        label = query.label
        if label is None:
            raise QueryError(
                f"Baseline {self.card.name} is asked with a label; the query has none."
            )
        if label not in self._classes:
            raise QueryError(
                f"Baseline {self.card.name} does not know the class '{label}'."
                f"{near_matches(label, self._classes)}"
            )
        return self._classes.index(label)


class UNetTagSmall(UNetTag):
    """A small one at 16 kHz for the ten classes of ESC-10.

    Args:
        checkpoint: as `bench train unet-tag-small` writes it.
    """

    card = replace(
        UNetTag.card,
        name="unet-tag-small",
        summary="unet-tag of 1.8 M parameters at 16 kHz, for ten classes; its weights ship",
        sample_rate=16_000,
        min_samples=257,
        licence=LICENCE,
        training_data=TRAINING_DATA,
    )
    weights: Mapping[str, str] = {}

    def __init__(self, *, checkpoint: str = shipped("unet_tag")) -> None:
        super().__init__(checkpoint=checkpoint)
        self._file = checkpoint

    def _path(self) -> Path:
        return present(self._file, self.card.name)


def tag_network(held: SizedFile, what: str) -> UNetTagNetwork:
    """The network of a file, on the CPU in eval mode.

    Raises:
        CheckpointError: tensors that do not fit the sizes.
    """
    from sepbench.baselines.checkpoints import fit
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.lassnet.network import NetworkConfig
    from sepbench.baselines.unet_tag.network import UNetTagNetwork

    sizes = dict(held.sizes["separator"])
    config = NetworkConfig(**{**sizes, "widths": tuple(sizes["widths"])})
    network = without_draws(lambda: UNetTagNetwork(len(held.names), config))
    fit(network, held.state, what=f"{what} for {NETWORK}")
    return network.eval()


def check(path: Path) -> str:
    """One line about a file.

    Raises:
        CheckpointError: damaged, or made for another network.
    """
    held = read_sized(path, NETWORK)
    network = tag_network(held, str(path))
    return f"U-Net asked with {len(held.names)} classes, {network.config.sample_rate} Hz"
