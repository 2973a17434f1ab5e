"""From names to cells, and from a list's rows to items. Reads no audio.

models × protocols × query kinds ──▶ cells; each cell's task ──▶ items
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sepbench.harness.api import (
    BaselineCard,
    Clip,
    Dataset,
    ListCard,
    QueryKind,
    SceneRow,
    ScoringProtocol,
    TargetRow,
)
from sepbench.harness.errors import (
    STRANGER_ERRORS,
    BenchError,
    DatasetError,
    NotApplicableError,
    UnknownNameError,
)
from sepbench.harness.identity import canonical, digest, task_identity
from sepbench.harness.queries import ExamplePool, choose_kind, queries_of

Read = TypeVar("Read", Sequence[SceneRow], Sequence[Clip])


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedModel:
    """A baseline as asked for, before it is loaded.

    Attributes:
        label: what tables call it (the variant's name).
        name: registry name, or "module:Class".
        identity: what can change its estimates.
    """

    label: str
    name: str
    target: str
    card: BaselineCard
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]


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
    row_digest: str


@dataclass(kw_only=True, slots=True)
class Task:
    """Items that cells share: a list under a protocol with one kind of query."""

    protocol: ScoringProtocol
    dataset: Dataset
    kind: QueryKind
    shots: int | None
    pool: ExamplePool | None
    identity: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    def rows(self) -> Sequence[SceneRow]:
        """The list's rows in their order."""
        name = self.protocol.list_name
        rows = _read(lambda: self.dataset.scenes(name), self.protocol, f"list '{name}'")
        if isinstance(rows, Sequence):
            return rows
        where = f"Dataset {self.protocol.dataset}, list '{name}'"
        try:
            return list(rows)
        except TypeError:
            raise DatasetError(
                f"{where}: scenes() returned {type(rows).__name__}; expected rows of SceneRow."
            ) from None

    def items(self) -> Iterator[PlannedItem]:
        """All items in list order.

        Raises:
            NotApplicableError: a query cannot be made.
        """
        revision = self.identity["revision"]
        seed_parts = (self.protocol.dataset, self.protocol.list_name, revision)
        for position, row in enumerate(self.rows()):
            row_digest = digest([row.scene_id, dict(row.details), list(row.origins)])[:16]
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
                        row_digest=row_digest,
                    )


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


def list_card(dataset: Dataset, protocol: ScoringProtocol) -> ListCard:
    """The card of the list a protocol scores.

    Raises:
        UnknownNameError: the dataset has no such list.
    """
    for card in dataset.card.lists:
        if card.name == protocol.list_name:
            return card
    raise UnknownNameError(
        "list",
        protocol.list_name,
        [card.name for card in dataset.card.lists],
        where=f" of dataset {dataset.card.name} in protocol {protocol.name}",
    )


def plan_cells(
    models: Sequence[PlannedModel],
    protocols: Sequence[tuple[ScoringProtocol, Dataset]],
    *,
    forced_kind: QueryKind | None,
    shots: Sequence[int],
) -> list[PlannedCell]:
    """The grid, model by model so that each is loaded once.

    Cells of one protocol with the same kind of query share their task.
    """
    tasks: dict[str, Task | NotApplicableError] = {}
    pools: dict[str, ExamplePool] = {}
    cells: list[PlannedCell] = []
    for model in models:
        for protocol, dataset in protocols:
            try:
                kind = choose_kind(protocol.query, model.card.query_kinds, forced_kind)
            except NotApplicableError as reason:
                cells.append(_not_applicable(model, protocol, forced_kind, str(reason)))
                continue
            for count in (shots or (protocol.query.shots,)) if kind == "audio" else (None,):
                made = _task(protocol, dataset, kind, count, tasks, pools)
                if isinstance(made, NotApplicableError):
                    cells.append(_not_applicable(model, protocol, kind, str(made)))
                    continue
                identity = {"model": dict(model.identity), "task": dict(made.identity)}
                cells.append(
                    PlannedCell(
                        model=model, protocol=protocol, kind=kind, task=made, identity=identity
                    )
                )
    return cells


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
        if kind == "audio":
            pool_key = f"{protocol.dataset}\x1f{protocol.query.pool}"
            if pool_key not in pools:
                name = protocol.query.pool
                clips = _read(lambda: dataset.clips(name), protocol, f"pool '{name}'")
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


def _read(read: Callable[[], Read], protocol: ScoringProtocol, what: str) -> Read:
    try:
        return read()
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a stranger's dataset may raise anything
        raise DatasetError(
            f"Dataset {protocol.dataset}: {what} cannot be read: {type(error).__name__}: {error}"
        ) from error


def _checked(task: Task) -> Task | NotApplicableError:
    """The task, or why its first impossible query makes it not applicable.

    Raises:
        DatasetError: a row is not one, or two items have one name: one of them would be lost.
    """
    _check_rows(task)
    try:
        for _ in task.items() if task.kind in ("audio", "label", "text") else ():
            pass
    except NotApplicableError as reason:
        return reason
    return task


def _not_applicable(
    model: PlannedModel, protocol: ScoringProtocol, kind: QueryKind | None, reason: str
) -> PlannedCell:
    return PlannedCell(
        model=model, protocol=protocol, kind=kind, task=None, reason=reason, identity={}
    )


def _check_rows(task: Task) -> None:
    where = f"Dataset {task.protocol.dataset}, list '{task.protocol.list_name}'"
    seen: set[str] = set()
    for row in task.rows():
        if not isinstance(row, SceneRow):
            raise DatasetError(f"{where}: a row is {type(row).__name__}; expected SceneRow.")
        if row.scene_id in seen:
            raise DatasetError(f"{where}: two scenes are called '{row.scene_id}'.")
        seen.add(row.scene_id)
        names = [target.name for target in row.targets]
        if len(set(names)) < len(names):
            raise DatasetError(f"{where}, scene {row.scene_id}: a target is listed twice.")
    if not seen:
        raise DatasetError(f"{where} is empty. Check the dataset's folder.")
