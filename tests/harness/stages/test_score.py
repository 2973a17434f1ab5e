from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sepbench_testkit.data import MARK

from sepbench.harness.api import Samples, Undefined
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import WorkspaceError
from sepbench.harness.stages.score import ItemInput, ItemScores, keep_estimate, score_items

RATE = 8000
HALF_DB = 10 * np.log10(4)  # SDR of half the target


def noise(seed: int, length: int = 400) -> Samples:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, length))).astype(np.float32)


DOG, RAIN = noise(1), noise(2)
MARKED = np.concatenate([np.full((1, 1), MARK, dtype=np.float32), DOG[:, 1:]], axis=1)


def item(
    target: str = "dog",
    *,
    reference: Samples = DOG,
    estimate: Samples | None = None,
    metrics: Sequence[str] = ("sdr",),
    check: tuple[str, float] | None = None,
) -> ItemInput:
    return ItemInput(
        target=target,
        reference=reference,
        estimate=reference / 2 if estimate is None else estimate,
        metrics=tuple(metrics),
        check=check,
    )


def score(*items: ItemInput, keep: Path | None = None) -> list[ItemScores]:
    return score_items(DOG + RAIN, {"dog": DOG, "rain": RAIN}, items, RATE, keep)


def test_each_item_gets_the_metrics_it_asked_for() -> None:
    dog, rain = score(item(metrics=["sdr"]), item("rain", reference=RAIN, metrics=["kit_gain"]))

    assert dog.scores == {"sdr": pytest.approx(HALF_DB, abs=1e-4)}
    assert rain.scores == {"kit_gain": pytest.approx(-HALF_DB, abs=1e-4)}
    assert dog.status == rain.status == "scored"
    assert dog.seconds > 0


def test_a_silent_reference_is_undefined_with_its_cause() -> None:
    silence = np.zeros_like(DOG)

    (scores,) = score(item(reference=silence, estimate=DOG, metrics=["sdr", "si_sdr"]))

    assert scores.status == "undefined"
    assert [value.cause for value in scores.scores.values()] == ["reference", "reference"]


def test_one_value_is_enough_for_a_scored_item() -> None:
    mute = np.zeros_like(DOG)

    (scores,) = score(item(estimate=mute, metrics=["sdr", "si_sdr"]))

    assert scores.scores["sdr"] == pytest.approx(0, abs=1e-6)
    assert isinstance(scores.scores["si_sdr"], Undefined)
    assert scores.status == "scored"


def test_a_score_that_comes_out_again_passes_the_check() -> None:
    (scores,) = score(item(metrics=["kit_gain"], check=("sdr", float(HALF_DB))))

    assert scores.failure is None
    assert list(scores.scores) == ["kit_gain"]


@pytest.mark.parametrize(
    ("estimate", "now"), [(DOG / 3, "now 3.5218"), (np.zeros_like(DOG), "now the estimate")]
)
def test_a_score_that_does_not_repeat_fails_its_item_only(estimate: Samples, now: str) -> None:
    changed = item(estimate=estimate, metrics=["sdr"], check=("sdr", 6.0206))
    good = item(metrics=["sdr"])

    first, second = score(changed, good)

    assert first.status == "failed"
    assert first.failure is not None
    assert first.failure.error_type == "EstimateError"
    assert "sdr was 6.0206, now" in first.failure.error
    assert "Raise the model's card version" in first.failure.error
    assert second.status == "scored"


def test_a_check_that_has_become_undefined_fails_with_the_reason() -> None:
    mute = item(estimate=np.zeros_like(DOG), metrics=["sdr"], check=("si_sdr", 6.0206))

    (scores,) = score(mute)

    assert scores.failure is not None
    assert "si_sdr was 6.0206, now" in scores.failure.error


def test_a_metric_that_raises_fails_the_guilty_item_only() -> None:
    metrics = ["sdr", "kit_raise"]

    bad, good = score(item(reference=MARKED, metrics=metrics), item(metrics=metrics))

    assert bad.status == "failed"
    assert bad.failure is not None
    assert bad.failure.error == "this metric cannot count"
    assert "ValueError" in bad.failure.traceback
    assert good.scores == {"sdr": pytest.approx(HALF_DB, abs=1e-4), "kit_raise": 1.0}


def test_an_unknown_metric_fails_the_scenes_items_with_its_name() -> None:
    first, second = score(item(metrics=["sdx"]), item(metrics=["sdr"]))

    assert first.failure is not None
    assert "Unknown metric 'sdx'" in first.failure.error
    assert second.failure == first.failure


# --- kept estimates -----------------------------------------------------------------------


def test_a_kept_estimate_comes_back_sample_for_sample(tmp_path: Path) -> None:
    loud = 3 * DOG  # above full scale: never clipped

    (scores,) = score(item(estimate=loud), keep=tmp_path)

    name = scores.estimate_sha256
    audio = read_audio(tmp_path / name[:2] / f"{name}.wav")
    np.testing.assert_array_equal(audio.samples, loud)
    assert audio.sample_rate == RATE


def test_equal_estimates_share_one_file(tmp_path: Path) -> None:
    first = keep_estimate(DOG, RATE, tmp_path)
    again = keep_estimate(DOG.copy(), RATE, tmp_path)
    other_rate = keep_estimate(DOG, 2 * RATE, tmp_path)

    assert first == again
    assert first != other_rate
    assert len(list(tmp_path.glob("*/*.wav"))) == 2


def test_a_write_that_fails_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(path: Path, samples: Samples, sample_rate: int) -> None:
        path.write_bytes(b"RIFF")
        raise RuntimeError("No space left on device")

    monkeypatch.setattr("sepbench.harness.stages.score.write_wav", cut_short)

    with pytest.raises(WorkspaceError, match=r"cannot be kept in .*No space left.*keep_audio"):
        keep_estimate(DOG, RATE, tmp_path)

    assert list(tmp_path.glob("*/*")) == []


def test_an_estimate_that_cannot_be_kept_fails_its_item(tmp_path: Path) -> None:
    blocked = tmp_path / "audio"
    blocked.write_text("a file where the folder should be")

    (scores,) = score(item(), keep=blocked)

    assert scores.status == "failed"
    assert scores.failure is not None
    assert scores.failure.error_type == "WorkspaceError"
