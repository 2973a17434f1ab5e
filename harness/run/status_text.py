"""The words and tables of `bench status` for people."""

from __future__ import annotations

import time

from sepbench.harness.plain_text import one_line
from sepbench.harness.run.status import CellStatus, WorkspaceStatus
from sepbench.harness.run.text_tables import aligned, duration

MOST_CELLS = 30
GO_ON = "the same `bench run` goes on"
QUIET = 30.0  # seconds without an event that are worth a word; a snapshot comes every two


def status_text(status: WorkspaceStatus, *, now: float | None = None) -> str:
    """Several lines: what it does, how far it is, its cells, its devices, its latest failures.

    Args:
        status: of a workspace.
        now: time of day; None = this moment.
    """
    parts = [f"{status.workspace}: {_headline(status)}", f"  {_counts(status)}"]
    if status.alive:
        if status.waits_for:
            parts.append(f"  waits for {status.waits_for}")
        parts += [f"  {line}" for line in _silence(status, time.time() if now is None else now)]
    parts += ["", _cells(status)]
    if status.lanes:
        parts += ["", _lanes(status)]
    if status.failures:
        parts += ["", "Latest failures (all: `bench report --errors`):"]
        for failure in status.failures:
            what = ", ".join(filter(None, (failure["scene"], failure["target"]))) or "whole cell"
            error = one_line(failure["error"])[:160]
            parts.append(f"  {failure['model']}, {what}: {failure['error_type']}: {error}")
    return "\n".join(parts)


def status_line(status: WorkspaceStatus) -> str:
    """One line, for a log that is followed."""
    waits = f" · waits for {status.waits_for}" if status.waits_for else ""
    return f"{status.state}: {_counts(status)}{waits}"


def _headline(status: WorkspaceStatus) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.started))
    lasted = f" for {duration(status.seconds)}" if status.seconds is not None else ""
    why = f" ({status.reason})" if status.reason else ""
    missing = status.items - status.done
    if status.state in ("running", "stopping"):
        doing = "running" if status.state == "running" else f"stopping{why}"
        return f"{doing}{lasted}, begun {since}, {_holder(status)}"
    if status.state == "busy":
        return f"no run goes on, but {_holder(status)} holds it"
    if status.state == "killed":
        text = f"its run, begun {since}, ended without a word{lasted and ' after' + lasted[4:]}"
        return f"{text} (killed, or the machine went down); what is done is kept, {GO_ON}"
    text = f"{status.state}{why}, begun {since}{lasted and ', lasted' + lasted[4:]}"
    return f"{text}; {missing:,} items are missing, {GO_ON}" if missing else text


def _holder(status: WorkspaceStatus) -> str:
    holder = status.holder
    if "pid" not in holder:
        return "another process"
    return one_line(f"process {holder['pid']} on {holder.get('host', 'an unknown host')}")


def _counts(status: WorkspaceStatus) -> str:
    share = f" ({status.done / status.items:.0%})" if status.items else ""
    parts = [f"{status.done:,} of {status.items:,} items done{share}"]
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    if status.items_per_second is not None:
        parts.append(f"{_rate(status.items_per_second)} items/s")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return " · ".join(parts)


def _silence(status: WorkspaceStatus, now: float) -> list[str]:
    """A word where nothing was heard for a while; clocks that differ make it no worse than that."""
    quiet = now - status.heard_at if status.heard_at is not None else 0.0
    return [f"last heard of {duration(quiet)} ago, by the clock"] if quiet > QUIET else []


def _cells(status: WorkspaceStatus) -> str:
    """What moves or went wrong comes first when there are many."""
    order = ("running", "failed", "incomplete", "waiting", "done", "not applicable")
    cells = sorted(status.cells, key=lambda cell: order.index(cell.state))
    shown = cells[:MOST_CELLS] if len(cells) > MOST_CELLS else list(status.cells)
    header = ("model", "protocol", "query", "state", "done", "failed", "items", "items/s")
    text = aligned(header, [_row(cell) for cell in shown], left=4)
    if len(cells) > MOST_CELLS:
        text += f"\n… and {len(cells) - MOST_CELLS} more; --json has all"
    return text


def _row(cell: CellStatus) -> tuple[str, ...]:
    head = (cell.model, cell.protocol, cell.query or "–")
    if cell.state == "not applicable":
        return (*head, f"not applicable: {cell.reason}", "–", "–", "–", "–")
    rate = "–" if cell.items_per_second is None else _rate(cell.items_per_second)
    state = f"failed: {one_line(cell.reason)[:60]}" if cell.state == "failed" else cell.state
    return (*head, state, f"{cell.done:,}", f"{cell.failed:,}", f"{cell.items:,}", rate)


def _lanes(status: WorkspaceStatus) -> str:
    rows = [
        (
            lane.device,
            one_line(lane.model) or "–",
            lane.state,
            "–" if lane.use is None else f"{lane.use:.0%}",
            f"{lane.items:,}",
            str(lane.restarts),
        )
        for lane in status.lanes
    ]
    scorers = status.scorers
    if scorers:
        working = f"{scorers['working']} of {scorers['processes']} at work"
        busy = "–" if scorers["busy"] is None else f"{scorers['busy']:.1f} busy"
        items, restarts = f"{scorers['items']:,}", str(scorers["restarts"])
        rows.append(("scoring", "–", working, busy, items, restarts))
    return aligned(("place", "model", "state", "use", "items", "restarts"), rows, left=3)


def _rate(per_second: float) -> str:
    """Three figures, also for models that take minutes."""
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.3g}"
