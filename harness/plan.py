"""From names to cells, and from a list's rows to items. Reads no audio.

models × protocols × query kinds ──▶ cells; each cell's task ──▶ items
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sepbench.harness.api import (
    WITH_EXAMPLES,
    AskedKind,
    BaselineCard,
    Dataset,
    QueryKind,
    SceneRow,
    ScoringProtocol,
    TargetRow,
)
from sepbench.harness.errors import (
    DatasetError,
    NotApplicableError,
)
from sepbench.harness.identity import canonical, digest, task_identity
from sepbench.harness.lists import list_card, read_own, sound_rows
from sepbench.harness.queries import (
    ExamplePool,
    choose_kind,
    queries_of,
    wanted_kinds,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedModel:
    """A baseline as asked for, before it is loaded.

    Attributes:
        label: what tables call it (the variant's name).
        name: registry name, or "module:Class".
        card: joint where a postprocess is.
        identity: what can change its estimates.
        postprocess: "module:Class" of the step over each scene's estimates, or "".
        weights_of_kinds: setting that names weights -> the query kinds that alone need them.
    """

    label: str
    name: str
    target: str
    card: BaselineCard
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    postprocess: str = ""
    weights_of_kinds: Mapping[str, Sequence[QueryKind]] = field(default_factory=dict)

    def identity_with(self, kind: QueryKind) -> dict[str, Any]:
        """What can change its estimates where it is asked by one kind of query."""
        idle = {key for key, kinds in self.weights_of_kinds.items() if kind not in kinds}
        parts = {
            part: {key: value for key, value in self.identity[part].items() if key not in idle}
            for part in ("settings", "checkpoints")
            if part in self.identity
        }
        return {**self.identity, **parts}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedItem:
    """One item, as it is recorded."""

    scene_position: int
    scene: str
    target: str
    query_index: int
    query: Mapping[str, Any]
    cluster: str
    absent: bool
    attributes: Mapping[str, Any]
    row: SceneRow

    @property
    def row_digest(self) -> str:
        """What the scene is made of: another one under the same name is told by it."""
        row = self.row
        return digest([row.scene_id, dict(row.details), list(row.origins)])[:16]


@dataclass(kw_only=True, slots=True)
class Task:
    """Items that cells share: a list under a protocol with one kind of query.

    Attributes:
        rows_digest, count: of its items, from the walk that checked them; None before.
    """

    protocol: ScoringProtocol
    dataset: Dataset
    kind: QueryKind
    shots: int | None
    pool: ExamplePool | None
    identity: Mapping[str, Any]
    rows_digest: str | None = None
    count: int = 0

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    def rows(self) -> Sequence[SceneRow]:
        """The list's rows in their order."""
        name = self.protocol.list_name
        rows = read_own(lambda: self.dataset.scenes(name), self.protocol, f"list '{name}'")
        if isinstance(rows, Sequence):
            return rows
        where = f"Dataset {self.protocol.dataset}, list '{name}'"
        try:
            return list(rows)
        except TypeError:
            raise DatasetError(
                f"{where}: scenes() returned {type(rows).__name__}; expected rows of SceneRow."
            ) from None

    def items(self, rows: Iterable[SceneRow] | None = None) -> Iterator[PlannedItem]:
        """All items in list order.

        Args:
            rows: the list's, where they are at hand.

        Raises:
            NotApplicableError: a query cannot be made.
        """
        revision = self.identity["revision"]
        seed_parts = (self.protocol.dataset, self.protocol.list_name, revision)
        for position, row in enumerate(self.rows() if rows is None else rows):
            for target in row.targets:
                for asked in queries_of(
                    row,
                    target,
                    kind=self.kind,
                    rule=self.protocol.query,
                    shots=self.shots or 1,
                    pool=self.pool,
                    seed_parts=seed_parts,
                ):
                    yield PlannedItem(
                        scene_position=position,
                        scene=row.scene_id,
                        target=target.name,
                        query_index=asked.index,
                        query=asked.record(),
                        cluster=target.cluster or row.scene_id,
                        absent=target.absent,
                        attributes=_attributes(row, target),
                        row=row,
                    )


def item_values(item: PlannedItem) -> tuple[object, ...]:
    """What is recorded of an item, in the order of the table, without the task."""
    return (
        item.scene_position,
        item.scene,
        item.target,
        item.query_index,
        canonical(item.query),
        item.cluster,
        int(item.absent),
        canonical(item.attributes),
        item.row_digest,
    )


def digest_items(items: Iterable[PlannedItem]) -> tuple[str, int]:
    """Digest of all items in order, and their number.

    Of their texts as Python writes them, which takes half the time of what is recorded. Where it
    differs, the items themselves are compared: it only has to be equal when they are.
    """
    running, count = hashlib.sha256(), 0
    for item in items:
        row = item.row
        text = repr(
            (
                (item.scene_position, item.scene, item.target, item.query_index, item.cluster),
                (item.absent, item.query, item.attributes, row.details, row.origins),
            )
        )
        running.update(text.encode("utf-8", "backslashreplace"))
        count += 1
    return running.hexdigest(), count


def _attributes(row: SceneRow, target: TargetRow) -> dict[str, Any]:
    """What tables can be broken down by; the label too, unless the dataset says otherwise."""
    label = {} if target.label is None else {"label": target.label}
    return {**label, **row.attributes, **target.attributes}


@dataclass(kw_only=True, slots=True)
class PlannedCell:
    """One baseline under one protocol with one kind of query.

    Attributes:
        task: None where the cell is not applicable; `reason` then says why.
    """

    model: PlannedModel
    protocol: ScoringProtocol
    kind: QueryKind | None
    task: Task | None
    reason: str = ""
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)


