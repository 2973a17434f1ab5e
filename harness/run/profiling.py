"""`bench profile`: which stage holds a grid back, from the times recorded with every item.

Stages overlap: audio is read in threads, models work in a process a device, scores are computed in
others. So the seconds of a stage are divided by the places that work on it at once; the busiest
place is what the grid waits for, and the next one says how much there is to gain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any

from sepbench.harness.engines.events import EngineSnapshot
from sepbench.harness.errors import WorkspaceError
from sepbench.harness.run.event_log import EventTail
from sepbench.harness.run.logged_run import LoggedRun, latest_run
from sepbench.harness.run.text_tables import aligned, duration, number
from sepbench.harness.store import Workspace

VERSION = 1  # of the JSON
STAGES = ("load", "condition", "separate", "score")
# Where a stage happens; condition and separate share the model's process.
PLACES = {"reading": ("load",), "models": ("condition", "separate"), "scoring": ("score",)}
LEAST_LOADERS = 2  # what engine.loaders=auto is at least
IDLE_ENOUGH = 0.05  # of their time that loaded models may wait: the device is what counts


@dataclass(frozen=True, kw_only=True, slots=True)
class CellProfile:
    """Seconds of one cell's recorded items.

    Attributes:
        seconds: stage -> spent; a scene is read once for all its items.
        audio_seconds: of mixtures, once an item.
        model_load_seconds: of one loading of its model; None before it was loaded.
        share: of all cells' seconds.
        longest: the stage that takes most.
    """

    model: str
    protocol: str
    query: str
    items: int
    seconds: Mapping[str, float]
    audio_seconds: float
    model_load_seconds: float | None
    share: float
    longest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GridProfile:
    """Where a workspace's time went.

    Attributes:
        seconds: stage -> all cells together.
        places: reading, models, scoring -> how many worked at once in the latest run.
        occupied: place -> seconds that each of them was busy: the shortest time the grid can take.
        loading_seconds: of processes and models in the latest run, a lane; None without a log.
        idle_share: part of their time in which loaded models waited, in the latest run; None
            without a log.
        run_seconds: of the latest run, on its own clock; None without a log.
        bottleneck: the place that holds the grid back, or "loading".
        sentence: that in words, with what to do.
        gain: how many times faster it could be until another place is in the way.
    """

    workspace: str
    items: int
    seconds: Mapping[str, float]
    places: Mapping[str, int]
    occupied: Mapping[str, float]
    loading_seconds: float | None
    idle_share: float | None
    run_seconds: float | None
    bottleneck: str
    sentence: str
    gain: float | None
    cells: tuple[CellProfile, ...]

    def as_json(self) -> str:
        """One JSON object; the fields are those of these classes."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)


def profile(folder: Path) -> GridProfile:
    """Where the time of a workspace's recorded items went.

    Args:
        folder: the workspace; may be in use.

    Raises:
        WorkspaceError: nothing is recorded there.
    """
    with Workspace(folder) as workspace:
        rows = workspace.query(_SECONDS)
        runs = workspace.query("SELECT id, settings, provenance FROM runs ORDER BY id DESC LIMIT 1")
        if not rows or not runs:
            raise WorkspaceError(f"{folder} has no recorded item yet. Run `bench run` first.")
        run = runs[0]
        earlier = workspace.query(
            "SELECT EXISTS (SELECT 1 FROM results WHERE run_id != ?)", (run["id"],)
        )[0][0]
    logged = latest_run(EventTail(folder).read())
    if logged is not None and logged.run_id != run["id"]:
        logged = None
    seconds = {stage: sum(row[stage] for row in rows) for stage in STAGES}
    places = _places(run, logged)
    inline = json.loads(run["settings"])["engine"]["name"] == "inline"
    occupied = {
        place: sum(seconds[stage] for stage in stages) / places[place]
        for place, stages in PLACES.items()
    }
    lanes = logged.snapshot.lanes if logged is not None and logged.snapshot is not None else ()
    loading = sum(lane.loading_seconds for lane in lanes) / len(lanes) if lanes else None
    idle = logged.snapshot.idle_share if logged and logged.snapshot and lanes else None
    # Loading is known of the latest run alone; the items may be of several.
    bottleneck, busiest, rival, rest = _busiest(occupied, 0.0 if earlier else loading or 0.0)
    advice = _inline_advice() if inline else _advice(bottleneck, seconds, places, run, logged)
    return GridProfile(
        workspace=str(folder),
        items=sum(row["items"] for row in rows),
        seconds=seconds,
        places=places,
        occupied=occupied,
        loading_seconds=loading,
        idle_share=idle,
        run_seconds=logged.seconds if logged is not None else None,
        bottleneck=bottleneck,
        sentence=_sentence(bottleneck, occupied | {"loading": loading or 0.0}, rival, idle, advice),
        gain=None if inline or not rest else busiest / rest,
        cells=tuple(_cell(row, sum(seconds.values())) for row in rows),
    )


