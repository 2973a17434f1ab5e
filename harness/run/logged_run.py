"""The latest run of a workspace as its event log tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from sepbench.harness.engines.events import (
    SCENES_A_SCORER,
    EngineSnapshot,
    LaneSnapshot,
    QueueDepths,
    ScorersSnapshot,
)
from sepbench.harness.run.event_log import Event
from sepbench.harness.run.pace import Pace


@dataclass(kw_only=True, slots=True)
class LoggedCell:
    """A cell of the run.

    Attributes:
        items: that the cell has; `pending`: that were left when the run began.
        done: ended in this run, failed ones included.
        error: why it could not be carried out, or "".
    """

    cell_id: int
    model: str
    protocol: str
    query: str
    items: int
    pending: int
    done: int = 0
    failed: int = 0
    loaded: bool = False
    error: str = ""
    pace: Pace = field(default_factory=Pace)


@dataclass(kw_only=True, slots=True)
class LoggedRun:
    """Everything the log says of one run.

    Attributes:
        started: the fields of its first event, {} where that is not in the log.
        seconds: from its beginning to its latest event, on its own clock.
        at: time of day of the latest event; for people only.
        ended: the fields of its last event, None while there is none.
        stopping: why it is being stopped, or "".
        use: lane number -> share of its time with a model in which it worked, lately.
        scoring: processes that scored on average, lately.
    """

    run_id: int
    started: Event = field(default_factory=dict)
    seconds: float = 0.0
    at: float = 0.0
    done: int = 0
    failed: int = 0
    cells: dict[int, LoggedCell] = field(default_factory=dict)
    snapshot: EngineSnapshot | None = None
    stopping: str = ""
    ended: Event | None = None
    pace: Pace = field(default_factory=Pace)
    use: dict[int, Pace] = field(default_factory=dict)
    scoring: Pace = field(default_factory=Pace)

    def add(self, event: Event) -> None:
        """Take in one event; those of other kinds than we know change nothing."""
        self.seconds, self.at = max(self.seconds, event["t"]), event["at"]
        kind = event["event"]
        if kind == "run-started":
            self.started = event
        elif kind == "cell-planned":
            self._planned(event)
        elif kind == "snapshot":
            self._snapshot(event)
        elif kind == "stopping":
            self.stopping = event["reason"]
        elif kind == "run-ended":
            self.ended = event
        elif event.get("cell") in self.cells:
            self._cell(kind, self.cells[event["cell"]], event)

    def _planned(self, event: Event) -> None:
        if event["cell"] in self.cells:
            return  # said again at the beginning of a new file
        shots = f" ×{event['shots']}" if event["shots"] else ""
        self.cells[event["cell"]] = LoggedCell(
            cell_id=event["cell"],
            model=event["model"],
            protocol=event["protocol"],
            query=event["query"] + shots,
            items=event["items"],
            pending=event["pending"],
        )

    def _cell(self, kind: str, cell: LoggedCell, event: Event) -> None:
        if kind == "cell-loaded":
            cell.loaded = True
        elif kind == "cell-failed":
            cell.error = event["error"]
        elif kind == "cell-ended":
            cell.done, cell.failed = event["done"], event["failed"]
            cell.pace.add(event["t"], cell.done)

    def _snapshot(self, event: Event) -> None:
        self.snapshot = snapshot_of(event)
        self.done, self.failed = event["done"], event["failed"]
        self.pace.add(event["t"], self.done)
        for key, (done, failed) in event["cells"].items():
            if int(key) in self.cells:
                cell = self.cells[int(key)]
                cell.done, cell.failed = done, failed
        for cell in self.cells.values():
            if cell.done < cell.pending:
                cell.pace.add(event["t"], cell.done)
        for lane in self.snapshot.lanes:
            pace = self.use.setdefault(lane.number, Pace())
            pace.add(lane.busy_seconds + lane.idle_seconds, lane.busy_seconds)
        self.scoring.add(event["t"], self.snapshot.scorers.busy_seconds)

    @property
    def seconds_left(self) -> float | None:
        """At the pace of the last minute; None before there is one."""
        pending = sum(cell.pending - cell.done for cell in self.cells.values() if not cell.error)
        rate = self.pace.slope
        return pending / rate if rate else None


def latest_run(events: Iterable[Event], before: LoggedRun | None = None) -> LoggedRun | None:
    """Fold events into the latest run; earlier ones are let go.

    Args:
        events: in the order of the file.
        before: what earlier events gave.
    """
    run = before
    for event in events:
        try:
            begins = event["event"] == "run-started" and not event.get("continued")
            if run is None or begins or event["run"] != run.run_id:
                run = LoggedRun(run_id=event["run"])
            run.add(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # a line that somebody edited: the others still count
    return run


Part = TypeVar("Part", LaneSnapshot, ScorersSnapshot, QueueDepths)


def snapshot_of(event: Event) -> EngineSnapshot:
    """An engine's snapshot from its event; fields that we do not know are left out."""
    return EngineSnapshot(
        seconds=event["seconds"],
        lanes=tuple(_part(LaneSnapshot, lane) for lane in event["lanes"]),
        scorers=_part(ScorersSnapshot, event["scorers"]),
        depths=_part(QueueDepths, event["depths"]),
        stages=event["stages"],
        scratch_bytes=event["scratch_bytes"],
        stopping=event["stopping"],
    )


def _part(kind: type[Part], record: Mapping[str, Any]) -> Part:
    known = {each.name for each in fields(kind)}
    return kind(**{name: value for name, value in record.items() if name in known})


def waits_for(snapshot: EngineSnapshot) -> str:
    """What the run waits for at this moment, in words; "" where the engine does not tell."""
    lanes, depths, scorers = snapshot.lanes, snapshot.depths, snapshot.scorers
    if snapshot.stopping:
        return "what is in flight, before it stops"
    if depths.to_score and depths.to_score >= scorers.most * SCENES_A_SCORER:
        return f"scoring ({depths.to_score} scenes wait for {scorers.most} processes)"
    working = [lane for lane in lanes if lane.state == "working"]
    if working:
        return f"separation by {_named(working)}"
    for state, words in (("loading", "to load"), ("starting", "to start")):
        lane = next((lane for lane in lanes if lane.state == state), None)
        if lane is not None:
            return f"{lane.model or 'a model'} {words} on {lane.device}"
    if depths.reading:
        return "audio to be read"
    return "scoring" if depths.scoring or depths.to_score else ""


def _named(lanes: list[LaneSnapshot]) -> str:
    names = dict.fromkeys(f"{lane.model} on {lane.device}" for lane in lanes)
    shown = list(names)[:3]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
