"""Is one row of a table better than another? Paired by (scene, target), averaged over queries.

A model asked by text and one asked by examples meet here: each target is one pair, whatever was
asked and how often. Undefined because of the reference leaves both. A target for which one model
gave no usable estimate (undefined because of it, crashed, timed out) is that model's loss; where
both gave none it is a tie. Infinite values are never averaged: a pair of which one side is
infinite is won or lost, a pair of two equal ones is a tie.

Importing this module puts it where `sepbench.harness.compare`, the function of the Python API, was
found a moment ago. So the module can be called, and does what that function does.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from sepbench.harness.errors import UnknownNameError, UsageError
from sepbench.harness.item_scores import (
    Entry,
    ScoreReader,
    dataset_of,
    find_entry,
    find_metric,
    protocols_of,
    read_entries,
    stored_rule,
)
from sepbench.harness.paired import NOTHING, PairedTest, Pairing, holm, run_tests
from sepbench.harness.resampling import Recordings
from sepbench.harness.store import Workspace
from sepbench.harness.targets import Families, PairedTargets, PairItem, Targets

ALL = "all"  # every metric that the rows share
LARGEST = 10  # items shown either way
PREFERRED = "si_sdr"
# Differences nobody hears: two rounded figures of a table apart.
_TIE_BANDS = {"dB": 0.1}
_OTHER_TIE_BAND = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A against B under one protocol by one metric; positive differences speak for A.

    Attributes:
        test: what the pairs say.
        wilcoxon_holm, permutation_holm: p-values corrected for all comparisons made together.
        together: how many these were, of one metric.
        lost_a, lost_b: targets without a usable estimate of that model.
        undefined_reference: targets left out for both, the reference has no score.
        unmatched: targets that only one of the two has, or that lack a score of this version.
        better_for_a, better_for_b: the items with the largest differences, largest first; of a
            whole board's comparisons: none.
    """

    protocol: str
    dataset: str
    metric: str
    title: str
    unit: str
    higher_is_better: bool
    a: str
    b: str
    query_a: str
    query_b: str
    tie_band: float
    test: PairedTest
    cell_a: int = 0
    cell_b: int = 0
    wilcoxon_holm: float = 1.0
    permutation_holm: float = 1.0
    together: int = 1
    lost_a: int = 0
    lost_b: int = 0
    undefined_reference: int = 0
    unmatched: int = 0
    better_for_a: tuple[PairItem, ...] = ()
    better_for_b: tuple[PairItem, ...] = ()

    @property
    def num_pairs(self) -> int:
        """Targets compared."""
        return self.test.finite + self.test.decided

    def better(self, level: float = 0.05) -> str:
        """The row that the corrected permutation test calls better, or "" where it calls none."""
        return ("", self.a, self.b)[self._winner(level)]

    def better_cell(self, level: float = 0.05) -> int:
        """The same as a cell; 0 for none."""
        return (0, self.cell_a, self.cell_b)[self._winner(level)]

    def _winner(self, level: float) -> int:
        """1 for A, 2 for B, 0 for none."""
        if self.permutation_holm >= level:
            return 0
        return 1 if self.test.advantage > 0 else 2


