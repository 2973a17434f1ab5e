from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from sepbench.harness.paired import (
    PairedTest,
    Pairing,
    Side,
    holm,
    paired_test,
    paired_tests,
    run_tests,
    signed_ranks,
)
from sepbench.harness.resampling import Recordings

Floats = npt.NDArray[np.float64]
INF = math.inf


def names(count: int) -> list[str]:
    return [f"recording-{k:04d}" for k in range(count)]


def single(differences: Floats | list[float], tie_band: float = 0.1) -> PairedTest:
    """Each item a recording of its own."""
    values = np.asarray(differences, dtype=float)
    return paired_test(values, names(len(values)), tie_band=tie_band)


# --- closed form ----------------------------------------------------------------------------


def test_means_medians_and_counts_are_those_of_the_differences() -> None:
    found = single([1.0, 2.0, -0.05, -3.0, 0.1])

    assert found.mean == pytest.approx(0.01)
    assert found.median == 0.1
    assert (found.wins, found.ties, found.losses) == (2, 2, 1)
    assert (found.finite, found.decided, found.clusters) == (5, 0, 5)


def test_effect_sizes_in_closed_form() -> None:
    found = single([1.0, 2.0, -3.0, 4.0])  # ranks 1, 2, −3, 4

    assert found.rank_biserial == pytest.approx((7 - 3) / 10)
    assert found.cohens_dz == pytest.approx(1.0 / np.std([1, 2, -3, 4], ddof=1))


def test_five_wins_of_five_have_the_smallest_exact_p() -> None:
    found = single([1.0, 2.0, 3.0, 4.0, 5.0])

    assert found.exact
    assert found.permutation == found.wilcoxon == 2 / 2**5
    assert found.rank_biserial == 1.0


def test_items_of_one_recording_flip_together() -> None:
    differences = np.array([1.0, 1.0, 1.0, 1.0, 2.0])

    found = paired_test(differences, ["a", "a", "a", "a", "b"], tie_band=0.1)

    # Sums 4 and 2: both signs agree in 2 of 4 patterns.
    assert found.clusters == 2
    assert found.permutation == found.wilcoxon == 0.5


def test_no_difference_is_no_evidence() -> None:
    found = single([0.0] * 30)

    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.rank_biserial is None
    assert found.cohens_dz is None
    assert (found.wilcoxon, found.permutation) == (1.0, 1.0)


def test_nothing_to_compare_has_no_numbers() -> None:
    found = single([])

    assert (found.mean, found.median, found.low, found.rank_biserial) == (None,) * 4
    assert (found.wilcoxon, found.permutation) == (1.0, 1.0)


def test_one_recording_has_no_interval() -> None:
    found = paired_test(np.array([1.0, 2.0]), ["a", "a"], tie_band=0.1)

    assert (found.low, found.high) == (None, None)
    assert found.permutation == 1.0


def test_decided_pairs_are_wins_and_losses_without_a_size() -> None:
    found = single([1.0, 2.0, INF, -INF, -INF])

    assert (found.mean, found.finite, found.decided) == (1.5, 2, 3)
    assert (found.wins, found.losses) == (3, 2)
    assert found.advantage == pytest.approx((1 + 2 + 2 - 2 - 2) / 5)
    assert found.rank_biserial == pytest.approx((1 + 2 + 4 - 4 - 4) / 15)


def test_a_model_that_fails_often_is_not_called_better_for_what_is_left() -> None:
    found = single([0.5] * 10 + [-INF] * 30)

    assert found.mean == 0.5
    assert found.advantage < 0
    assert found.permutation < 0.01


def test_only_decided_pairs_can_be_tested_too() -> None:
    found = single([INF] * 6)

    assert found.mean is None
    assert found.permutation == 2 / 2**6


def test_ranks_of_equal_sizes_are_shared() -> None:
    ranks = signed_ranks(np.array([0.0, -1.0, 1.0, 3.0, INF]))

    assert ranks.tolist() == [0.0, -1.5, 1.5, 3.0, 4.0]


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


# --- against SciPy --------------------------------------------------------------------------


def test_the_exact_tests_are_scipys() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1.0, 11)

    found = single(differences)

    signed = stats.wilcoxon(differences, method="exact").pvalue
    flipped = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert found.wilcoxon == pytest.approx(signed, abs=1e-12)
    assert found.permutation == pytest.approx(flipped, abs=1e-12)


def test_many_recordings_use_the_normal_approximation_with_ties() -> None:
    differences = np.round(np.random.default_rng(4).normal(0.2, 1.0, 120), 1)

    found = single(differences)

    nonzero = differences[differences != 0]
    scipys = stats.wilcoxon(nonzero, method="approx", correction=False).pvalue
    assert not found.exact
    assert found.wilcoxon == pytest.approx(scipys, abs=1e-12)