def plan_cells(
    models: Sequence[PlannedModel],
    protocols: Sequence[tuple[ScoringProtocol, Dataset]],
    *,
    kinds: Sequence[AskedKind] = (),
    shots: Sequence[int] = (),
) -> list[PlannedCell]:
    """The grid, model by model so that each is loaded once.

    Cells of one protocol with the same kind of query share their task.

    Args:
        models: rows.
        protocols: with the dataset of each.
        kinds: of queries, each a cell of its own; empty = the protocol's first that fits.
        shots: numbers of examples, each a cell of its own; empty = the protocol's number.
    """
    tasks: dict[str, Task | NotApplicableError] = {}
    pools: dict[str, ExamplePool] = {}
    cells: list[PlannedCell] = []
    for model in models:
        for protocol, dataset in protocols:
            for wanted in wanted_kinds(protocol.query, model.card.query_kinds, kinds):
                cells += _cells_of(model, protocol, dataset, wanted, shots, tasks, pools)
    return cells


def _cells_of(
    model: PlannedModel,
    protocol: ScoringProtocol,
    dataset: Dataset,
    wanted: QueryKind | None,
    shots: Sequence[int],
    tasks: dict[str, Task | NotApplicableError],
    pools: dict[str, ExamplePool],
) -> Iterator[PlannedCell]:
    """One kind of query: a cell, or one for each number of examples."""
    try:
        kind = choose_kind(protocol.query, model.card.query_kinds, wanted)
    except NotApplicableError as reason:
        yield _not_applicable(model, protocol, wanted, str(reason))
        return
    for count in (shots or (protocol.query.shots,)) if kind in WITH_EXAMPLES else (None,):
        made = _task(protocol, dataset, kind, count, tasks, pools)
        if isinstance(made, NotApplicableError):
            yield _not_applicable(model, protocol, kind, str(made))
            continue
        lacking = _not_whole(made) if model.postprocess else ""
        if lacking:
            yield _not_applicable(model, protocol, kind, lacking)
            continue
        identity = {"model": model.identity_with(kind), "task": dict(made.identity)}
        yield PlannedCell(model=model, protocol=protocol, kind=kind, task=made, identity=identity)


def _task(
    protocol: ScoringProtocol,
    dataset: Dataset,
    kind: QueryKind,
    shots: int | None,
    tasks: dict[str, Task | NotApplicableError],
    pools: dict[str, ExamplePool],
) -> Task | NotApplicableError:
    card = list_card(dataset, protocol)
    identity = task_identity(
        protocol, revision=card.revision, mixing=card.mixing, kind=kind, shots=shots
    )
    key = canonical(identity)
    if key not in tasks:
        pool = None
        if kind in WITH_EXAMPLES:
            pool_key = f"{protocol.dataset}\x1f{protocol.query.pool}"
            if pool_key not in pools:
                name = protocol.query.pool
                clips = read_own(lambda: dataset.clips(name), protocol, f"pool '{name}'")
                pools[pool_key] = ExamplePool(clips)
            pool = pools[pool_key]
        task = Task(
            protocol=protocol,
            dataset=dataset,
            kind=kind,
            shots=shots,
            pool=pool,
            identity=identity,
        )
        tasks[key] = _checked(task)
    return tasks[key]


def _checked(task: Task) -> Task | NotApplicableError:
    """The task, or why its first impossible query makes it not applicable.

    Raises:
        DatasetError: a row is not one, or two items have one name: one of them would be lost.
    """
    rows = sound_rows(task.rows(), task.protocol)
    try:
        task.rows_digest, task.count = digest_items(task.items(rows))
    except NotApplicableError as reason:
        for _ in rows:  # a list that is broken is told before what cannot be asked of it
            pass
        return reason
    return task


def _not_whole(task: Task) -> str:
    """Why the queries of some scene do not ask for each of its sources once; "" where all do."""
    needs = "a postprocess needs queries for all sources of a scene, each asked for once"
    for row in task.rows():
        absent = next((target.name for target in row.targets if target.absent), None)
        if len(row.targets) < 2:
            return f"{needs}; scene {row.scene_id} has {len(row.targets)} to ask for"
        if absent is not None:
            return f"{needs}; '{absent}' is not in scene {row.scene_id}"
    several = next((item for item in task.items() if item.query_index > 0), None)
    if several is not None:
        return f"{needs}; scene {several.scene} has several queries for '{several.target}'"
    return ""


def _not_applicable(
    model: PlannedModel, protocol: ScoringProtocol, kind: QueryKind | None, reason: str
) -> PlannedCell:
    return PlannedCell(
        model=model, protocol=protocol, kind=kind, task=None, reason=reason, identity={}
    )
