"""How the tag-conditioned U-Net is trained and written, as LASS-Net's without a text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checks import NetworkSettings
from sepbench.baselines.small.files import SizedFile, refuse_unread_rate, write_sized
from sepbench.harness.api.training import Placing, RecipeFacts, Task
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

NAME = "unet-tag"


class UNetTagRecipe:
    """The separator with a vector for each class.

    Args:
        widths: channels of each encoder block.
        condition: length of a class's vector.
        n_fft: frame length in samples.
    """

    task: Task = "separate"

    def __init__(self, *, widths: Sequence[int], condition: int, n_fft: int) -> None:
        given = NetworkSettings(NAME)
        self.widths = given.sizes("widths", widths)
        self.condition = given.whole_number("condition", condition, low=1, high=4096)
        self.n_fft = given.frame(n_fft, widths=self.widths, multiple=2 ** (len(self.widths) + 2))
        self._classes: tuple[str, ...] = ()

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: clips without a class, a rate that no baseline works at, or examples
                shorter than half a frame.
        """
        from sepbench.baselines.lassnet.network import NetworkConfig
        from sepbench.baselines.unet_tag.network import UNetTagNetwork
        from sepbench.baselines.unet_tag.network_training import UNetTagTraining

        if not facts.classes or not facts.labelled:
            raise SettingError(
                f"Recipe unet-tag is asked with classes, and {'some' if facts.classes else 'all'} "
                "clips have none. Give a dataset with labels, or data.labels=[…] that they have."
            )
        refuse_unread_rate(NAME, facts.sample_rate)
        self._classes = facts.classes
        config = NetworkConfig(
            widths=self.widths,
            condition=self.condition,
            sample_rate=facts.sample_rate,
            n_fft=self.n_fft,
        )
        NetworkSettings(NAME).refuse_length(facts, shortest=config.min_samples)
        return UNetTagTraining(UNetTagNetwork(len(facts.classes), config))

    def placing(self, network: nn.Module) -> Placing | None:
        """None: cut at random."""
        return None

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """unet_tag.safetensors, with its classes."""
        from sepbench.baselines.unet_tag.network_training import UNetTagTraining

        if not isinstance(network, UNetTagTraining):
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        held = SizedFile(
            network=NAME,
            sizes={"separator": asdict(network.network.config)},
            names=self._classes,
            facts=facts,
            state=network.network.state_dict(),
        )
        return [write_sized(folder / "unet_tag.safetensors", held)]
