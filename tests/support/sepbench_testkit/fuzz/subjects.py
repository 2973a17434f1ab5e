"""What is damaged, and what reads it: sound files first, then the call that must survive them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sepbench.harness.errors import BenchError, DatasetError

Use = Callable[[Path, Path], "Sequence[BenchError] | None"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One kind of file.

    Attributes:
        write: makes sound files in an empty folder.
        use: (folder, damaged file) -> reads it as the harness does; where it is one of many
            files, it gives back what was refused.
        damage: patterns of the files to damage, in turn.
        text: the files are text.
    """

    write: Callable[[Path], object]
    use: Use
    damage: tuple[str, ...] = ("*",)
    text: bool = False


# --- audio ------------------------------------------------------------------------------------


def _audio(suffix: str, **formats: str) -> Subject:
    def write(folder: Path) -> None:
        import soundfile

        rng = np.random.default_rng(0)
        for number, channels in enumerate((1, 2)):
            samples = 0.1 * rng.standard_normal((3000, channels))
            for name, subtype in formats.items():
                path = folder / f"{name}-{number}{suffix}"
                soundfile.write(path, samples, 22050, subtype=subtype, format=_FORMATS.get(name))

    return Subject(write=write, use=_read_audio)


_FORMATS = {"wavex": "WAVEX", "rf64": "RF64", "opus": "OGG"}


def _read_audio(folder: Path, path: Path) -> None:
    from sepbench.harness.audio import read_audio

    read_audio(path, sample_rate=16000, mono=True)
    read_audio(path, stream=3 if path.suffix == ".mp4" else 0)


def _write_stems(folder: Path) -> None:
    from sepbench_testkit.corpora.musdb18 import song, write_stem_file

    write_stem_file(folder / "short.stem.mp4", song(seconds=0.2))


# --- lists --------------------------------------------------------------------------------------


def _corpus(name: str, *damage: str) -> Subject:
    """A tiny corpus whose tables are damaged; all that a run and `bench data` do with it."""

    def write(folder: Path) -> None:
        from sepbench_testkit.corpora.everything import CORPORA

        CORPORA[name](folder)

    def use(folder: Path, path: Path) -> Sequence[BenchError]:
        return use_dataset(name, folder)

    return Subject(write=write, use=use, damage=damage, text=True)


def use_dataset(name: str, folder: Path) -> Sequence[BenchError]:
    """Open it, list it, load its first scenes and name its clips; any list may be refused."""
    from sepbench.harness.run.corpora import open_dataset

    dataset: Any = open_dataset(name, {"root": folder})
    refusals: list[BenchError] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except BenchError as error:
            refusals.append(error)

    attempt(dataset.default_protocol)
    for entry in dataset.card.lists:
        rows: list[Any] = []
        attempt(lambda entry=entry, rows=rows: rows.extend(dataset.scenes(entry.name)))
        for row in rows[:1]:
            attempt(lambda row=row: dataset.files(row))
            attempt(lambda row=row: dataset.load(row, 8000, mono=True))
    for pool in dataset.card.pools:
        attempt(lambda pool=pool: list(dataset.clips(pool)))
    return refusals