def compare(
    workspace: Workspace,
    a: str,
    b: str,
    *,
    metric: str | None = None,
    protocol: str | None = None,
    tie_band: float | None = None,
) -> list[Comparison]:
    """Compare two rows wherever both are.

    Args:
        workspace: open.
        a: name of a row as in tables; "label@audio" where a label has several.
        b: the other's.
        metric: id, or the id of its improvement (the differences are the same), or "all" for
            every one that both have; default: si_sdr where the protocol has it, else its first.
        protocol: only this one; default: all that both have.
        tie_band: default 0.1 for dB, 0.01 for other units.

    Returns:
        A comparison for each protocol and metric, those of one metric corrected together.

    Raises:
        UnknownNameError, UsageError: no such row or metric, one row against itself, or nothing
            that both have.
    """
    names = [protocol] if protocol else protocols_of(workspace)
    tables = {name: read_entries(workspace, name) for name in names}
    chosen: dict[str, tuple[Entry, Entry]] = {}
    for name, entries in tables.items():
        known = {each for entry in entries for each in (entry.name, entry.label)}
        if a in known and b in known:
            chosen[name] = find_entry(entries, a, name), find_entry(entries, b, name)
    if not chosen:
        for name in (a, b):
            everything = [entry for entries in tables.values() for entry in entries]
            find_entry(everything, name, protocol or "any protocol")
        where = f"under {protocol}" if protocol else "under one protocol"
        raise UsageError(f"'{a}' and '{b}' are never both {where}; there is nothing to pair.")
    if metric and metric != ALL:
        having = {n: pair for n, pair in chosen.items() if shares_metric(workspace, pair, metric)}
        chosen = having or chosen
    found: list[Comparison] = []
    reader = ScoreReader(workspace)
    for name, (first, second) in chosen.items():
        if first.cell_id == second.cell_id:
            raise UsageError(f"'{a}' and '{b}' are one row of {name}; name two.")
        pairs = [(first, second)]
        found += _compare_pairs(reader, workspace, name, pairs, metric, tie_band, LARGEST)
    return _corrected(found)


def compare_board(
    workspace: Workspace,
    protocol: str,
    *,
    metric: str | None = None,
    bounds: bool = False,
    tie_band: float | None = None,
    reader: ScoreReader | None = None,
) -> list[Comparison]:
    """Every pair of a protocol's models, metric by metric, those of one metric corrected together.

    Args:
        workspace: open.
        protocol: name.
        metric: as in `compare`; default: every metric that two rows share.
        bounds: with the mixture and the oracles, which otherwise come in only where there are
            fewer than two models: each further row makes the correction harder on all.
        tie_band: as in `compare`.
        reader: of the workspace, when it has read the scores before.
    """
    entries = read_entries(workspace, protocol)
    models = [entry for entry in entries if entry.role == "model"]
    rows = entries if bounds or len(models) < 2 else models
    pairs = list(combinations(rows, 2))
    reader = reader or ScoreReader(workspace)
    return _corrected(
        _compare_pairs(reader, workspace, protocol, pairs, metric or ALL, tie_band, 0)
    )


def compare_entries(
    workspace: Workspace,
    protocol: str,
    pairs: Sequence[tuple[Entry, Entry]],
    *,
    metric: str | None = None,
    tie_band: float | None = None,
    reader: ScoreReader | None = None,
) -> list[Comparison]:
    """Given pairs of rows of one protocol, corrected together."""
    reader = reader or ScoreReader(workspace)
    return _corrected(_compare_pairs(reader, workspace, protocol, pairs, metric, tie_band, LARGEST))


def shares_metric(workspace: Workspace, entries: Iterable[Entry], metric: str) -> bool:
    """Whether some of the rows have a metric, or the metric of an improvement."""
    try:
        find_metric(workspace, list(entries), metric, "")
    except UnknownNameError:
        return False
    return True


def default_metric(entries: Iterable[Entry]) -> str:
    """si_sdr where every row has it, else the first that every row has; "" if there is none."""
    lists = [entry.metrics for entry in entries]
    shared = [each for each in (lists[0] if lists else ()) if all(each in more for more in lists)]
    return PREFERRED if PREFERRED in shared else next(iter(shared), "")


def _metrics(
    workspace: Workspace, entries: Sequence[Entry], metric: str | None, protocol: str
) -> list[tuple[str, dict[str, Any]]]:
    """The metrics to compare by, with their cards."""
    if metric == ALL:
        counts = Counter(name for entry in entries for name in dict.fromkeys(entry.metrics))
        names = [name for name, count in counts.items() if count > 1]
    else:
        names = [metric or default_metric(entries)]
    if not all(names):
        raise UsageError(f"The rows under {protocol} share no metric; name one with --metric.")
    found = [find_metric(workspace, entries, name, protocol) for name in names]
    return [(name, card) for name, _, card in found]