def test_drawn_sign_flips_agree_with_the_t_test_on_normal_data() -> None:
    differences = np.random.default_rng(5).normal(0.15, 1.0, 150)

    found = single(differences)

    assert found.permutation == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.015)


def test_the_interval_agrees_with_scipys_bootstrap() -> None:
    differences = np.random.default_rng(6).exponential(1.0, 80) - 0.5

    found = single(differences)

    scipys = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high), abs=0.02)


# --- by simulation --------------------------------------------------------------------------

TRIALS = 300
SIZES = np.random.default_rng(7).integers(1, 6, 40)  # items of 40 recordings
GROUPED = [name for name, size in zip(names(40), SIZES, strict=True) for _ in range(size)]


def simulated(seed: int, mean: float) -> list[PairedTest]:
    """Many experiments: items of a recording share most of their difference."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(5, (TRIALS, 40))
    own = 0.5 * rng.standard_normal((TRIALS, len(GROUPED)))
    differences = mean + np.repeat(shared, SIZES, axis=1) + own
    return paired_tests(list(differences), [GROUPED] * TRIALS, tie_band=0.1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    found = simulated(8, mean=0.7)

    inside = [each.low <= 0.7 <= each.high for each in found]  # type: ignore[operator]
    # 95 % less the known shortfall of percentile intervals at 40 clusters; s.e. 1.4 %.
    assert 0.90 <= np.mean(inside) <= 0.98


def test_false_positives_are_as_rare_as_the_level_says() -> None:
    found = simulated(9, mean=0.0)

    flipped = np.mean([each.permutation < 0.05 for each in found])
    signed = np.mean([each.wilcoxon < 0.05 for each in found])
    assert 0.015 <= flipped <= 0.085  # 0.05 with three standard errors
    assert 0.015 <= signed <= 0.085


def test_a_test_that_forgot_the_recordings_would_cry_wolf() -> None:
    rng = np.random.default_rng(10)
    shared = np.repeat(rng.standard_normal((TRIALS, 15)), 8, axis=1)
    clusters = [name for name in names(15) for _ in range(8)]

    alone = paired_tests(list(shared), [names(120)] * TRIALS, tie_band=0.1)
    together = paired_tests(list(shared), [clusters] * TRIALS, tie_band=0.1)

    assert np.mean([each.permutation < 0.05 for each in alone]) > 0.3
    assert np.mean([each.permutation < 0.05 for each in together]) < 0.1


def test_a_board_of_equal_models_rarely_has_a_winner_anywhere() -> None:
    rng = np.random.default_rng(15)
    recordings = Recordings(names(40))
    codes = recordings.codes(names(40))
    boards, raw, corrected = 150, 0, 0

    for _ in range(boards):
        ease = rng.normal(0.0, 4.0, 40)
        sides = [Side(name=row, values=ease + rng.standard_t(3, 40)) for row in range(5)]
        pairs = [Pairing(pairs=two, clusters=codes, tie_band=0.1) for two in combinations(sides, 2)]
        p_values = [each.permutation for each in run_tests(pairs, recordings)]
        raw += min(p_values) < 0.05
        corrected += min(holm(p_values)) < 0.05

    assert raw / boards > 0.15  # what ten looks cost
    assert corrected / boards <= 0.105  # 0.05 with three standard errors


def test_real_differences_are_found() -> None:
    found = simulated(11, mean=1.0)

    assert np.mean([each.permutation < 0.05 for each in found]) > 0.9


# --- same data, same numbers ----------------------------------------------------------------


def test_the_same_data_give_the_same_numbers_alone_and_on_a_board() -> None:
    rng = np.random.default_rng(12)
    first, second = rng.normal(0.1, 1, 60), rng.normal(0.0, 1, 60)

    alone = single(first)
    board = paired_tests([second, first], [names(60), names(60)], tie_band=0.1)

    assert single(first) == alone
    assert board[1].low == pytest.approx(alone.low, abs=1e-12)
    assert board[1].permutation == alone.permutation


def test_comparisons_over_other_recordings_are_kept_apart() -> None:
    rng = np.random.default_rng(13)
    values = [rng.normal(size=30), rng.normal(size=20), rng.normal(size=30)]
    clusters = [names(30), names(20), names(30)]

    found = paired_tests(values, clusters, tie_band=0.1)

    assert [each.clusters for each in found] == [30, 20, 30]
    assert [each.mean for each in found] == pytest.approx([np.mean(each) for each in values])


def test_swapping_the_models_turns_every_sign() -> None:
    differences = np.random.default_rng(14).normal(0.3, 1.0, 40)

    forth, back = single(differences), single(-differences)

    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))  # type: ignore[operator]
    assert back.permutation == forth.permutation
    assert (back.wins, back.losses) == (forth.losses, forth.wins)
