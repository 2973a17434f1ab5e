"""Draws that every interval and test of a board share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from sepbench.harness import resampling
from sepbench.harness.api import Aggregation
from sepbench.harness.averages import Sample, bootstrap_interval, bootstrap_intervals
from sepbench.harness.paired import Pairing, Side, paired_test, run_tests
from sepbench.harness.resampling import (
    Recordings,
    all_flipped_totals,
    bootstrap_totals,
    bootstrap_weights,
    flipped_totals,
)


def names(count: int) -> list[str]:
    return [f"recording-{k:05d}" for k in range(count)]


def test_recordings_are_numbered_by_name_and_their_values_added() -> None:
    recordings = Recordings(["b", "a", "b", "c"])
    codes = recordings.codes(["b", "c", "b"])

    assert codes.tolist() == [1, 2, 1]
    assert recordings.totals(np.array([1.0, 2.0, 4.0]), codes).tolist() == [0.0, 5.0, 2.0]


def test_a_draw_takes_as_many_recordings_as_there_are() -> None:
    weights = bootstrap_weights(50, 2000)

    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean() == 1.0
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.02)  # multinomial


def test_fewer_draws_are_the_first_of_more() -> None:
    sums = np.arange(12.0).reshape(6, 2)

    few, many = bootstrap_totals(sums, 100), bootstrap_totals(sums, 1000)

    assert np.array_equal(few, many[:100])


def test_signs_are_as_often_plus_as_minus() -> None:
    flipped = flipped_totals(np.eye(20))

    assert set(np.unique(flipped)) == {-1.0, 1.0}
    assert np.abs(flipped.mean(axis=0)).max() < 0.05


def test_all_patterns_of_signs_are_all_of_them() -> None:
    found = all_flipped_totals(np.array([[1.0], [2.0], [4.0]]))[:, 0]

    assert sorted(found) == [-7, -5, -3, -1, 1, 3, 5, 7]


def test_very_many_recordings_are_drawn_in_groups_of_one_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "MOST_UNITS", 100)
    recordings = Recordings(names(1000))
    codes = recordings.codes(names(1000))

    sizes = recordings.totals(np.ones(1000), codes)

    assert (recordings.count, recordings.num_units) == (1000, 100)
    assert (sizes == 10).all()
    assert recordings.units(codes[:10]).tolist() != [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]  # shuffled


def test_groups_of_recordings_leave_interval_and_p_where_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).normal(0.05, 1.0, 2000)
    low, high = bootstrap_interval(values, names(2000)) or (0.0, 0.0)
    alone = paired_test(values, names(2000), tie_band=0.1)

    monkeypatch.setattr(resampling, "MOST_UNITS", 400)
    grouped = bootstrap_interval(values, names(2000)) or (0.0, 0.0)
    together = paired_test(values, names(2000), tie_band=0.1)

    assert grouped == pytest.approx((low, high), abs=0.12 * (high - low))
    assert together.permutation == pytest.approx(alone.permutation, abs=0.02)
    assert together.wilcoxon == alone.wilcoxon
    assert together.clusters == 2000


@pytest.mark.parametrize(("items", "truth"), [("mean", 1.0), ("median", math.log(2))])
def test_intervals_over_groups_of_recordings_hold_the_truth_as_often_as_they_say(
    items: str, truth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "MOST_UNITS", 100)
    rng = np.random.default_rng(6)
    recordings = Recordings(names(400))
    codes = recordings.codes(names(400))
    samples = [Sample(values=rng.exponential(size=400), clusters=codes) for _ in range(240)]

    found = bootstrap_intervals(samples, recordings, Aggregation(items=items))  # type: ignore[arg-type]

    inside = [each is not None and each[0] <= truth <= each[1] for each in found]
    assert 0.908 <= np.mean(inside) <= 0.992  # 0.95 with three standard errors


def test_intervals_from_shared_draws_are_those_made_alone() -> None:
    rng = np.random.default_rng(2)
    recordings = Recordings(names(40))
    codes = recordings.codes(names(40))
    values = [rng.normal(size=40) for _ in range(3)]

    found = bootstrap_intervals([Sample(values=v, clusters=codes) for v in values], recordings)

    alone = [bootstrap_interval(v, names(40)) for v in values]
    assert np.array(found) == pytest.approx(np.array(alone))


@pytest.mark.parametrize("size", [7, 200, 3000])
@pytest.mark.parametrize("per_cluster", [1, 4])
def test_medians_of_draws_are_the_medians_of_what_was_drawn(size: int, per_cluster: int) -> None:
    rng = np.random.default_rng(size)
    clusters = [name for name in names(size) for _ in range(per_cluster)]
    values = rng.exponential(size=size * per_cluster)
    weights = bootstrap_weights(size, 2000)

    low, high = bootstrap_interval(values, clusters, rule=Aggregation(items="median")) or (0, 0)

    drawn = [np.median(np.repeat(values, np.repeat(w, per_cluster))) for w in weights]
    assert (low, high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=1e-12)


def board(values: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]]) -> list[Pairing]:
    codes = Recordings(names(60)).codes(names(60))
    sides = [Side(name=row, values=of) for row, of in enumerate(values)]
    return [Pairing(pairs=(sides[a], sides[b]), clusters=codes, tie_band=0.1) for a, b in pairs]


def test_totals_of_two_sides_give_what_their_differences_give() -> None:
    rng = np.random.default_rng(3)
    values = [rng.normal(mean, 1.0, 60) for mean in (0.0, 0.2, 3.0)]
    pairs = [(0, 1), (0, 2), (1, 2)]

    by_sides = run_tests(board(values, pairs), Recordings(names(60)))

    for (a, b), found in zip(pairs, by_sides, strict=True):
        alone = paired_test(values[a] - values[b], names(60), tie_band=0.1)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
        assert found.permutation == pytest.approx(alone.permutation, rel=1e-6)
        assert found.wilcoxon == alone.wilcoxon


def test_equal_sides_are_no_evidence() -> None:
    same = np.random.default_rng(4).normal(size=60)

    (found,) = run_tests(board([same, same.copy()], [(0, 1)]), Recordings(names(60)))

    assert (found.mean, found.permutation, found.wilcoxon) == (0.0, 1.0, 1.0)
    assert (found.low, found.high) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_a_p_that_draws_cannot_show_is_bounded_by_hoeffding() -> None:
    found = paired_test(np.full(40, 2.0), names(40), tie_band=0.1)

    # Σ = 80, Σ squares = 160: 2 exp(−80² / 320); the p of all patterns is 2 / 2^40.
    assert found.permutation == pytest.approx(2 * math.exp(-20.0))
    assert found.permutation > 2 / 2**40


def test_boards_of_fifty_models_can_find_a_winner() -> None:
    found = paired_test(2.0 + np.random.default_rng(5).normal(size=100), names(100), tie_band=0.1)

    assert 1225 * found.permutation < 0.05  # Holm's first step over 50 × 49 / 2 comparisons
