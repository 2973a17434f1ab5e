"""AudioSep's checkpoint files: three published forms, one network.

    {"state_dict": {"ss_model.…", "query_encoder.model.…"}, …}   training checkpoint (CLAP, Hive)
    {"ss_model.…", "query_encoder.model.…"}                      flat export from the hub
    {"base.…", "film.…"}                                         the separator alone

A file with `query_encoder.model.…` holds the whole frozen CLAP under LAION's names. The optimiser
state of a training checkpoint stays on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import (
    fit,
    read_checkpoint,
    strip_prefix,
    training_leftovers,
)
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.audiosep.network import NetworkConfig, ResUNet30

SEPARATOR_PREFIX = "ss_model."
ENCODER_PREFIX = "query_encoder.model."
BARE_PREFIXES = ("base.", "film.")
# DFT matrices and window of the original's STFT, which are computed here.
FIXED = frozenset(
    {
        *(
            f"base.{way}.conv_{part}.weight"
            for way in ("stft", "istft")
            for part in ("real", "imag")
        ),
        "base.istft.ola_window",
    }
)
# Written by older releases of transformers; position ids are computed.
_POSITIONS = "text_branch.embeddings.position_ids"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a file holds.

    Attributes:
        separator: `base.…` and `film.…`.
        encoder: CLAP under LAION's names; empty where the file has none.
    """

    separator: Mapping[str, Tensor]
    encoder: Mapping[str, Tensor]


def read_parts(path: str | Path) -> Parts:
    """The two networks of a file in any of the three forms; tensors are mapped, not read.

    Raises:
        CheckpointError: missing, damaged or unsafe file, or none of AudioSep's.
    """
    held = read_checkpoint(path, allow=training_leftovers())
    state: Any = held.get("state_dict", held)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: its 'state_dict' is no mapping of names to tensors.")
    prefixed = any(str(name).startswith(SEPARATOR_PREFIX) for name in state)
    known = (SEPARATOR_PREFIX, ENCODER_PREFIX) if prefixed else BARE_PREFIXES
    foreign = [str(name) for name in state if not str(name).startswith(known)]
    if foreign or not state:
        some = ", ".join(foreign[:3]) or "nothing"
        raise CheckpointError(
            f"{path} is no AudioSep checkpoint: it holds {some}"
            f"{f' and {len(foreign) - 3} more' if len(foreign) > 3 else ''}, where only names "
            f"with {' or '.join(known)} are expected. Give audiosep_base_4M_steps.ckpt or a file "
            "of the same layout."
        )
    if not prefixed:
        return Parts(separator=state, encoder={})
    encoder = strip_prefix(state, ENCODER_PREFIX)
    encoder.pop(_POSITIONS, None)
    return Parts(separator=strip_prefix(state, SEPARATOR_PREFIX), encoder=encoder)


def build_network(
    separator: Mapping[str, Tensor], *, what: str, config: NetworkConfig | None = None
) -> ResUNet30:
    """The separator with a checkpoint's tensors, on the CPU in eval mode.

    Args:
        separator: as in `Parts`.
        what: names the file in messages.
        config: sizes; None for the published ones.

    Raises:
        CheckpointError: tensors are missing, unknown or of another shape.
    """
    import torch

    from sepbench.baselines.audiosep.network import ResUNet30

    with torch.device("meta"):
        network = ResUNet30(config)
    fit(network, separator, what=what, ignored=FIXED.__contains__)
    return network.eval()


def check(path: Path) -> str:
    """One line about an AudioSep with its CLAP; the separator and both towers are fitted.

    Raises:
        CheckpointError: damaged, unsafe, made for another network, or the separator alone.
    """
    from sepbench.baselines.encoders.clap import ClapAudio, ClapText

    parts = read_parts(path)
    network = build_network(parts.separator, what=f"{path} for AudioSep")
    tensors = len(network.state_dict())
    if not parts.encoder:
        raise CheckpointError(
            f"{path} holds AudioSep's separator without its CLAP. Leave it where it is, and give "
            "models.LABEL.checkpoint=FILE with models.LABEL.clap_checkpoint=FILE."
        )
    ClapText().load_state(parts.encoder, "cpu", what=str(path))
    ClapAudio().load_state(parts.encoder, "cpu", what=str(path))
    return f"AudioSep, {tensors} tensors, and its CLAP query encoder, {len(parts.encoder)} tensors"


def check_alone(path: Path) -> str:
    """One line about AudioSep's separator without a query encoder, as its CLIP variant takes it.

    Raises:
        CheckpointError: damaged, unsafe, made for another network, or trained with the CLAP that
            it holds.
    """
    parts = read_parts(path)
    if parts.encoder:
        raise CheckpointError(
            f"{path} was trained with the CLAP that it holds; CLIP's embeddings would mean nothing "
            "to it. Add it as audiosep-clap."
        )
    network = build_network(parts.separator, what=f"{path} for AudioSep-CLIP")
    return f"AudioSep's separator alone, {len(network.state_dict())} tensors"
