"""The published ST-SED files, fitted to the networks of this folder.

Training checkpoints of PyTorch Lightning: the tensors lie under "state_dict", the detector's with
a prefix, the separator's bare. A separator's file usually repeats the detector it was trained
with; the detector's own file goes before that copy. Bare state dicts are taken too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit, numpy_scalars, read_checkpoint, strip_prefix
from sepbench.baselines.encoders.clap_names import audio_tensors
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.stsed.network_sed import SoundEventDetector
    from sepbench.baselines.stsed.network_separator import Separator

# Where a file may hold the detector: its own, one saved without the wrapper, a separator's.
DETECTOR_PREFIXES = ("sed_model.", "", "at_model.sed_model.")
_DETECTOR_MARK = "tscam_conv.weight"
_SEPARATOR_MARK = "after_conv2.weight"
# In a separator's file: the detector it was trained with, and the DFT matrices of its front end.
_BESIDE_SEPARATOR = ("at_model.", "stft.", "istft.")
# In a detector's file: the front end, an unused layer, and what the constructor makes.
_BESIDE_DETECTOR = re.compile(
    r"(spectrogram_extractor|logmel_extractor|head)\.|.*\.(attn_mask|relative_position_index)$"
)


class _Named:
    """Stands for a class that a file only names; does nothing."""


def read_state(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file, under the names it has for them.

    Raises:
        CheckpointError: missing, damaged or unsafe, or no mapping of names to tensors.
    """
    # Lightning of 2021 writes the classes of its callbacks as keys: named, never called.
    lightning = "pytorch_lightning.callbacks"
    callbacks = [
        (_Named, f"{lightning}.model_checkpoint.ModelCheckpoint"),
        (_Named, f"{lightning}.early_stopping.EarlyStopping"),
    ]
    held = read_checkpoint(path, allow=[*numpy_scalars(), *callbacks])
    inner: Any = held.get("state_dict", held)
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{path}: its 'state_dict' is no mapping of names to tensors.")
    return {str(name): value for name, value in inner.items()}


def holds_detector(state: Mapping[str, Tensor]) -> bool:
    """Whether a detector is among the tensors of a file."""
    return any(prefix + _DETECTOR_MARK in state for prefix in DETECTOR_PREFIXES)


def detector_of(state: Mapping[str, Tensor], what: str) -> SoundEventDetector:
    """The detector of a file, on the CPU, in eval mode.

    Args:
        state: as `read_state` gives it.
        what: names the file in messages.

    Raises:
        CheckpointError: none in it, or one of another layout.
    """
    from sepbench.baselines.stsed.network_sed import build_detector

    prefix = next((p for p in DETECTOR_PREFIXES if p + _DETECTOR_MARK in state), None)
    if prefix is None:
        hint = (
            "It is a separator without its detector: give it as checkpoint, and the detector's "
            "file as sed_checkpoint."
            if _SEPARATOR_MARK in state
            else "Give htsat_audioset_2048d.ckpt."
        )
        raise CheckpointError(f"{what} holds no HTS-AT detector ({_DETECTOR_MARK}). {hint}")
    own = strip_prefix(state, prefix)
    head = {name: own.pop(name) for name in list(own) if name.startswith("tscam_conv.")}
    kept = {f"audio_branch.{n}": v for n, v in own.items() if not _BESIDE_DETECTOR.match(n)}
    renamed = strip_prefix(audio_tensors(kept), "audio_model.")
    detector = build_detector()
    indexes = [n for n, _ in detector.named_buffers() if n.endswith("relative_position_index")]
    tensors = {**{f"backbone.{name}": value for name, value in renamed.items()}, **head}
    fit(detector, tensors, what=f"{what} for the detector of stsed", computed=indexes)
    return detector.eval()


def separator_of(state: Mapping[str, Tensor], what: str) -> Separator:
    """The separator of a file, on the CPU, in eval mode.

    Args:
        state: as `read_state` gives it.
        what: names the file in messages.

    Raises:
        CheckpointError: none in it, or one of another layout.
    """
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.stsed.network_separator import Separator

    if _SEPARATOR_MARK not in state and holds_detector(state):
        raise CheckpointError(
            f"{what} holds the detector, not the separator. Give it as sed_checkpoint, and "
            "zeroshot_asp_full.ckpt as checkpoint."
        )
    separator = without_draws(Separator)
    fit(
        separator,
        state,
        what=f"{what} for the separator of stsed",
        ignored=lambda name: name.startswith(_BESIDE_SEPARATOR),
    )
    return separator.eval()


def check_sed(path: Path) -> str:
    """One line about a detector's file.

    Raises:
        CheckpointError: damaged, unsafe, or made for another network.
    """
    state = read_state(path)
    detector = detector_of(state, str(path))
    return f"HTS-AT with a 2048-d latent and 527 classes, {_millions(detector)} M parameters"


def check_separator(path: Path) -> str:
    """One line about a separator's file. Its training classes cannot be told from its layout.

    Raises:
        CheckpointError: damaged, unsafe, or made for another network.
    """
    state = read_state(path)
    separator = separator_of(state, str(path))
    beside = "with" if holds_detector(state) else "without"
    return f"ST-SED separator, {_millions(separator)} M parameters, {beside} its detector"


def _millions(network: Any) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f}"