def _compare_pairs(
    reader: ScoreReader,
    workspace: Workspace,
    protocol: str,
    pairs: Sequence[tuple[Entry, Entry]],
    metric: str | None,
    tie_band: float | None,
    largest: int,
) -> list[Comparison]:
    """Each metric's comparisons, pair by pair; all share the draws of the board."""
    entries = list({e.cell_id: e for pair in pairs for e in pair}.values())
    if not entries:
        return []
    metrics = _metrics(workspace, entries, metric, protocol)
    rule = stored_rule(workspace, protocol)
    if not metrics:
        return []
    row_of = {entry.cell_id: row for row, entry in enumerate(entries)}
    targets = Targets([reader.read(e.cell_id, metrics[0][1], rule) for e in entries])
    recordings = Recordings(targets.clusters)
    codes = recordings.codes(targets.clusters)
    dataset = dataset_of(workspace, protocol)
    drafts: list[Comparison] = []
    pairings: list[Pairing] = []
    for name, card in metrics:
        has = [metric != ALL or name in entry.metrics for entry in entries]
        scores = targets.tabulate(
            [
                reader.read(entry.cell_id, card, rule) if there else None
                for entry, there in zip(entries, has, strict=True)
            ],
            bool(card["higher_is_better"]),
        )
        band = _TIE_BANDS.get(card["unit"], _OTHER_TIE_BAND) if tie_band is None else tie_band
        families = Families(name, scores, codes)
        for a, b in pairs:
            rows = row_of[a.cell_id], row_of[b.cell_id]
            if not (has[rows[0]] and has[rows[1]]):
                continue
            pair = PairedTargets(targets=targets, scores=scores, rows=rows)
            pairings.append(families.pairing(pair, band))
            draft = _draft(name, card, (a, b), pair, largest)
            drafts.append(replace(draft, protocol=protocol, dataset=dataset, tie_band=band))
    tests = run_tests(pairings, recordings)
    return [replace(draft, test=test) for draft, test in zip(drafts, tests, strict=True)]


def _draft(
    name: str,
    card: Mapping[str, Any],
    entries: tuple[Entry, Entry],
    pair: PairedTargets,
    largest: int,
) -> Comparison:
    """A comparison before its test."""
    a, b = entries
    for_a, for_b = pair.largest(largest, higher_is_better=card["higher_is_better"])
    return Comparison(
        protocol="",
        dataset="",
        metric=f"{name}@{card['version']}",
        title=card["title"],
        unit=card["unit"],
        higher_is_better=bool(card["higher_is_better"]),
        a=a.name,
        b=b.name,
        query_a=a.query,
        query_b=b.query,
        tie_band=0.0,
        test=NOTHING,
        cell_a=a.cell_id,
        cell_b=b.cell_id,
        lost_a=pair.lost(0),
        lost_b=pair.lost(1),
        undefined_reference=pair.num_undefined,
        unmatched=pair.num_unmatched,
        better_for_a=for_a,
        better_for_b=for_b,
    )


def _corrected(found: list[Comparison]) -> list[Comparison]:
    """Holm over the comparisons of each metric that have pairs."""
    corrected = list(found)
    for metric in dict.fromkeys(each.metric for each in found):
        tested = [
            place for place, each in enumerate(found) if each.metric == metric and each.num_pairs
        ]
        wilcoxon = holm([found[place].test.wilcoxon for place in tested])
        permutation = holm([found[place].test.permutation for place in tested])
        for place, signed, flipped in zip(tested, wilcoxon, permutation, strict=True):
            corrected[place] = replace(
                found[place],
                wilcoxon_holm=signed,
                permutation_holm=flipped,
                together=len(tested),
            )
    return corrected


class _CallableModule(ModuleType):
    def __call__(
        self,
        workspace: str | Path,
        a: str,
        b: str,
        *,
        metric: str | None = None,
        protocol: str | None = None,
    ) -> list[Comparison]:
        """As `sepbench.harness.run.python_api.compare`."""
        with Workspace(Path(workspace)) as opened:
            return compare(opened, a, b, metric=metric, protocol=protocol)


sys.modules[__name__].__class__ = _CallableModule
