"""What can be heard of a workspace: mixtures and references made again, estimates as kept.

Nothing is separated here. A scene whose files changed since it was scored, or whose dataset is not
on this machine, is left out, and `problems` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sepbench.harness.aggregate import Table
from sepbench.harness.api import Dataset, Samples, SceneRow, ScoringProtocol
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import BenchError, SettingError, StorageError
from sepbench.harness.plain_text import one_line
from sepbench.harness.protocols import load_protocol
from sepbench.harness.queries import ExamplePool
from sepbench.harness.run.corpora import open_dataset
from sepbench.harness.stages.load import LoadedScene, load_scene
from sepbench.harness.store import Workspace
from sepbench.reports.contract import Recording


@dataclass(frozen=True, slots=True)
class _Corpus:
    """A protocol's dataset, open."""

    protocol: ScoringProtocol
    dataset: Dataset
    rows: Mapping[str, SceneRow]


class KeptAudio:
    """The audio of a workspace's tables; see `sepbench.reports.contract.ItemAudio`.

    Args:
        workspace: open, and stays so while audio is asked for.
        tables: those of the board; other cells are not heard.
    """

    def __init__(self, workspace: Workspace, tables: list[Table]) -> None:
        self._workspace = workspace
        self._cells = {
            table.protocol: [row.cell_id for row in table.rows if row.status == "active"]
            for table in tables
        }
        self._corpora: dict[str, _Corpus | None] = {}
        self._pools: dict[str, ExamplePool] = {}
        self._problems: dict[str, None] = {}
        self._last: tuple[tuple[str, str], LoadedScene | None] | None = None

    def kept(self, protocol: str) -> list[tuple[str, str]]:
        """(scene, target) of which at least one estimate is kept, in list order."""
        cells = self._cells.get(protocol, [])
        rows = self._workspace.query(
            "SELECT i.scene, i.target, min(i.scene_position) p, min(i.id) n FROM results r"
            f" JOIN items i ON i.id = r.item_id WHERE r.cell_id IN ({_marks(cells)})"
            " AND r.estimate_sha256 != '' GROUP BY i.scene, i.target ORDER BY p, n",
            cells,
        )
        return [(row["scene"], row["target"]) for row in rows]

    def open(self, protocol: str, scene: str, target: str) -> Recording | None:
        """The recording of one target, or None where it cannot be made again."""
        corpus = self._corpus(protocol)
        if corpus is None:
            return None
        cells = self._cells.get(protocol, [])
        rows = self._workspace.query(
            "SELECT r.cell_id, i.query_index, i.query, r.estimate_sha256, r.files,"
            " r.example_files FROM results r"
            f" JOIN items i ON i.id = r.item_id WHERE r.cell_id IN ({_marks(cells)})"
            " AND i.scene = ? AND i.target = ? ORDER BY r.cell_id, i.query_index",
            [*cells, scene, target],
        )
        loaded = self._scene(corpus, scene, [json.loads(row["files"]) for row in rows])
        if loaded is None:
            return None
        estimates = {}
        for row in rows:
            estimate = self._estimate(protocol, row["estimate_sha256"])
            if estimate is not None:
                estimates[row["cell_id"], row["query_index"]] = estimate
        return Recording(
            sample_rate=loaded.sample_rate,
            mixture=loaded.mixture,
            reference=loaded.sources.get(target, np.zeros_like(loaded.mixture)),
            estimates=estimates,
            examples=self._examples(corpus, rows, loaded.sample_rate),
        )

    def problems(self) -> list[str]:
        """Why recordings could not be made again, a sentence a cause."""
        return list(self._problems)

    def _estimate(self, protocol: str, sha256: str) -> Samples | None:
        if not sha256:
            return None
        try:
            path = self._workspace.audio_path(sha256)
            return read_audio(path).samples if path.is_file() else None
        except (SettingError, StorageError) as error:  # a store out of reach
            self._problems[f"{protocol}: no estimates, {one_line(str(error))}"] = None
            return None

    def _examples(self, corpus: _Corpus, rows: list[Any], sample_rate: int) -> dict[str, Samples]:
        """The audio examples of a target's queries, clip by clip, as far as they are at hand."""
        recorded: dict[str, str] = {}
        for row in rows:
            files = json.loads(row["example_files"])
            for clip_id in json.loads(row["query"]).get("examples", ()):
                recorded[clip_id] = files.get(clip_id, "") or recorded.get(clip_id, "")
        found = {}
        for clip_id, sha256 in recorded.items():
            samples = self._example(corpus, clip_id, sha256, sample_rate)
            if samples is not None:
                found[clip_id] = samples
        return found

    def _example(
        self, corpus: _Corpus, clip_id: str, sha256: str, sample_rate: int
    ) -> Samples | None:
        name = corpus.protocol.name
        try:
            if name not in self._pools:
                clips = corpus.dataset.clips(corpus.protocol.query.pool)
                self._pools[name] = ExamplePool(list(clips))
            if clip_id not in self._pools[name]:
                self._problems[f"{name}: example {clip_id} is no longer in the pool"] = None
                return None
            (example,) = self._pools[name].examples([clip_id])
            if example.path is None:
                return None
            audio = read_audio(example.path, sample_rate=sample_rate, stream=example.stream)
        except BenchError as error:
            self._problems[f"{name}: no example {clip_id}: {one_line(str(error))}"] = None
            return None
        if sha256 and audio.sha256 != sha256:
            self._problems[f"{name}: example {clip_id} changed since models heard it"] = None
            return None
        return audio.samples

    def _corpus(self, protocol: str) -> _Corpus | None:
        if protocol not in self._corpora:
            self._corpora[protocol] = self._opened(protocol)
        return self._corpora[protocol]

    def _opened(self, protocol: str) -> _Corpus | None:
        (task,) = self._workspace.query(
            "SELECT dataset FROM tasks WHERE protocol = ? ORDER BY id DESC LIMIT 1", (protocol,)
        )
        name = task["dataset"]
        try:
            dataset = open_dataset(name, self._settings(name))
            rules = load_protocol(protocol, getattr(dataset, "protocols", None))
            rows = {row.scene_id: row for row in dataset.scenes(rules.list_name)}
        except BenchError as error:
            self._problems[f"{protocol}: no audio, {one_line(str(error))}"] = None
            return None
        return _Corpus(rules, dataset, rows)

    def _settings(self, dataset: str) -> Mapping[str, Any]:
        """The settings under which the latest run opened a dataset."""
        for run in self._workspace.query("SELECT settings FROM runs ORDER BY id DESC"):
            settings = json.loads(run["settings"])
            names = [str(each).partition(":")[0] for each in settings.get("dataset", [])]
            if dataset in names:
                return dict(settings.get("datasets", {}).get(dataset, {}))
        return {}

    def _scene(
        self, corpus: _Corpus, scene: str, recorded: list[Mapping[str, str]]
    ) -> LoadedScene | None:
        """One scene, kept for the next target of it."""
        key = (corpus.protocol.name, scene)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._loaded(corpus, scene, recorded))
        return self._last[1]

    def _loaded(
        self, corpus: _Corpus, scene: str, recorded: list[Mapping[str, str]]
    ) -> LoadedScene | None:
        name = corpus.protocol.name
        if scene not in corpus.rows:
            self._problems[f"{name}: scene {scene} is no longer in the dataset's list"] = None
            return None
        try:
            loaded = load_scene(corpus.dataset, corpus.rows[scene], corpus.protocol)
        except BenchError as error:
            self._problems[f"{name}: scene {scene}: {one_line(str(error))}"] = None
            return None
        for files in recorded:
            if any(loaded.files.get(file, sha) != sha for file, sha in files.items()):
                self._problems[f"{name}: files of scene {scene} changed since it was scored"] = None
                return None
        return loaded


def _marks(values: list[int]) -> str:
    return ",".join("?" * len(values))