def _busiest(occupied: Mapping[str, float], loading: float) -> tuple[str, float, str, float]:
    """What holds the grid back and for how long; what would be in the way next, and how long.

    A lane either loads or works, so both are times of the same place; each alone can be mended.
    """
    lane = occupied["models"] + loading
    if lane < max(occupied.values()):
        whole = {**occupied, "models": lane}
        first = max(whole, key=lambda place: whole[place])
        busiest = whole.pop(first)
    else:
        whole = {**occupied, "loading": loading}
        first = "loading" if loading > occupied["models"] else "models"
        busiest = lane
        del whole[first]
    second = max(whole, key=lambda place: whole[place])
    return first, busiest, second, whole[second]


# Reading is recorded with every item of a scene, and happened once.
_SECONDS = """
SELECT c.label, c.protocol, c.query_kind, t.shots, c.facts, sum(s.items) AS items,
    sum(s.load) AS load, sum(s.condition) AS condition, sum(s.separate) AS separate,
    sum(s.score) AS score, sum(s.audio) AS audio
FROM (
    SELECT r.cell_id, count(*) AS items, max(r.load_seconds) AS load,
        sum(r.condition_seconds) AS condition, sum(r.separate_seconds) AS separate,
        sum(r.score_seconds) AS score, sum(r.audio_seconds) AS audio
    FROM results r JOIN items i ON i.id = r.item_id
    GROUP BY r.cell_id, i.scene_position
) s JOIN cells c ON c.id = s.cell_id LEFT JOIN tasks t ON t.id = c.task_id
GROUP BY c.id ORDER BY c.id
"""


def _cell(row: Row, total: float) -> CellProfile:
    seconds = {stage: row[stage] for stage in STAGES}
    return CellProfile(
        model=row["label"],
        protocol=row["protocol"],
        query=row["query_kind"] + (f" ×{row['shots']}" if row["shots"] else ""),
        items=row["items"],
        seconds=seconds,
        audio_seconds=row["audio"],
        model_load_seconds=json.loads(row["facts"]).get("load_seconds"),
        share=sum(seconds.values()) / total if total else 0.0,
        longest=max(STAGES, key=lambda stage: seconds[stage]),
    )


def _places(run: Row, logged: LoggedRun | None) -> dict[str, int]:
    """How many threads and processes worked at once: by the log, else by the settings."""
    engine = json.loads(run["settings"])["engine"]
    started: Mapping[str, Any] = logged.started if logged is not None else {}
    if engine["name"] == "inline":
        return dict.fromkeys(PLACES, 1)
    snapshot = logged.snapshot if logged is not None else None
    if engine["name"] == "ray":
        return _places_of_ray(engine, started, snapshot)
    cores = json.loads(run["provenance"])["cpus"] or 1
    return {
        "reading": _count(started.get("loaders", engine["loaders"]), LEAST_LOADERS),
        "models": _count(len(snapshot.lanes) if snapshot is not None else engine["lanes"], 1),
        "scoring": _count(started.get("workers", engine["workers"]), cores),
    }


def _places_of_ray(
    engine: Mapping[str, Any], started: Mapping[str, Any], snapshot: EngineSnapshot | None
) -> dict[str, int]:
    """The cluster's: the cores and the workers of the driver's machine say nothing of it."""
    asked = engine["ray"]
    actors = _count(len(snapshot.lanes) if snapshot is not None else asked["actors"], 1)
    loaders = _count(started.get("loaders", engine["loaders"]), LEAST_LOADERS)
    return {
        "reading": actors * loaders,  # every actor reads its own scenes
        "models": actors,
        "scoring": _count(snapshot.scorers.most if snapshot is not None else asked["scorers"], 1),
    }


def _count(value: object, default: int) -> int:
    """A number of places; the default where nobody gave one ("auto") or there were none."""
    return value if isinstance(value, int) and value > 0 else default


# --- words --------------------------------------------------------------------------------

_SUBJECTS = {
    "reading": "Reading audio",
    "models": "Separation",
    "scoring": "Scoring",
    "loading": "Loading models",
}


def _sentence(
    bottleneck: str, seconds: Mapping[str, float], rival: str, idle: float | None, advice: str
) -> str:
    """What holds the grid back, by how much, and what to do."""
    text = f"{_SUBJECTS[bottleneck]} holds the grid back: {duration(seconds[bottleneck])}"
    text += f" at least, {_SUBJECTS[rival].lower()} {duration(seconds[rival])}."
    if bottleneck == "models" and idle is not None and idle < IDLE_ENOUGH:
        text += f" Loaded models waited {idle:.1%} of their time: the devices are well used."
    elif idle is not None:
        text += f" Loaded models waited {idle:.0%} of their time."
    return f"{text} {advice}"


def _inline_advice() -> str:
    return "engine.name=inline does one thing after another; engine.name=local overlaps them."


