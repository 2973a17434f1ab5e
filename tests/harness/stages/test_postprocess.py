"""A step over all estimates of a scene: after any model, at the protocol's rate, all or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.machine import calls

from sepbench.baselines.stsed.wiener import joint_wiener
from sepbench.harness.api import Query, Samples
from sepbench.harness.errors import BaselineLoadError
from sepbench.harness.stages.requests import ModelSpec, PairInput, SceneInput
from sepbench.harness.stages.separate import SeparationStage

RATE = 8000
WIENER = "sepbench.baselines.stsed.wiener:JointWiener"
QUERIES = tuple(Query(text=text) for text in ("a dog", "rain", "a marked bird"))


def stage_of(name: str, postprocess: str, **spec: Any) -> SeparationStage:
    target = postprocess if ":" in postprocess else f"sepbench_testkit.postprocesses:{postprocess}"
    made = SeparationStage(
        ModelSpec(
            label=name,
            name=name,
            target=f"sepbench_testkit.models:{name}",
            settings=spec.pop("settings", {}),
            device="cpu",
            postprocess=target if postprocess else "",
            **spec,
        )
    )
    made.load()
    return made


def scene_of(
    channels: int = 1, samples: int = 4000, *, rate: int = RATE, seed: int = 0
) -> SceneInput:
    rng = np.random.default_rng(seed)
    mixture = (0.1 * rng.standard_normal((channels, samples))).astype(np.float32)
    pairs = tuple(
        PairInput(
            query=query,
            seed=k,
            out=np.full_like(mixture, 9),
            reference=(0.1 * rng.standard_normal(mixture.shape)).astype(np.float32),
        )
        for k, query in enumerate(QUERIES)
    )
    return SceneInput(mixture=mixture, sample_rate=rate, downmix=False, pairs=pairs)


def estimates_of(scene: SceneInput) -> Samples:
    return np.stack([pair.out for pair in scene.pairs])


@pytest.mark.parametrize("model", ["Half", "SceneHalf"])
def test_a_step_may_follow_a_model_of_either_shape(model: str) -> None:
    scene = scene_of()
    before = scene.mixture.copy()

    (results,) = stage_of(model, "Shares").separate([scene])

    assert [result.failure for result in results] == [None] * 3
    # Three halves of the mixture leave minus a half of it, of which each gets a third.
    np.testing.assert_allclose(estimates_of(scene), np.stack([before / 3] * 3), atol=1e-7)
    assert np.array_equal(scene.mixture, before)


@pytest.mark.parametrize(("channels", "rate"), [(1, 32_000), (2, 44_100), (1, 8000)])
def test_the_wiener_step_is_that_of_the_function_at_the_protocols_rate(
    channels: int, rate: int
) -> None:
    plain, filtered = (scene_of(channels, 3 * rate, rate=rate) for _ in range(2))
    stage_of("Vandal", "").separate([plain])  # gives back what it is handed as references

    stage_of("Vandal", WIENER).separate([filtered])

    expected = joint_wiener(
        torch.from_numpy(plain.mixture),
        torch.from_numpy(estimates_of(plain)),
        n_fft={32_000: 2048, 44_100: 2822, 8000: 512}[rate],
        hop=rate // 100,
        segment=2 * rate,
    )
    np.testing.assert_allclose(estimates_of(filtered), expected.numpy(), atol=1e-6)
    assert np.abs(estimates_of(filtered) - estimates_of(plain)).max() > 0.01
    np.testing.assert_allclose(estimates_of(filtered).sum(0), filtered.mixture, atol=1e-4)


def test_queries_of_a_scene_are_still_separated_in_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    stage = stage_of("Half", "Shares", settings={"log": str(log)}, batch_size=8)
    model, sizes = stage._loaded.model, []
    separate = model.separate
    monkeypatch.setattr(
        model, "separate", lambda mixture, c: sizes.append(len(mixture)) or separate(mixture, c)
    )

    stage.separate([scene_of(), scene_of(seed=1)])

    assert sizes == [6]
    assert calls(log) == {"condition": 3, "separate": 6}


def test_a_model_of_another_rate_is_followed_at_the_protocols() -> None:
    scene = scene_of(samples=16_000, rate=16_000)

    stage_of("Tone", "Shares").separate([scene])  # works at 8 kHz

    # What the model's rate has cut off comes back with the shares.
    np.testing.assert_allclose(estimates_of(scene).sum(0), scene.mixture, atol=1e-6)


def test_without_one_of_its_estimates_a_scene_has_none() -> None:
    broken, whole = scene_of(), scene_of(seed=1)
    broken = SceneInput(
        mixture=broken.mixture, sample_rate=RATE, downmix=False, pairs=broken.pairs[1:]
    )
    whole = SceneInput(
        mixture=whole.mixture, sample_rate=RATE, downmix=False, pairs=whole.pairs[:2]
    )
    stage = stage_of("Faulty", "Shares", settings={"how": "nan", "on": "marked"})

    failed, good = stage.separate([broken, whole])

    assert [result.failure for result in good] == [None, None]
    rain, bird = (result.failure for result in failed)
    assert rain is not None
    assert bird is not None
    assert bird.error == "Faulty returned NaN or infinite samples."
    assert rain.error_type == "EstimateError"
    assert "kit-shares needs all estimates of a scene, and one of them failed" in rain.error
    assert "Faulty returned NaN" in rain.error


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("Misfit", r"kit-shares returned (1, 1, 4000); expected (3, 1, 4000)"),
        ("NotANumber", "kit-shares returned NaN or infinite samples"),
        ("Wordy", "kit-shares returned str; expected (3, 1, 4000)"),
    ],
)
def test_what_a_step_returns_is_held_to_its_contract(step: str, words: str) -> None:
    (results,) = stage_of("Half", step).separate([scene_of()])

    for result in results:
        assert result.failure is not None
        assert words in result.failure.error


def test_a_single_estimate_cannot_share_out_a_mixture() -> None:
    scene = scene_of()
    alone = SceneInput(
        mixture=scene.mixture, sample_rate=RATE, downmix=False, pairs=scene.pairs[:1]
    )

    ((result,),) = stage_of("Half", WIENER).separate([alone])

    assert result.failure is not None
    assert result.failure.error_type == "SettingError"
    assert "this scene has 1" in result.failure.error


def test_the_time_of_the_step_counts_as_separation() -> None:
    (results,) = stage_of("Half", "Shares").separate([scene_of()])

    assert all(result.separate_seconds > 0 for result in results)


def test_what_is_no_step_is_refused_on_loading() -> None:
    with pytest.raises(BaselineLoadError, match=r"postprocess of model 'Half'.*lacks one of card"):
        stage_of("Half", "Cardless")
