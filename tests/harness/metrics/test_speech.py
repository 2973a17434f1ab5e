"""The family of speech metrics: refusals and whose fault they are, rates, channels, sharing."""

from __future__ import annotations

import math
import sys
import types
import warnings

import numpy as np
import pytest
import soxr
from scipy.signal import lfilter

from sepbench.harness.api import Undefined
from sepbench.harness.errors import MissingExtraError
from sepbench.harness.metrics import ScoredItem, ScoredScene, card_of, family_of, score_scene
from sepbench.harness.metrics import speech_packages as packages
from sepbench.harness.metrics.speech import COMPOSITES, SPEECH, _composite, speech_scores

pytest.importorskip("pesq")
pytest.importorskip("pystoi")

IDS = tuple(card.metric_id for card in SPEECH.cards)
COMPOSITE = ("csig", "cbak", "covl")
FRAMEWISE = ("ssnr", "llr", "wss")
RATE = 16000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


def voice(samples: int = 2 * RATE, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Syllables at 3 Hz of a resonant, slowly changing tone: enough for PESQ's speech detector."""
    time = np.arange(samples) / rate
    buzz = np.sign(np.sin(2 * np.pi * (120 + 20 * np.sin(2 * np.pi * 0.7 * time)) * time))
    pole = 0.98 * np.exp(2j * np.pi * 700 / rate)
    spoken = lfilter(
        [1.0], [1.0, -2 * pole.real, abs(pole) ** 2], buzz + 0.1 * noise(samples, seed)
    )
    return 0.005 * spoken * np.maximum(0.0, np.sin(2 * np.pi * 1.5 * time)) ** 0.5


def score(reference, estimate, metrics=IDS, rate=RATE):
    return speech_scores(reference, estimate, sample_rate=rate, metrics=metrics)


CLEAN = voice()
NOISY = CLEAN + 0.01 * noise(len(CLEAN), seed=1)


# --- values -------------------------------------------------------------------------------


def test_clean_speech_has_the_best_value_of_every_metric():
    spoken = CLEAN + 1e-4 * noise(len(CLEAN), seed=3)  # no frame is digitally silent

    values = score(spoken, spoken)

    assert values["pesq_wb"] == pytest.approx(4.644, abs=1e-3)
    assert values["pesq_nb"] == pytest.approx(4.549, abs=1e-3)
    assert values["stoi"] == pytest.approx(1.0, abs=1e-9)
    assert values["estoi"] == pytest.approx(1.0, abs=1e-9)
    assert [values[name] for name in FRAMEWISE] == [35.0, 0.0, 0.0]
    assert [values[name] for name in COMPOSITE] == [5.0, 5.0, 5.0]


def test_more_noise_is_worse_in_every_metric():
    error = noise(len(CLEAN), seed=1)
    rows = [score(CLEAN, CLEAN + gain * error) for gain in (0.001, 0.01, 0.1)]

    for name in IDS:
        values = [row[name] for row in rows]
        assert values == sorted(values, reverse=card_of(name).higher_is_better), name


def test_composites_are_the_published_sums_within_their_limits():
    values = score(CLEAN, NOISY)
    pesq, llr, wss, ssnr = (values[name] for name in ("pesq_wb", "llr", "wss", "ssnr"))

    assert values["csig"] == pytest.approx(
        np.clip(3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss, 1, 5), abs=1e-12
    )
    assert values["cbak"] == pytest.approx(
        np.clip(1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * ssnr, 1, 5), abs=1e-12
    )
    assert values["covl"] == pytest.approx(
        np.clip(1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss, 1, 5), abs=1e-12
    )


def test_composites_never_leave_one_to_five():
    values = score(CLEAN, noise(len(CLEAN), seed=1), COMPOSITE)

    assert values["csig"] == values["covl"] == 1.0
    assert 1.0 <= values["cbak"] <= 5.0


def test_channels_are_averaged():
    offset = 0.1 * noise(len(CLEAN), seed=2)
    stereo = np.stack([CLEAN + offset, CLEAN - offset])

    assert score(stereo, np.stack([NOISY, NOISY])) == pytest.approx(score(CLEAN, NOISY), abs=1e-6)


def test_other_rates_are_resampled_to_16_khz():
    both = [soxr.resample(signal, RATE, 32000, quality="HQ") for signal in (CLEAN, NOISY)]
    there_and_back = [soxr.resample(signal, 32000, RATE, quality="HQ") for signal in both]

    assert score(*both, rate=32000) == score(*there_and_back)
    assert score(*both, ["pesq_wb"], rate=32000)["pesq_wb"] == pytest.approx(
        score(CLEAN, NOISY, ["pesq_wb"])["pesq_wb"], abs=0.05
    )


def test_an_estimate_with_silent_stretches_has_one_estoi():
    gated = np.where(np.arange(len(CLEAN)) < RATE, NOISY, 0.0)
    first = score(CLEAN, gated, ["estoi"])

    np.random.standard_normal(7)  # noqa: NPY002 (moves the generator that pystoi draws from)

    assert score(CLEAN, gated, ["estoi"]) == first


def test_scoring_leaves_numpys_global_generator_alone():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.standard_normal()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002

    score(CLEAN, NOISY, ["estoi"])

    assert np.random.standard_normal() == expected  # noqa: NPY002


# --- one family ---------------------------------------------------------------------------


def test_all_ids_are_one_family():
    assert all(family_of(name) is SPEECH for name in IDS)


def test_pesq_is_computed_once_for_itself_and_the_composites(monkeypatch):
    calls = []
    monkeypatch.setattr(packages, "pesq", lambda *signals: calls.append(signals[2]) or 2.0)

    score(CLEAN, NOISY, ("csig", "pesq_wb", "cbak", "covl", "csig"))

    assert calls == ["wb"]


def test_a_scene_gets_the_wanted_ids_of_every_item():
    clean, noisy = (x[None].astype(np.float32) for x in (CLEAN, NOISY))
    items = tuple(ScoredItem(target="t", reference=clean, estimate=e) for e in (noisy, 0 * noisy))
    scene = ScoredScene(sample_rate=RATE, mixture=noisy, references={"t": clean}, items=items)

    first, second = score_scene(scene, ["covl", "ssnr"])

    assert list(first) == ["covl", "ssnr"]
    assert first == pytest.approx(score(CLEAN, NOISY, ["covl", "ssnr"]), abs=1e-4)
    assert second["covl"] == Undefined(cause="estimate", reason="the estimate is mute")
    assert second["ssnr"] < 0.1


def test_every_composite_is_on_a_card():
    assert tuple(COMPOSITES) == COMPOSITE
    assert all(card_of(name).range == "[1, 5]" for name in COMPOSITE)


# --- refusals -----------------------------------------------------------------------------


def test_a_silent_reference_has_no_score_whatever_the_estimate():
    for estimate in (NOISY, 0 * NOISY, np.full_like(NOISY, math.nan)):
        values = score(0 * CLEAN, estimate)

        assert set(values.values()) == {
            Undefined(cause="reference", reason="the reference is silent")
        }


def test_a_mute_estimate_is_undefined_but_for_ssnr():
    values = score(CLEAN + 1e-4 * noise(len(CLEAN)), 0 * CLEAN)

    assert values.pop("ssnr") == pytest.approx(0.0, abs=1e-6)
    assert set(values.values()) == {Undefined(cause="estimate", reason="the estimate is mute")}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_not_finite_are_named(bad):
    broken = NOISY.copy()
    broken[100] = bad

    of_estimate, of_reference = score(CLEAN, broken), score(broken, CLEAN)

    assert {why.cause for why in of_estimate.values()} == {"estimate"}
    assert {why.reason for why in of_reference.values()} == {
        "the reference holds NaN or infinite samples"
    }


def test_below_37_5_milliseconds_nothing_is_defined():
    values = score(noise(599), noise(599, seed=1))

    assert set(values.values()) == {
        Undefined(cause="reference", reason="too short: 599 samples at 16 kHz, a frame needs 600")
    }


def test_below_a_quarter_of_a_second_pesq_and_composites_are_too_short():
    values = score(CLEAN[2000:5999], NOISY[2000:5999])

    for name in ("pesq_wb", "pesq_nb", *COMPOSITE):
        assert values[name] == Undefined(
            cause="reference", reason="too short: 3999 samples at 16 kHz, PESQ needs 4000"
        )
    assert all(isinstance(values[name], float) for name in FRAMEWISE)


def test_stoi_says_that_a_signal_is_too_short():
    short = score(CLEAN[:6553], NOISY[:6553], ["stoi", "estoi"])

    assert {why.cause for why in short.values()} == {"reference"}
    assert {why.reason for why in short.values()} == {
        "too short: 6553 samples at 16 kHz, STOI needs 6554"
    }


def test_the_shortest_signal_of_stoi_is_what_the_package_can_score():
    steady = noise(packages.STOI_SHORTEST)

    assert score(steady, steady, ["stoi"])["stoi"] == pytest.approx(1.0, abs=1e-6)


def test_too_little_speech_is_the_references_fault():
    click = np.where(np.abs(np.arange(2 * RATE) - RATE) < 500, noise(2 * RATE), 0.0)

    values = score(click, NOISY, ["stoi", "estoi", "pesq_wb", "covl"])

    assert {why.cause for why in values.values()} == {"reference"}
    assert "less than 30 frames (0.4 s) of the reference" in values["stoi"].reason
    assert values["pesq_wb"].reason == (
        "PESQ finds no utterance in the reference: No utterances detected"
    )
    assert values["covl"] == values["pesq_wb"]


def test_what_pesq_cannot_align_is_the_estimates_fault(monkeypatch):
    class NoUtterancesError(Exception):
        """As pesq's."""

    def pesq(rate, reference, estimate, band):
        if estimate is not reference:
            raise NoUtterancesError(b"No utterances detected")
        return 4.6

    stand_in = types.SimpleNamespace(
        pesq=pesq, NoUtterancesError=NoUtterancesError, BufferTooShortError=KeyError
    )
    monkeypatch.setattr(packages, "require_pesq", lambda: stand_in)

    value = score(CLEAN, NOISY, ["pesq_wb"])["pesq_wb"]

    assert value == Undefined(
        cause="estimate", reason="PESQ cannot align the estimate: No utterances detected"
    )


def test_pesq_that_gives_nan_is_undefined(monkeypatch):
    stand_in = types.SimpleNamespace(
        pesq=lambda rate, s, s_hat, band: 4.6 if s is s_hat else math.nan,
        NoUtterancesError=KeyError,
        BufferTooShortError=KeyError,
    )
    monkeypatch.setattr(packages, "require_pesq", lambda: stand_in)

    value = score(CLEAN, NOISY, ["pesq_nb"])["pesq_nb"]

    assert value == Undefined(cause="estimate", reason="PESQ cannot align the estimate: NaN")


def test_more_than_20_seconds_are_not_given_to_pesq_which_would_crash():
    # Half a second on, half a second off: beyond 50 utterances pesq overruns its memory.
    long = np.tile(np.concatenate([noise(RATE // 2), np.zeros(RATE // 2)]), 60)

    values = score(long, long + 0.01 * noise(len(long), seed=1), ["pesq_wb", "csig", "llr"])

    assert values["pesq_wb"] == Undefined(
        cause="reference", reason="too long: 60.0 s, PESQ is safe up to 20"
    )
    assert values["csig"] == values["pesq_wb"]
    assert isinstance(values["llr"], float)


def test_the_densest_speech_of_20_seconds_is_safe():
    dense = np.tile(np.concatenate([noise(3280), np.zeros(3280)]), 49)[: 20 * RATE]

    value = score(dense, dense + 0.01 * noise(len(dense), seed=1), ["pesq_wb"])["pesq_wb"]

    assert 1.0 < value < 4.7


def test_a_composite_blames_the_reference_first():
    parts = {
        "pesq_wb": Undefined(cause="estimate", reason="e"),
        "llr": Undefined(cause="reference", reason="r"),
    }
    assert _composite(COMPOSITES["covl"], parts) == parts["llr"]


def test_other_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"Reference \(32000,\) and estimate \(31999,\)"):
        score(CLEAN, NOISY[:-1])


# --- packages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "feature", "ids"),
    [("pesq", "PESQ", ["pesq_wb"]), ("pesq", "PESQ", ["covl"]), ("pystoi", "STOI", ["estoi"])],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, feature, ids):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(
        MissingExtraError, match=rf"{feature} needs the package '{package}'.*sepbench\[speech\]"
    ):
        SPEECH.require(frozenset(ids))


def test_frame_measures_need_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)

    SPEECH.require(frozenset(FRAMEWISE))

    assert all(isinstance(v, float) for v in score(CLEAN, NOISY, FRAMEWISE).values())


def test_no_warning_of_a_package_reaches_the_user():
    gated = np.where(np.arange(len(CLEAN)) < RATE, NOISY, 0.0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score(CLEAN, gated)
        score(CLEAN[:6600], NOISY[:6600])

    assert caught == []