def _advice(
    bottleneck: str,
    seconds: Mapping[str, float],
    places: Mapping[str, int],
    run: Row,
    logged: LoggedRun | None,
) -> str:
    """The setting that helps."""
    settings = json.loads(run["settings"])
    if settings["engine"]["name"] == "ray":
        advice = _advice_for_ray(bottleneck, places)
        if advice:
            return advice
    if bottleneck == "reading":
        return (
            f"Raise engine.loaders (now {places['reading']}); put the corpus on a faster disk, or "
            "where it is a URL, choose a cache that holds it (SEPBENCH_CACHE_MB)."
        )
    if bottleneck == "scoring":
        cores = (logged.started if logged is not None else {}).get("cores") or json.loads(
            run["provenance"]
        )["cpus"]
        if cores and places["scoring"] < cores:
            workers = places["scoring"]
            return f"Raise engine.workers (now {workers}, this machine has {cores} cores)."
        return (
            f"All {places['scoring']} scoring processes are busy: more cores help, or fewer "
            "metrics (metrics=[…]; with --keep-audio the others can be added later)."
        )
    if bottleneck == "loading":
        return (
            "Give one command more to do (several datasets with -d, no --limit), since cells of "
            "one model share its loading; fewer engine.lanes load fewer copies."
        )
    if seconds["condition"] > seconds["separate"]:
        return (
            "Most of it is conditions: each different query is encoded once a run. A larger "
            "batch_size encodes more at once; a GPU encodes faster (--device cuda)."
        )
    if settings["engine"]["name"] == "ray":
        return (
            f"More places for models help most: raise engine.ray.actors (now {places['models']}) "
            "or add nodes, best with GPUs; engine.ray.gpus_per_actor=0.5 puts two actors on one, "
            "and batch_size=auto finds the batch that pays."
        )
    if settings["device"] in ("cpu", "auto") and (logged is None or not _on_gpu(logged)):
        return (
            "A GPU is what helps most (--device cuda); on the CPU try batch_size=auto, or "
            f"engine.lanes (now {places['models']}) with engine.threads to fit the cores."
        )
    return (
        "batch_size=auto finds the batch that pays, compile=on and precision=tf32 or bf16 may "
        "help (precision makes cells of its own), more GPUs do (--device cuda:0,1)."
    )


def _advice_for_ray(bottleneck: str, places: Mapping[str, int]) -> str:
    """Where another setting than on one machine helps; "" where it is the same."""
    if bottleneck == "reading":
        each = places["reading"] // places["models"]
        return (
            f"Raise engine.loaders (now {each} in each of {places['models']} actors) or "
            "engine.ray.actors; put the corpus where all nodes read it faster, or, where it is a "
            "URL, choose a cache that holds it (SEPBENCH_CACHE_MB)."
        )
    if bottleneck == "scoring":
        return (
            f"Raise engine.ray.scorers (now {places['scoring']}, each takes one CPU of the "
            "cluster), add nodes, or ask for fewer metrics (metrics=[…]; with --keep-audio the "
            "others can be added later)."
        )
    if bottleneck == "loading":
        return (
            "Give one command more to do (several datasets with -d, no --limit), since cells of "
            "one model share its loading; fewer engine.ray.actors load fewer copies."
        )
    return ""


def _on_gpu(logged: LoggedRun) -> bool:
    lanes = logged.snapshot.lanes if logged.snapshot is not None else ()
    return any(not lane.device.startswith(("cpu", "auto")) for lane in lanes)


def profile_text(found: GridProfile) -> str:
    """A table of cells and stages, and the sentence."""
    header = ("model", "protocol", "query", "items", *STAGES, "ms/item", "share", "longest")
    rows = [
        (
            cell.model,
            cell.protocol,
            cell.query or "–",
            f"{cell.items:,}",
            *(number(cell.seconds[stage]) for stage in STAGES),
            number(1000 * sum(cell.seconds.values()) / cell.items, 1),
            f"{cell.share:.0%}",
            cell.longest,
        )
        for cell in found.cells
    ]
    total = sum(found.seconds.values())
    shares = [f"{found.seconds[stage] / total:.0%}" if total else "–" for stage in STAGES]
    sums = [number(found.seconds[stage]) for stage in STAGES]
    rows.append(("all", "", "", f"{found.items:,}", *sums, "", "", ""))
    rows.append(("share", "", "", "", *shares, "", "", ""))
    places = [
        f"{name} {number(seconds, 1)} s × {found.places[name]}"
        for name, seconds in found.occupied.items()
    ]
    loading = found.loading_seconds
    if loading is not None:
        places.append(f"starting and loading {number(loading, 1)} s")
    lines = [
        f"{found.workspace}: seconds of {found.items:,} recorded items",
        "",
        aligned(header, rows, left=3),
        "",
        f"At once: {', '.join(places)}.",
        found.sentence,
    ]
    if found.gain is not None and found.gain >= 1.1:
        lines.append(f"Without it the grid could be up to {found.gain:.1f} times as fast.")
    return "\n".join(lines)