def _write_json_lines(folder: Path) -> None:
    from sepbench_testkit.corpora.folder import write_folder

    write_folder(folder)
    (folder / "manifest.csv").unlink()
    lines = [
        {"scene": "one", "mixture": "mix, 1.wav", "target": "-dog.wav", "query": "a dog"},
        {"target": "hünd.wav", "label": "dog", "sources": {"rain": "rain+++.wav"}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest.jsonl").write_text(text, "utf-8")


def _write_sums(folder: Path) -> None:
    from sepbench.harness.run.data import prepare
    from sepbench_testkit.corpora.folder import write_folder

    write_folder(folder)
    prepare(["folder"], {"folder": {"root": str(folder)}}, yes=False, again=False, say=_silent)


def _use_sums(folder: Path, path: Path) -> None:
    from sepbench.harness.run.data import verify
    from sepbench.harness.run.data_status import status

    settings = {"folder": {"root": str(folder)}}
    problems = [state.error for state in status(["folder"], settings) if state.error]
    found = verify(["folder"], settings, quick=False, say=_silent)
    problems += [finding.detail for finding in found if finding.failed]
    if problems:
        raise DatasetError(problems[0])


def _silent(text: str) -> None:
    pass


def _write_clips(folder: Path) -> None:
    import soundfile

    for name in ("dog.wav", "rain.wav"):
        soundfile.write(folder / name, np.full(800, 0.1), 8000)
    (folder / "clips.csv").write_text(
        "path,label,fold,origin\ndog.wav,dog|bark,1,kennel\nrain.wav,rain,2,roof\n"
    )


def _use_clips(folder: Path, path: Path) -> None:
    from sepbench.harness.probing.corpus import read_corpus

    read_corpus(path)


def _write_classes(folder: Path) -> None:
    text = 'label,class\nbark,"Bark, dog"\nrain,Rain\ndoor knock,Knock\n'
    (folder / "classes.csv").write_text(text)


def _use_classes(folder: Path, path: Path) -> None:
    from sepbench.harness.probing.event_names import match_classes, read_class_map

    given = read_class_map(path)
    match_classes(["bark", "rain"], ["Bark, dog", "Rain", "Knock"], given)


# --- settings -----------------------------------------------------------------------------------


SETTINGS = """
model: [nmf, audiosep-clap]
models:
  nmf: {rank: 24, n_iter: 200}
  mine: {checkpoint: "/data/a b.ckpt"}
datasets:
  esc50: {root: /data/esc50}
metrics: null
chunk: {seconds: 10.5, overlap_seconds: 1}
device: cpu
limit: 3
keep_audio: true
engine: {name: inline, workers: 2, memory_mb: auto}
query: {shots: [1, 3]}
"""

OVERRIDES = """model=[nmf,audiosep-clap]
models.nmf.rank=24
datasets.esc50.root='/data/e s c'
query=audio
query.shots=[1,3]
chunk.seconds=10.5
engine=inline
engine.memory_mb=512
limit=null
keep_audio=true
device=cuda:1
metrics=[sdr,si_sdr]
"""


def _use_settings(folder: Path, path: Path) -> None:
    from sepbench.harness.settings import resolve

    resolve(workspace=folder, environment={})


def _use_overrides(folder: Path, path: Path) -> None:
    from sepbench.harness.settings import resolve

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    resolve(workspace=folder / "none", overrides=text.split("\n")[:-1], environment={})


def _use_variables(folder: Path, path: Path) -> None:
    from sepbench.harness.settings import resolve

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    pairs = [line.partition("=") for line in text.split("\n") if line]
    variables = {f"SEPBENCH__{key.upper().replace('.', '__')}": value for key, _, value in pairs}
    resolve(workspace=folder / "none", environment=variables)


def _write_protocols(folder: Path) -> None:
    from sepbench.harness import configs

    for path in sorted(Path(str(configs.__file__)).parent.glob("protocol/*.yaml")):
        shutil.copy(path, folder)


def _use_protocol(folder: Path, path: Path) -> None:
    from sepbench.harness.composition import read_file
    from sepbench.harness.protocols import parse_own

    parse_own("fuzzed", read_file(path))


# --- checkpoints --------------------------------------------------------------------------------


def _state() -> dict[str, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(4, 3, generator=generator),
        "bias": torch.randn(4, generator=generator).half(),
        "count": torch.tensor(7),
    }


def _write_safetensors(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file(_state(), folder / "net.safetensors", metadata={"format": "pt"})


def _write_torch(folder: Path) -> None:
    import torch

    full = {"state_dict": _state(), "epoch": 3, "loss": np.float64(0.5), "names": ["a", "b"]}
    torch.save(full, folder / "zip.ckpt")
    torch.save(full, folder / "old.pt", _use_new_zipfile_serialization=False)


class _Runs:
    """Calls something when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def _write_hostile(folder: Path) -> None:
    """Pickles, bare and in zips, that would make the file `canary` if they were carried out."""
    import subprocess

    import torch

    canary = str(folder.parent / "canary")
    code = f"open({canary!r}, 'w').close()"
    calls = {
        "system": _Runs(os.system, f"touch {canary}"),
        "exec": _Runs(exec, code),
        "eval": _Runs(eval, f"open({canary!r}, 'w').close()"),
        "popen": _Runs(subprocess.Popen, ["touch", canary]),
        "open": _Runs(open, canary, "w"),
        "import": _Runs(__import__, "this"),
    }
    for name, call in calls.items():
        torch.save({"weight": torch.zeros(3), "extra": call}, folder / f"{name}.ckpt")
        torch.save(
            {"weight": torch.zeros(3), "extra": call},
            folder / f"{name}.pt",
            _use_new_zipfile_serialization=False,
        )
        (folder / f"{name}.pkl").write_bytes(pickle.dumps({"weight": call}))
        with zipfile.ZipFile(folder / f"{name}.pth", "w") as archive:
            archive.writestr("net/data.pkl", pickle.dumps({"weight": call}, protocol=2))
            archive.writestr("net/version", "3\n")
            archive.writestr("net/byteorder", "little")


def _use_checkpoint(folder: Path, path: Path) -> None:
    import torch

    from sepbench.baselines.checkpoints import (
        fit,
        numpy_scalars,
        read_checkpoint,
        training_leftovers,
    )

    held = read_checkpoint(path, allow=[*numpy_scalars(), *training_leftovers()])
    state = held.get("state_dict", held)
    if isinstance(state, dict):
        fit(torch.nn.Linear(3, 4), state, what="fuzzed", ignored=lambda name: name == "count")


def _text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, "utf-8")


SUBJECTS: dict[str, Subject] = {
    "wav": _audio(".wav", pcm="PCM_16", float="FLOAT", wavex="PCM_24", rf64="PCM_16"),
    "flac": _audio(".flac", flac="PCM_16"),
    "ogg": _audio(".ogg", vorbis="VORBIS"),
    "mp3": _audio(".mp3", mp3="MPEG_LAYER_III"),
    "stem.mp4": Subject(write=_write_stems, use=_read_audio),
    "folder.csv": _corpus("folder", "manifest.csv"),
    "folder.jsonl": Subject(
        write=_write_json_lines,
        use=lambda folder, path: use_dataset("folder", folder),
        damage=("manifest.jsonl",),
        text=True,
    ),
    "sums.json": Subject(
        write=_write_sums, use=_use_sums, damage=(".sepbench-manifest.json",), text=True
    ),
    "audiocaps.csv": _corpus("audiocaps", "**/*.csv"),
    "audioset.csv": _corpus("audioset", "**/*.csv"),
    "clotho.csv": _corpus("clotho", "**/*.csv"),
    "dcase.csv": _corpus("dcase2024-task9", "**/*.csv"),
    "esc50.csv": _corpus("esc50", "**/*.csv"),
    "vggsound.csv": _corpus("vggsound", "**/*.csv"),
    "voicebank.txt": _corpus("voicebank-demand", "**/*.txt"),
    "clips.csv": Subject(write=_write_clips, use=_use_clips, damage=("*.csv",), text=True),
    "classes.csv": Subject(write=_write_classes, use=_use_classes, text=True),
    "settings.yaml": Subject(write=_text("settings.yaml", SETTINGS), use=_use_settings, text=True),
    "overrides": Subject(write=_text("overrides.txt", OVERRIDES), use=_use_overrides, text=True),
    "variables": Subject(write=_text("variables.txt", OVERRIDES), use=_use_variables, text=True),
    "protocol.yaml": Subject(write=_write_protocols, use=_use_protocol, text=True),
    "safetensors": Subject(write=_write_safetensors, use=_use_checkpoint),
    "torch": Subject(write=_write_torch, use=_use_checkpoint),
    "hostile": Subject(write=_write_hostile, use=_use_checkpoint),
}


def files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files to damage."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
