"""Checkpoint files: read without running their code, then fitted to a network name by name.

A pickle can run any program when it is opened, so only tensors, plain containers and the classes
a caller allows are read. Needs torch 2.6: before it, `weights_only` could be got round
(CVE-2025-32434).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.harness.errors import STRANGER_ERRORS, CheckpointError

if TYPE_CHECKING:
    from torch import Tensor, nn

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# Keys named for each kind of difference, so that a message stays within ten lines.
_SHOWN = 3


def read_checkpoint(path: str | Path, *, allow: Sequence[Any] = ()) -> dict[str, Any]:
    """What a checkpoint file holds, on the CPU. Nothing in the file is executed.

    safetensors files and both forms of PyTorch files (zip, and the older plain pickle) are told
    apart by their first bytes. Tensors of a zip stay on disk until they are used.

    Args:
        path: the file.
        allow: classes and functions a pickle may name beyond PyTorch's own, as
            `torch.serialization.safe_globals` takes them; `numpy_scalars()` for files that keep
            losses or scores beside their tensors.

    Returns:
        The mapping the file holds: a state dict, or one with the state dict under a key.

    Raises:
        CheckpointError: missing, empty, truncated or no checkpoint; a pickle that names anything
            not allowed (says what); something other than a mapping.
    """
    path = Path(path)
    start = _first_bytes(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return dict(_read_safetensors(path))
    if not start.startswith((_ZIP, _PICKLE)):
        raise CheckpointError(
            f"{path} is not a checkpoint: it is neither a PyTorch nor a safetensors file. "
            f"A page saved in place of the file begins like this one: {start[:16]!r}."
        )
    held = _read_pickle(path, allow=allow, mapped=start.startswith(_ZIP))
    if not isinstance(held, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(held).__name__}, not a mapping of names to tensors. "
            "Save the network's state_dict() and give that file."
        )
    return {str(key): value for key, value in held.items()}


def numpy_scalars() -> list[Any]:
    """What a pickle needs to keep NumPy numbers, under the names old and new NumPy gave them."""
    from codecs import encode  # turns text into the bytes of a number

    import numpy as np

    # NumPy's own maker of numbers from bytes; its module has moved, a pickle keeps the old name.
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(number)) for number in ("f8", "f4", "i8", "i4", "bool")}
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        *(np.dtype, *kinds, encode),
    ]


def training_leftovers() -> list[Any]:
    """Classes that training scripts leave beside the weights; none does more than hold values."""
    from argparse import Namespace
    from collections import defaultdict

    containers = [Namespace, defaultdict, (dict, "builtins.dict"), (dict, "__builtin__.dict")]
    return [*numpy_scalars(), *containers]


def strip_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those tensors whose names begin with the prefix, named without it."""
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def fit(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    what: str,
    ignored: Callable[[str], bool] | None = None,
    computed: Collection[str] = (),
) -> None:
    """Put a checkpoint's tensors into a network, all or none.

    Args:
        module: on the CPU or under `torch.device("meta")`; changed in place. Of a meta module
            the tensors in `computed` must hold values already.
        state: name -> tensor; floats of any width are cast to float32.
        what: names file and network in messages, such as "LASSNet.pt for lassnet".
        ignored: true for names in `state` that the network does without.
        computed: names in `module` that it makes itself; a value in `state` is not read.

    Raises:
        CheckpointError: names missing, unknown or of another shape, in at most ten lines.
    """
    import torch

    expected = {n: t for n, t in module.state_dict().items() if n not in computed}
    given = {
        name: value
        for name, value in state.items()
        if name in expected or not (name in computed or (ignored is not None and ignored(name)))
    }
    _check_fit(expected, given, what)
    on_meta = any(tensor.is_meta for tensor in expected.values())
    ready = {
        # A meta module takes the tensor itself; a copy, because the file may go away under a map.
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=on_meta)
        for name, value in given.items()
    }
    module.load_state_dict(ready, strict=False, assign=on_meta)
    unmade = [
        name for name, t in [*module.named_parameters(), *module.named_buffers()] if t.is_meta
    ]
    if unmade:
        raise ValueError(f"{what}: {', '.join(unmade[:_SHOWN])} must be computed before the fit")


def _first_bytes(path: Path) -> bytes:
    """The first 16 bytes of a file that is there and not empty."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the checkpoint file in it.")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}. Check the path.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if not start:
        raise CheckpointError(f"{path} is empty. {_FETCH}")
    return start


_FETCH = "Its download was probably cut short: fetch the file again."


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}. {_FETCH}") from error


def _read_pickle(path: Path, *, allow: Sequence[Any], mapped: bool) -> Any:
    """What `torch.load` makes of the file, with its refusals in our words."""
    import torch

    if mapped:
        _check_archive(path)
    try:
        with torch.serialization.safe_globals(list(allow)):
            # Only zips can be mapped: the tensors of an older file lie inside the pickle.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise CheckpointError(
                f"{path} asks to call {found[1]} when it is opened. It was not opened and nothing "
                "was executed. If you trust the file, load it with its own program and save only "
                "the state_dict(), as safetensors."
            ) from error
        raise CheckpointError(f"{path} cannot be read safely: {_first_sentence(error)}.") from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path} asks for more memory than there is: it is damaged, or for a larger machine."
        ) from error
    except STRANGER_ERRORS as error:  # what a damaged file ends in has no common base
        raise CheckpointError(f"{path} is damaged: {_first_sentence(error)}. {_FETCH}") from error


def _check_archive(path: Path) -> None:
    """Refuse a zip that is cut short, or that holds a program beside its tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(part.file_size for part in archive.infolist())
    except STRANGER_ERRORS as error:  # zipfile, too, raises what its parts raise
        raise CheckpointError(f"{path} is damaged: {_first_sentence(error)}. {_FETCH}") from error
    if unpacked > path.stat().st_size:
        raise CheckpointError(
            f"{path} unpacks to {unpacked:,} bytes, more than it has. PyTorch never compresses, so "
            "this is another archive, or one made to fill the memory. It was not opened."
        )
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript program, not a checkpoint. Save the network's state_dict()."
        )


def _first_sentence(error: BaseException) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line.partition(". ")[0].rstrip(".?! ")


def _check_fit(expected: Mapping[str, Tensor], given: Mapping[str, Any], what: str) -> None:
    """Refuse a state that is not the network's.

    Raises:
        CheckpointError: one line a kind of difference.
    """
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    other = [
        f"{name} {_layout(given[name])}, not {_layout(tensor)}"
        for name, tensor in expected.items()
        if name in given and _layout(given[name]) != _layout(tensor)
    ]
    differences = [
        f"  {kind} ({len(names)}): {_some(names)}"
        for kind, names in (("missing", missing), ("unknown", unknown), ("other shape", other))
        if names
    ]
    if differences:
        lines = [
            f"{what}: the checkpoint is made for another network or version.",
            *differences,
            f"  {len(expected) - len(missing) - len(other)} of {len(expected)} tensors fit.",
        ]
        raise CheckpointError("\n".join(lines))


def _layout(value: Any) -> str:
    """Shape and kind of number, as text: "(3, 4)", "(1,) of int64", "a str"."""
    import torch

    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    kind = "" if value.is_floating_point() else f" of {str(value.dtype).removeprefix('torch.')}"
    return f"{tuple(value.shape)}{kind}"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
