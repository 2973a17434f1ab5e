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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.errors import UnknownNameError, UsageError
from sepbench.harness.item_scores import (
    Entry,
    dataset_of,
    find_entry,
    find_metric,
    protocols_of,
    read_entries,
    read_items,
    stored_rule,
)
from sepbench.harness.paired import PairedTest, holm, paired_tests
from sepbench.harness.store import Workspace
from sepbench.harness.targets import Targets, by_target, gains_over, shared_targets

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LARGEST = 10  # items shown either way
PREFERRED = "si_sdr"
# Differences nobody hears: two rounded figures of a table apart.
_TIE_BANDS = {"dB": 0.1}
_OTHER_TIE_BAND = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class PairItem:
    """One target as both models have it.

    Attributes:
        a, b: values; None where the model gave no usable estimate.
        gain: how much better A is, in the metric's unit; ±inf where the pair has no size.
    """

    scene: str
    target: str
    a: float | None
    b: float | None
    gain: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A against B under one protocol by one metric; positive differences speak for A.

    Attributes:
        test: what the pairs say.
        wilcoxon_holm, permutation_holm: p-values corrected for all comparisons made together.
        together: how many these were.
        lost_a, lost_b: targets without a usable estimate of that model.
        undefined_reference: targets left out for both, the reference has no score.
        unmatched: targets that only one of the two has, or that lack a score of this version.
        better_for_a, better_for_b: the items with the largest differences, largest first.
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
    wilcoxon_holm: float = 1.0
    permutation_holm: float = 1.0
    together: int = 1
    lost_a: int = 0
    lost_b: int = 0
    undefined_reference: int = 0
    unmatched: int = 0
    better_for_a: tuple[PairItem, ...] = ()
    better_for_b: tuple[PairItem, ...] = ()

    def better(self, level: float = 0.05) -> str:
        """The row that the corrected permutation test calls better, or "" where it calls none."""
        if self.permutation_holm >= level:
            return ""
        return self.a if self.test.advantage > 0 else self.b


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
        metric: id, or the id of its improvement (the differences are the same); default: si_sdr
            where the protocol has it, else the protocol's first.
        protocol: only this one; default: all that both have.
        tie_band: default 0.1 for dB, 0.01 for other units.

    Returns:
        A comparison for each protocol, corrected together.

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
    if metric and any(shares_metric(workspace, pair, metric) for pair in chosen.values()):
        chosen = {
            name: pair for name, pair in chosen.items() if shares_metric(workspace, pair, metric)
        }
    found: list[Comparison] = []
    for name, (first, second) in chosen.items():
        if first.cell_id == second.cell_id:
            raise UsageError(f"'{a}' and '{b}' are one row of {name}; name two.")
        pairs = [(first, second)]
        found += _compare_pairs(workspace, name, pairs, metric, tie_band)
    return _corrected(found)


def compare_board(
    workspace: Workspace,
    protocol: str,
    *,
    metric: str | None = None,
    bounds: bool = False,
    tie_band: float | None = None,
) -> list[Comparison]:
    """Every pair of a protocol's models, corrected together.

    Args:
        workspace: open.
        protocol: name.
        metric: as in `compare`.
        bounds: with the mixture and the oracles, which otherwise come in only where there are
            fewer than two models: each further row makes the correction harder on all.
        tie_band: as in `compare`.
    """
    entries = read_entries(workspace, protocol)
    models = [entry for entry in entries if entry.role == "model"]
    rows = entries if bounds or len(models) < 2 else models
    pairs = list(combinations(rows, 2))
    return compare_entries(workspace, protocol, pairs, metric=metric, tie_band=tie_band)


def compare_entries(
    workspace: Workspace,
    protocol: str,
    pairs: Sequence[tuple[Entry, Entry]],
    *,
    metric: str | None = None,
    tie_band: float | None = None,
) -> list[Comparison]:
    """Given pairs of rows of one protocol, corrected together."""
    return _corrected(_compare_pairs(workspace, protocol, pairs, metric, tie_band))


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


