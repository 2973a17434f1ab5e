"""How much a model's score changes with the way it is asked.

Within a row: the spread between the captions of one target. Between rows of one label: asked by
text against asked by label, by one example against several, paired by target.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sepbench.harness.compare import Comparison, compare_entries, default_metric
from sepbench.harness.errors import UsageError
from sepbench.harness.item_scores import (
    ScoreReader,
    dataset_of,
    find_metric,
    read_entries,
    stored_rule,
)
from sepbench.harness.store import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionSpread:
    """How far the captions of one target move a row's score.

    Attributes:
        targets: those with two or more finite scores.
        captions: mean number of captions of these.
        deviation: mean over targets of the standard deviation between captions.
        worst, mean, best: mean over targets of the worst, mean and best caption's score.
    """

    name: str
    targets: int
    captions: float
    deviation: float | None
    worst: float | None
    mean: float | None
    best: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuerySensitivity:
    """How much the rows of a protocol depend on their queries.

    Attributes:
        spreads: rows with several captions a target.
        between: pairs of rows of one label that were asked in different ways.
    """

    protocol: str
    dataset: str
    metric: str
    title: str
    unit: str
    spreads: tuple[CaptionSpread, ...]
    between: tuple[Comparison, ...]


def query_sensitivity(
    workspace: Workspace, protocol: str, *, metric: str | None = None
) -> QuerySensitivity:
    """Spread between captions, and differences between kinds of query.

    Args:
        workspace: open.
        protocol: name.
        metric: id; default: si_sdr where every row has it, else the first that every row has.

    Raises:
        UnknownNameError: no such metric.
        UsageError: the rows share none.
    """
    entries = read_entries(workspace, protocol)
    wanted = metric or default_metric(entries)
    if not wanted:
        raise UsageError(f"The rows under {protocol} share no metric.")
    name, _, card = find_metric(workspace, entries, wanted, protocol)
    rule = stored_rule(workspace, protocol)
    sign = 1.0 if card["higher_is_better"] else -1.0
    spreads = []
    reader = ScoreReader(workspace)
    for entry in entries:
        scores = reader.read(entry.cell_id, card, rule)
        several: dict[tuple[str, str], list[float]] = {}
        for key, value in zip(scores.keys, scores.values.tolist(), strict=True):
            if np.isfinite(value):
                several.setdefault(key, []).append(sign * value)
        groups = [np.array(values) for values in several.values() if len(values) > 1]
        if groups:
            spreads.append(
                CaptionSpread(
                    name=entry.name,
                    targets=len(groups),
                    captions=float(np.mean([len(each) for each in groups])),
                    deviation=float(np.mean([np.std(each, ddof=1) for each in groups])),
                    worst=sign * float(np.mean([each.min() for each in groups])),
                    mean=sign * float(np.mean([each.mean() for each in groups])),
                    best=sign * float(np.mean([each.max() for each in groups])),
                )
            )
    pairs = [(a, b) for a, b in combinations(entries, 2) if a.label == b.label]
    return QuerySensitivity(
        protocol=protocol,
        dataset=dataset_of(workspace, protocol),
        metric=f"{name}@{card['version']}",
        title=card["title"],
        unit=card["unit"],
        spreads=tuple(spreads),
        between=tuple(compare_entries(workspace, protocol, pairs, metric=name, reader=reader)),
    )
