from __future__ import annotations

import numpy as np
import pytest

from sepbench.harness.errors import SettingError
from sepbench.harness.training.mixing import at_level, mix, mix_energies


def noise(seed: int, power: float) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(4000)
    return (samples * np.sqrt(power / np.mean(samples**2))).astype(np.float32)


def power_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))


def test_a_signal_is_brought_to_a_level_of_energies() -> None:
    target, other = noise(1, 0.01), noise(2, 1e-4)

    leveled = at_level(other, target, -7.0)

    assert power_db(leveled) == pytest.approx(power_db(target) - 7.0, abs=1e-4)


def test_the_ratio_of_two_levels_is_held_within_its_limits() -> None:
    target, quiet = noise(1, 0.25), noise(2, 1e-10)

    leveled = at_level(quiet, target, 0.0)

    assert power_db(leveled) == pytest.approx(power_db(quiet) + 20 * np.log10(50), abs=1e-3)


def test_with_one_other_the_level_of_the_sum_alone_counts() -> None:
    target, other = noise(1, 0.001), noise(2, 0.003)

    part, mixture = mix_energies(target, [other], [9.0, -4.0])

    np.testing.assert_array_equal(part, target)
    assert power_db(mixture - part) == pytest.approx(power_db(target) - 4.0, abs=1e-3)


def test_a_mixture_beyond_full_scale_is_declipped_together_with_its_target() -> None:
    target, other = noise(1, 0.5), noise(2, 0.5)

    part, mixture = mix_energies(target, [other], [0.0, 10.0])

    assert np.abs(mixture).max() == pytest.approx(0.9, abs=1e-6)
    assert power_db(mixture - part) - power_db(part) == pytest.approx(10.0, abs=1e-3)


def test_a_silent_other_leaves_the_target() -> None:
    target = noise(1, 0.01)

    part, mixture = mix("energy", target, [np.zeros_like(target)], [0.0, 0.0])

    np.testing.assert_array_equal(part, target)
    np.testing.assert_array_equal(mixture, target)


def test_lassnets_rule_brings_the_loudest_of_the_three_to_a_peak_of_one() -> None:
    target, other = noise(1, 0.01), noise(2, 0.2)

    part, mixture = mix("peak", target, [other], [0.0, 0.0])

    other_part = mixture - part
    assert np.abs(mixture).max() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(part).max() == pytest.approx(np.abs(other_part).max(), abs=1e-5)


def test_stseds_rule_matches_energies_and_leaves_the_target() -> None:
    target, other = noise(1, 0.01), noise(2, 0.2)

    part, mixture = mix("match", target, [other], [0.0, 0.0])

    np.testing.assert_array_equal(part, target)
    assert power_db(mixture - part) == pytest.approx(power_db(target), abs=1e-3)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(SettingError, match=r"mixing\.rule=sum is not known"):
        mix("sum", noise(1, 0.1), [noise(2, 0.1)], [0.0, 0.0])
