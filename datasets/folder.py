"""Your own recordings: a folder with a manifest that says what to ask of which mixture.

`manifest.csv` has a header and these columns, paths relative to the folder:

    target      the reference of what is asked for (required)
    query       text; a target may have several rows, one a text (required, may be empty)
    mixture     the finished mixture; without it, the sum of target and other sources
    scene       rows of one name are one scene with several targets; default: the row's number
    name        of the target within its scene; default: the label, else "target"
    label       class name, for label queries and for drawing examples
    cluster     recording that repeats over rows, for intervals; default: the target's file
    source:NAME any number of columns: other known sources of the mixture

`manifest.jsonl` holds the same keys, one object a line, with `"sources": {"NAME": "path"}`. Where a
finished mixture has one target and no other source, what the target leaves of it is the source
"residual".

Examples for audio queries come from the targets of the other scenes with the same label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sepbench.datasets.manifest import read_numbered, require_list, require_pool, require_root
from sepbench.harness.api import Clip, DatasetCard, ListCard, Samples, Scene, SceneRow, TargetRow
from sepbench.harness.audio import cut_to_common_length, read_audio, resolve_inside
from sepbench.harness.errors import ManifestError, MissingFileError, near_matches

MANIFESTS = ("manifest.csv", "manifest.jsonl")
RESIDUAL = "residual"
_KEYS = ("target", "query", "mixture", "scene", "name", "label", "cluster")
_SOURCE = "source:"

CARD = DatasetCard(
    name="folder",
    summary="Your own mixtures and targets, named by a manifest (CSV or JSON lines).",
    licence="yours",
    lists=(
        ListCard(
            name="manifest",
            revision="1",
            mixing="finished mixtures, or the plain sum of target and other sources",
            summary="Every row of the manifest.",
        ),
    ),
    protocols=("folder", "folder-16k", "folder-44k"),
    pools=("targets",),
    where="write manifest.csv with the columns target, query and mixture beside your files.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """One row of the manifest with its place in it."""

    line: int
    target: str
    query: str = ""
    mixture: str = ""
    scene: str = ""
    name: str = ""
    label: str = ""
    cluster: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)


class Folder:
    """The scenes of a manifest.

    Args:
        root: the folder.
        manifest: file in it; default: manifest.csv, else manifest.jsonl.
        revision: raise it when rows mean something else than when they were scored.
    """

    card = CARD

    def __init__(
        self,
        root: Path | None = None,
        *,
        manifest: str | None = None,
        revision: str | int = "1",
    ) -> None:
        self.root = root
        self.card = replace(CARD, lists=(replace(CARD.lists[0], revision=str(revision)),))
        self._manifest = manifest
        self._rows: tuple[SceneRow, ...] | None = None

    def default_protocol(self) -> str:
        """Mono at 32 kHz; the other protocols have other rates and channels.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no manifest in it.
        """
        _find_manifest(require_root(self.root, self.card), self._manifest)
        return "folder"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """The scenes in the order of their first row.

        Raises:
            MissingRootError: no folder.
            MissingFileError: no manifest in it.
            ManifestError: a row that cannot be understood, with its line.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if self._rows is None:
            path = _find_manifest(root, self._manifest)
            self._rows = tuple(_scenes(_read(path), path))
        return self._rows

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Mixture, targets and other sources of one scene.

        Raises:
            DatasetError: a file is missing, outside the folder, or cannot be used.
            AudioMismatchError: the files differ in length.
        """
        root = require_root(self.root, self.card)
        named = {**row.details["targets"], **row.details["sources"]}
        mixture_file = row.details["mixture"]
        files: dict[str, str] = {}
        read: list[Samples] = []
        for name in self.files(row):
            path = resolve_inside(root, name)
            audio = read_audio(path, sample_rate=sample_rate, mono=mono)
            files[name] = audio.sha256
            read.append(audio.samples)
        cut = list(cut_to_common_length(read, sample_rate, where=row.scene_id))
        given = cut.pop(0) if mixture_file else None
        sources: dict[str, Samples] = dict(zip(named, cut, strict=True))
        total = cut[0] * 0
        for samples in cut:
            total = total + samples
        mixture = total if given is None else given
        # Beside several known sources the rest would be the noise of the mixing.
        if given is not None and len(named) == 1:
            sources[RESIDUAL] = mixture - total
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources=sources,
            files=files,
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of the mixture, where there is one, of the targets and of the other sources."""
        mixture = row.details["mixture"]
        named = (*row.details["targets"].values(), *row.details["sources"].values())
        return (mixture, *named) if mixture else named

    def clips(self, pool: str) -> Sequence[Clip]:
        """The targets, with labels and texts; each its own recording unless the manifest says not.

        Raises:
            MissingRootError, MissingFileError, ManifestError: as `scenes`.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        clips: dict[str, Clip] = {}
        for row in self.scenes("manifest"):
            for target in row.targets:
                file = row.details["targets"][target.name]
                before = clips.get(file)
                labels = (*(before.labels if before else ()), target.label)
                texts = (*(before.captions if before else ()), *target.texts)
                clips[file] = Clip(
                    clip_id=file,
                    path=root / file,
                    labels=tuple(dict.fromkeys(name for name in labels if name is not None)),
                    captions=tuple(dict.fromkeys(texts)),
                    origin=target.cluster,
                )
        return tuple(clips.values())


def _find_manifest(root: Path, name: str | None) -> Path:
    if name is not None:
        return resolve_inside(root, name)
    found = [root / file for file in MANIFESTS if (root / file).is_file()]
    if not found:
        raise MissingFileError(
            f"Dataset folder: {root} has neither {' nor '.join(MANIFESTS)}. Write one with the "
            "columns target, query and mixture, or name yours with datasets.folder.manifest=FILE."
        )
    return found[0]


def _read(path: Path) -> Iterator[_Row]:
    lines = _json_lines(path) if path.suffix == ".jsonl" else _csv_lines(path)
    for line, given in lines:
        where = f"{path}, line {line}"
        sources = given.pop("sources")
        for key, value in [*given.items(), *sources.items()]:
            if not isinstance(value, str):
                raise ManifestError(f"{where}: '{key}' is {value!r}; expected text.")
        if not given.get("target", "").strip():
            raise ManifestError(f"{where} names no target file.")
        row = _Row(line=line, sources=sources, **{k: v.strip() for k, v in given.items()})
        if not row.mixture and not row.sources:
            raise ManifestError(
                f"{where}: neither a mixture nor other sources; the target alone is no scene. Fill "
                f"'mixture', or columns '{_SOURCE}NAME'."
            )
        yield row


def _csv_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = read_numbered(path, ("target", "query"))
    for key in rows[0][1] if rows else ():
        if key not in _KEYS and not key.startswith(_SOURCE):  # a slip would leave a source out
            raise ManifestError(
                f"{path} has the column '{key}', which means nothing here."
                f"{near_matches(key, _KEYS)} Other sources are columns '{_SOURCE}NAME'."
            )
    for line, fields in rows:
        sources = {
            key.removeprefix(_SOURCE): value.strip()
            for key, value in fields.items()
            if key.startswith(_SOURCE) and value.strip()
        }
        yield line, {**{k: fields[k] for k in _KEYS if k in fields}, "sources": sources}


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read as text ({error}). Restore it.") from error
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        try:
            fields = json.loads(content)
        # Besides bad syntax: thousands of digits, or brackets without end.
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{path}, line {line} is no JSON object: {error}.") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("sources", {}), dict):
            raise ManifestError(f"{path}, line {line} is no JSON object with named values.")
        unknown = sorted(set(fields) - {*_KEYS, "sources"})
        if unknown:
            raise ManifestError(
                f"{path}, line {line}: unknown key '{unknown[0]}'. Known: {', '.join(_KEYS)}, "
                "sources."
            )
        yield line, {**fields, "sources": dict(fields.get("sources", {}))}


def _scenes(rows: Iterator[_Row], path: Path) -> Iterator[SceneRow]:
    grouped: dict[str, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.scene or f"row-{row.line:05d}", []).append(row)
    if not grouped:
        raise ManifestError(f"{path} has no rows.")
    for scene_id, members in grouped.items():
        first = members[0]
        targets: dict[str, TargetRow] = {}
        files: dict[str, str] = {}
        sources: dict[str, str] = {}
        for row in members:
            name = row.name or row.label or "target"
            where = f"{path}, line {row.line}"
            if row.mixture != first.mixture:
                raise ManifestError(f"{where}: scene '{scene_id}' has another mixture before.")
            if files.setdefault(name, row.target) != row.target:
                raise ManifestError(
                    f"{where}: scene '{scene_id}' has another file for '{name}' before. Give the "
                    "targets of a scene different names."
                )
            sources |= row.sources
            texts = (row.query,) if row.query else ()
            before = targets.get(name)
            if before is not None and set(texts) <= set(before.texts):
                raise ManifestError(f"{where} repeats a row: scene '{scene_id}', '{name}'.")
            targets[name] = TargetRow(
                name=name,
                label=row.label or None,
                texts=(*(before.texts if before else ()), *texts),
                cluster=row.cluster or row.target,
            )
        doubled = sorted(set(files) & set(sources))
        if doubled:
            raise ManifestError(
                f"{path}: in scene '{scene_id}', '{doubled[0]}' is a target and another source."
            )
        yield SceneRow(
            scene_id=scene_id,
            targets=tuple(targets.values()),
            origins=tuple(dict.fromkeys(t.cluster for t in targets.values())),
            details={"mixture": first.mixture, "targets": files, "sources": sources},
        )
