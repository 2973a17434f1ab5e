"""Results of a probe as plain data, as aligned text, and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sepbench.harness.errors import BenchError
from sepbench.harness.probing.evaluate import Measured
from sepbench.harness.probing.published import Beside

RETRIEVAL = "Retrieval mAP"
LINEAR = "Linear probe"
EVENTS = "Event mAP"
CSV_COLUMNS = (
    *("corpus", "encoder", "status", "dimension", "probe", "percent", "low", "high", "std"),
    *("clips", "refused", "unreadable", "reason", "source", "note"),
)


def few_shot_name(shots: int) -> str:
    """The column of a number of shots."""
    return f"{shots}-shot"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRow:
    """One encoder.

    Attributes:
        dimension: D of its embeddings.
        values: probe -> what was measured (fractions of 1), or why nothing was.
        refused: clip -> why the encoder takes no embedding of it; counted as wrong.
        unreadable: clip -> why its file cannot be used; in no value.
        error: why the encoder has no values at all, or "".
    """

    encoder: str
    dimension: int
    values: Mapping[str, Measured | str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeTable:
    """All encoders on one corpus.

    Attributes:
        facts: size of the corpus, in words.
        probes: columns, in order.
        published: figures of others by our kind of probe.
        notes: lines of text below the table.
    """

    corpus: str
    facts: str
    probes: tuple[str, ...]
    rows: tuple[ProbeRow, ...]
    published: Beside | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every encoder has values and every file could be read."""
        return not any(row.error or row.unreadable for row in self.rows)


def render(table: ProbeTable) -> str:
    """Aligned text, ending with a line break."""
    lines = [["Encoder", "D", *table.probes, "Refused"]]
    for row in table.rows:
        cells = [_shown(row.values.get(probe)) for probe in table.probes]
        lines.append([row.encoder, str(row.dimension), *cells, str(len(row.refused))])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [f"{table.corpus} · {table.facts} (%, with 95 % intervals over recordings)", ""]
    text += [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    parts = [text, [*_reasons(table), *table.notes], _published(table.published)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _published(beside: Beside | None) -> list[str]:
    """The figures of others, apart from ours, and where each was read."""
    if beside is None or not beside.rows:
        return []
    how = (
        f"Published linear probes on {beside.task} (crops and classifiers differ from ours):"
        if beside.comparable
        else f"Published linear probes on all of {beside.task}: another task than this table's, "
        "for orientation only:"
    )
    names = [" ".join(filter(None, (row.encoder, row.variant))) for row in beside.rows]
    width = max(len(name) for name in names)
    lines = [
        f"  {name:{width}}  {row.value:.1f}" + ("" if row.std is None else f" ± {row.std:.1f}")
        for name, row in zip(names, beside.rows, strict=True)
    ]
    return [how, *lines, *(f"Source: {s}." for s in dict.fromkeys(r.source for r in beside.rows))]


def write_csv(path: Path, table: ProbeTable) -> None:
    """One row an encoder and probe, then the published figures.

    Raises:
        BenchError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, CSV_COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(_records(table))
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error


def _records(table: ProbeTable) -> Sequence[Mapping[str, object]]:
    records: list[dict[str, object]] = []
    for row in table.rows:
        facts = {
            "corpus": table.corpus,
            "encoder": row.encoder,
            "status": "failed" if row.error else "measured",
            "dimension": row.dimension,
            "refused": len(row.refused),
            "unreadable": len(row.unreadable),
        }
        for probe in table.probes:
            value = row.values.get(probe, row.error)
            if isinstance(value, str):
                records.append({**facts, "probe": probe, "reason": value})
                continue
            low, high = value.interval or ("", "")
            records.append(
                {
                    **facts,
                    "probe": probe,
                    "percent": 100 * value.value,
                    "low": "" if low == "" else 100 * low,
                    "high": "" if high == "" else 100 * high,
                    "clips": value.num_clips,
                }
            )
    if table.published is not None:
        status = "published" if table.published.comparable else "published elsewhere"
        records += [
            {
                "corpus": table.published.task,
                "encoder": " ".join(filter(None, (figure.encoder, figure.variant))),
                "status": status,
                "probe": LINEAR,
                "percent": figure.value,
                "std": "" if figure.std is None else figure.std,
                "source": figure.source,
                "note": figure.note,
            }
            for figure in table.published.rows
        ]
    return records


def _shown(value: Measured | str | None) -> str:
    if not isinstance(value, Measured):
        return "–"
    interval = value.interval
    shown = "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return f"{100 * value.value:.1f}{shown}"


def _reasons(table: ProbeTable) -> list[str]:
    """Why there is no number, each reason once."""
    found: dict[str, list[str]] = {}
    for row in table.rows:
        for probe, value in row.values.items():
            if isinstance(value, str):
                found.setdefault(f"{probe}: {value}", []).append(row.encoder)
    lines = [f"– {', '.join(names)}, {reason}" for reason, names in found.items()]
    for row in table.rows:
        if row.refused:
            clip, reason = next(iter(row.refused.items()))
            lines.append(
                f"{row.encoder} refused {len(row.refused)} clips, which count as wrong; "
                f"for example {clip}: {reason}"
            )
    return lines
