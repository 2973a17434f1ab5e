"""The file of a network whose sizes are its own: tensors, and beside them what it takes to use it.

A safetensors file in float16. Its header says what network it is, its sizes, the words or classes
that it knows, and how it was trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import read_checkpoint
from sepbench.harness.api import BaselineCard, EncoderCard
from sepbench.harness.errors import BaselineLoadError, CheckpointError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

_HEADER = "sepbench"
_READERS = {16_000: "those called …-small", 32_000: "unet-tag and those called …-own"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SizedFile:
    """What such a file holds.

    Attributes:
        network: which kind.
        sizes: of the network, plain data.
        names: the words or classes it knows, in their order.
        facts: how it was trained.
        state: name -> tensor.
    """

    network: str
    sizes: Mapping[str, Any]
    names: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Tensor]


def read_sized(path: str | Path, *networks: str) -> SizedFile:
    """Read a file that `write_sized` has written.

    Args:
        path: the file.
        networks: the kinds that are expected.

    Raises:
        CheckpointError: missing or damaged, without the header, or another kind.
    """
    from safetensors import safe_open

    state = read_checkpoint(path)
    header: dict[str, str] = {}
    if Path(path).suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    try:
        held = json.loads(header.get(_HEADER, "null"))
    except ValueError as error:
        raise CheckpointError(f"{path}: its header is no JSON: {error}.") from error
    if not isinstance(held, dict) or not {"network", "sizes", "names"} <= held.keys():
        raise CheckpointError(
            f"{path} does not say what sizes its network has. Give a .safetensors file that "
            "`bench train` has written."
        )
    if held["network"] not in networks:
        raise CheckpointError(
            f"{path} holds a network of the kind {held['network']}, not {' or '.join(networks)}."
        )
    return SizedFile(
        network=held["network"],
        sizes=held["sizes"],
        names=tuple(held["names"]),
        facts=held.get("facts", {}),
        state=state,
    )


def refuse_other_rate(rate: int, card: BaselineCard | EncoderCard, path: str | Path) -> None:
    """The harness gives audio at the card's rate, and the network has to be made for it.

    Raises:
        BaselineLoadError: it is not; says what is made for which rate.
    """
    if rate == card.sample_rate:
        return
    trained = f"works at {card.sample_rate} Hz, and {path} was trained at {rate} Hz"
    if isinstance(card, EncoderCard):
        raise BaselineLoadError(
            f"Encoder {card.name} {trained}. Give a file that was trained with "
            f"data.sample_rate={card.sample_rate}."
        )
    raise BaselineLoadError(f"Baseline {card.name} {trained}. Of the baselines, {_readers()}.")


def refuse_unread_rate(recipe: str, rate: int) -> None:
    """Refuse to train a network that no baseline could run.

    Raises:
        SettingError: there is no baseline of that rate.
    """
    if rate not in _READERS:
        raise SettingError(
            f"Recipe {recipe}: data.sample_rate={rate}, and no baseline works at it: {_readers()}. "
            f"Give {' or '.join(map(str, _READERS))}."
        )


def _readers() -> str:
    return ", ".join(f"{names} read networks of {rate} Hz" for rate, names in _READERS.items())


def write_sized(path: Path, held: SizedFile) -> Path:
    """Write a network in float16 (counters as they are)."""
    import torch
    from safetensors.torch import save_file

    header = {
        "network": held.network,
        "sizes": dict(held.sizes),
        "names": list(held.names),
        "facts": dict(held.facts),
    }
    tensors = {
        name: (value.to(torch.float16) if value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, value in held.state.items()
    }
    save_file(tensors, path, metadata={_HEADER: json.dumps(header)})
    path.chmod(0o644)  # safetensors makes files that are their owner's alone
    return path
