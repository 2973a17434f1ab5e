"""The tensors of LAION-CLAP files under the names that transformers' CLAP classes have.

A file may be LAION's training checkpoint, a bare state dict, or AudioSep's checkpoint, which
holds a whole CLAP. What plays no part in an embedding is known by name and left out; anything
else that is not known stays in, so that fitting it to a network refuses the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import numpy_scalars, read_checkpoint, strip_prefix
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

# Where AudioSep's checkpoints keep CLAP; what stands beside it there is the separator.
AUDIOSEP_PREFIX = "query_encoder.model."
PARALLEL_PREFIX = "module."  # left by training on several devices

_TEXT = ("text_branch.", "text_projection.")
_AUDIO = ("audio_branch.", "audio_projection.")
# Heads of the contrastive loss and of the AudioSet classifier; the embeddings do without.
_HEADS = (
    *("text_transform.", "audio_transform.", "logit_scale_"),
    *("audio_branch.tscam_conv.", "audio_branch.head."),
)
_COMPUTED = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor)\."
    r"|audio_branch\..*\.(attn_mask|relative_position_index)$"
    r"|text_branch\.embeddings\.(position_ids|token_type_ids)$"
)
_PROJECTION = (("projection.0.", "projection.linear1."), ("projection.2.", "projection.linear2."))
_AUDIO_NAMES = (
    ("audio_branch.bn0.", "audio_model.audio_encoder.batch_norm."),
    ("audio_branch.", "audio_model.audio_encoder."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.proj.", ".attention.output.dense."),
    (".attn.relative_position", ".attention.self.relative_position"),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
    *_PROJECTION,
)


def read_clap(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a CLAP file under LAION's own names, without prefixes.

    Raises:
        CheckpointError: missing, damaged or unsafe file, or none with CLAP's tensors in it.
    """
    return laion_tensors(read_checkpoint(path, allow=numpy_scalars()), str(path))


def laion_tensors(held: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    """LAION's names out of what a file holds: a state dict, or a mapping with one in it.

    Args:
        held: as `read_checkpoint` gives it.
        what: names the file in messages.

    Raises:
        CheckpointError: no tensors of CLAP among them.
    """
    inner = held.get("state_dict", held)
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{what}: its 'state_dict' is no mapping of names to tensors.")
    state: dict[str, Tensor] = {str(name): value for name, value in inner.items()}
    if any(name.startswith(AUDIOSEP_PREFIX) for name in state):
        state = strip_prefix(state, AUDIOSEP_PREFIX)
    state = {name.removeprefix(PARALLEL_PREFIX): value for name, value in state.items()}
    if not any(name.startswith((*_TEXT, *_AUDIO)) for name in state):
        some = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{what} holds no CLAP with LAION's names (text_branch.…, audio_branch.…), but {some}. "
            "Give music_speech_audioset_epoch_15_esc_89.98.pt or an AudioSep checkpoint."
        )
    return state


def text_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of LAION's names, what ClapTextModelWithProjection has, and what nobody knows."""
    return {
        _renamed(name, (("text_branch.", "text_model."), *_PROJECTION)): value
        for name, value in _parts(state, _AUDIO).items()
    }


def audio_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of LAION's names, what ClapAudioModelWithProjection has, and what nobody knows."""
    found: dict[str, Tensor] = {}
    for name, value in _parts(state, _TEXT).items():
        renamed = _renamed(name, _AUDIO_NAMES)
        if ".attn.qkv." in renamed:
            # One matrix for three: query, key and value on top of each other.
            thirds = value.chunk(3) if value.ndim else (value,)
            for own, third in zip(("query", "key", "value"), thirds, strict=False):
                found[renamed.replace(".attn.qkv.", f".attention.self.{own}.")] = third
        else:
            found[renamed] = value
    return found


def is_computed(name: str) -> bool:
    """Front end and buffers that a constructor makes; some releases wrote them, some did not."""
    return _COMPUTED.match(name) is not None


def _parts(state: Mapping[str, Tensor], other: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors but for the other tower's and those that play no part."""
    unused = (*other, *_HEADS)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(unused) and not is_computed(name)
    }


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in rules:
        name = name.replace(old, new, 1)
    return name
