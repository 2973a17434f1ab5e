"""The published LASSNet.pt, fitted to the network of this folder.

The file is a mapping with the state dict under "model", saved from a data-parallel wrapper, so
every name begins with "module.". Other entries beside "model" do not matter. Bare state dicts,
with or without that prefix, are taken too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit, read_checkpoint, strip_prefix, training_leftovers
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.lassnet.network import LassNetwork

PREFIX = "module."


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file under the network's own names.

    Raises:
        CheckpointError: missing, damaged or unsafe, or no mapping of names to tensors.
    """
    held = read_checkpoint(path, allow=training_leftovers())
    inner: Any = held.get("model", held)
    if not isinstance(inner, Mapping):
        raise CheckpointError(
            f"{path}: its 'model' is a {type(inner).__name__}, no mapping of names to tensors. "
            "Give LASSNet.pt, or a file with the network's state_dict()."
        )
    state = {str(name): value for name, value in inner.items()}
    wrapped = bool(state) and all(name.startswith(PREFIX) for name in state)
    return strip_prefix(state, PREFIX) if wrapped else state


def network_of(state: Mapping[str, Tensor], what: str) -> LassNetwork:
    """The network of a file, on the CPU, in eval mode.

    Args:
        state: as `read_state` gives it.
        what: names the file in messages.

    Raises:
        CheckpointError: made for another network; says what is missing, unknown or otherwise.
    """
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.lassnet.network import LassNetwork
    from sepbench.baselines.lassnet.network_text import COMPUTED

    network = without_draws(LassNetwork)
    # Files of 2022 hold the position indexes too.
    computed = [f"text_embedder.{name}" for name in COMPUTED]
    fit(network, state, what=f"{what} for lassnet", computed=computed)
    return network


def check(path: Path) -> str:
    """One line about a file.

    Raises:
        CheckpointError: damaged, unsafe, or made for another network.
    """
    network = network_of(read_state(path), str(path))
    return f"LASS-Net with its BERT-mini, {_millions(network)} M parameters, 32 kHz"


def _millions(network: LassNetwork) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}"