def _compare_pairs(
    workspace: Workspace,
    protocol: str,
    pairs: Sequence[tuple[Entry, Entry]],
    metric: str | None,
    tie_band: float | None,
) -> list[Comparison]:
    entries = list({e.cell_id: e for pair in pairs for e in pair}.values())
    if not entries:
        return []
    wanted = metric or default_metric(entries)
    if not wanted:
        raise UsageError(f"The rows under {protocol} share no metric; name one with --metric.")
    name, _, card = find_metric(workspace, entries, wanted, protocol)
    band = _TIE_BANDS.get(card["unit"], _OTHER_TIE_BAND) if tie_band is None else tie_band
    rule = stored_rule(workspace, protocol)
    higher = bool(card["higher_is_better"])
    by_cell = {
        entry.cell_id: by_target(read_items(workspace, entry.cell_id, card, rule), higher)
        for entry in entries
    }
    keys = [shared_targets(by_cell[a.cell_id], by_cell[b.cell_id]) for a, b in pairs]
    gains, clusters = [], []
    for (a, b), both in zip(pairs, keys, strict=True):
        mine, other = by_cell[a.cell_id], by_cell[b.cell_id]
        gains.append(gains_over(mine, other, both))
        clusters.append([mine.clusters[key] for key in both])
    tests = paired_tests(gains, clusters, tie_band=band)
    dataset = dataset_of(workspace, protocol)
    found = []
    for (a, b), both, gain, test in zip(pairs, keys, gains, tests, strict=True):
        mine, other = by_cell[a.cell_id], by_cell[b.cell_id]
        undefined = mine.undefined | other.undefined
        every = mine.clusters.keys() | other.clusters.keys()
        order = np.argsort(gain, kind="stable")
        for_a = [k for k in order[::-1][:LARGEST] if gain[k] > 0]
        for_b = [k for k in order[:LARGEST] if gain[k] < 0]
        found.append(
            Comparison(
                protocol=protocol,
                dataset=dataset,
                metric=f"{name}@{card['version']}",
                title=card["title"],
                unit=card["unit"],
                higher_is_better=higher,
                a=a.name,
                b=b.name,
                query_a=a.query,
                query_b=b.query,
                tie_band=band,
                test=test,
                lost_a=len(mine.lost.intersection(both)),
                lost_b=len(other.lost.intersection(both)),
                undefined_reference=len(undefined),
                unmatched=len(every - undefined) - len(both),
                better_for_a=_items(mine, other, both, gain, for_a, higher),
                better_for_b=_items(mine, other, both, gain, for_b, higher),
            )
        )
    return found


def _items(
    a: Targets,
    b: Targets,
    keys: Sequence[tuple[str, str]],
    gains: Floats,
    which: Sequence[int],
    higher: bool,
) -> tuple[PairItem, ...]:
    sign = 1.0 if higher else -1.0
    found = []
    for index in which:
        key = keys[index]
        shown = [None if key in side.lost else sign * side.values[key] for side in (a, b)]
        scene, target = key
        gain = float(gains[index])
        found.append(PairItem(scene=scene, target=target, a=shown[0], b=shown[1], gain=gain))
    return tuple(found)


def _corrected(found: list[Comparison]) -> list[Comparison]:
    """Holm over the comparisons that have pairs."""
    tested = [each for each in found if each.test.wins + each.test.ties + each.test.losses]
    wilcoxon = iter(holm([each.test.wilcoxon for each in tested]))
    permutation = iter(holm([each.test.permutation for each in tested]))
    return [
        replace(
            each,
            wilcoxon_holm=next(wilcoxon),
            permutation_holm=next(permutation),
            together=len(tested),
        )
        if any(each is one for one in tested)
        else each
        for each in found
    ]


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
