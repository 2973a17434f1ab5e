from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sepbench_testkit.machine import calls

from sepbench.harness.api import Query, Samples
from sepbench.harness.errors import BaselineLoadError, PluginError
from sepbench.harness.stages.requests import ModelSpec, PairInput, PairResult, SceneInput
from sepbench.harness.stages.separate import SeparationStage

RATE = 8000
# Chunks, batches and resampling there and back are float32 work on signals of level 0.1 to 1.
CLOSE = 1e-6
DOG, MARKED = Query(text="a dog"), Query(text="a marked dog")


def noise(*shape: int, seed: int = 0) -> Samples:
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def tone(channels: int, length: int, rate: int) -> Samples:
    times = np.arange(length) / rate
    return np.tile(0.5 * np.sin(2 * np.pi * 300 * times), (channels, 1)).astype(np.float32)


def stage_of(name: str, *, settings: Mapping[str, Any] | None = None, **spec: Any) -> Any:
    made = SeparationStage(
        ModelSpec(
            label=name,
            name=name,
            target=f"sepbench_testkit.models:{name}",
            settings=settings or {},
            device="cpu",
            **spec,
        )
    )
    made.load()
    return made


def scene_of(
    mixture: Samples,
    *queries: Query,
    rate: int = RATE,
    downmix: bool = False,
    references: Sequence[Samples | None] = (),
) -> SceneInput:
    known = [*references, *[None] * (len(queries) - len(references))]
    pairs = tuple(
        PairInput(query=query, seed=7 + k, out=np.full_like(mixture, 9), reference=known[k])
        for k, query in enumerate(queries)
    )
    return SceneInput(mixture=mixture, sample_rate=rate, downmix=downmix, pairs=pairs)


def separated(stage: SeparationStage, *scenes: SceneInput) -> list[Samples]:
    """The estimates of all pairs, none of which may fail."""
    results = [result for answers in stage.separate(scenes) for result in answers]
    assert [result.failure for result in results] == [None] * len(results)
    return [pair.out for scene in scenes for pair in scene.pairs]


def errors(results: Sequence[PairResult]) -> list[str]:
    """Type of each pair's failure, "" where there is none."""
    return [result.failure.error_type if result.failure else "" for result in results]


# --- rates and channels -------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tone_comes_back_from_the_models_rate_with_its_length_and_level(rate: int) -> None:
    mixture = tone(1, rate + 37, rate)

    (estimate,) = separated(stage_of("Tone"), scene_of(mixture, DOG, rate=rate))

    middle = slice(rate // 4, 3 * rate // 4)
    np.testing.assert_allclose(estimate[:, middle], mixture[:, middle] / 2, atol=1e-3)
    assert np.abs(estimate).max() < 0.3


def test_each_channel_goes_through_a_mono_model_by_itself() -> None:
    mixture = noise(2, 500)

    (estimate,) = separated(stage_of("Pointwise"), scene_of(mixture, DOG))

    np.testing.assert_allclose(estimate, np.tanh(3 * mixture), atol=CLOSE)


def test_a_downmix_protocol_spreads_one_estimate_over_the_channels() -> None:
    mixture = noise(2, 500)

    (estimate,) = separated(stage_of("Half"), scene_of(mixture, DOG, downmix=True))

    expected = np.tile(mixture.mean(axis=0) / 2, (2, 1))
    np.testing.assert_allclose(estimate, expected, atol=CLOSE)


def test_a_stereo_model_gets_a_mono_scene_twice_and_gives_one_channel_back() -> None:
    mixture = noise(1, 500)

    (estimate,) = separated(stage_of("Stereo"), scene_of(mixture, DOG))

    np.testing.assert_allclose(estimate, mixture, atol=CLOSE)


def test_a_scene_of_too_many_channels_fails_alone() -> None:
    good, bad = scene_of(noise(2, 100), DOG), scene_of(noise(3, 100), DOG)

    results = stage_of("Stereo").separate([good, bad])

    assert errors(results[0]) == [""]
    assert results[1][0].failure.error_type == "EstimateError"
    assert "Stereo takes 2 channels; the mixture has 3" in results[1][0].failure.error


def test_a_short_scene_is_padded_to_what_the_model_needs_and_cut_back() -> None:
    mixture = noise(1, 20)

    (estimate,) = separated(stage_of("Pointwise"), scene_of(mixture, DOG))

    np.testing.assert_allclose(estimate, np.tanh(3 * mixture), atol=CLOSE)


# --- chunks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "overlap"), [(0.1, 0.0), (0.1, 0.02), (0.1, 0.05), (0.037, 0.01)]
)
def test_chunks_do_not_show_in_a_pointwise_models_estimate(chunk: float, overlap: float) -> None:
    mixture = noise(1, 3001)
    stage = stage_of("Pointwise", chunk_seconds=chunk, overlap_seconds=overlap)

    (estimate,) = separated(stage, scene_of(mixture, DOG))

    np.testing.assert_allclose(estimate, np.tanh(3 * mixture), atol=CLOSE)


def test_a_model_sees_chunks_of_one_length_in_batches(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stage = stage_of(
        "Pointwise",
        settings={"log": str(log)},
        chunk_seconds=0.1,
        overlap_seconds=0.0,
        batch_size=2,
    )

    separated(stage, scene_of(noise(1, 3000), DOG))

    assert calls(log) == {"condition": 1, "separate 800": 4}


def test_a_model_that_cuts_nothing_gets_the_whole_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stage = stage_of("Whole", settings={"log": str(log)}, chunk_seconds=0.1)

    separated(stage, scene_of(noise(1, 3000), DOG))

    assert calls(log) == {"condition": 1, "separate 3000": 1}


def test_a_scene_separator_of_one_channel_is_cut_too() -> None:
    mixture = noise(2, 2500)
    stage = stage_of("ScenePointwise", chunk_seconds=0.1, overlap_seconds=0.02)

    estimates = separated(stage, scene_of(mixture, DOG, Query(text="rain")))

    np.testing.assert_allclose(estimates[0], np.tanh(3 * mixture), atol=CLOSE)
    np.testing.assert_allclose(estimates[1], estimates[0], atol=CLOSE)


# --- batches and seeds --------------------------------------------------------------------


@pytest.mark.parametrize("model", ["Half", "Pointwise", "Seeded", "Odd", "SceneHalf"])
@pytest.mark.parametrize("batch_size", [3, 8])
def test_a_batch_gives_what_single_calls_give(model: str, batch_size: int) -> None:
    mixtures = [noise(1, length, seed=length) for length in (400, 400, 300, 400)]
    queries = (DOG, Query(text="rain falls"))

    together = separated(
        stage_of(model, batch_size=batch_size), *(scene_of(m, *queries) for m in mixtures)
    )
    single = stage_of(model, batch_size=1)
    alone = [estimate for m in mixtures for estimate in separated(single, scene_of(m, *queries))]

    np.testing.assert_allclose(np.hstack(together), np.hstack(alone), atol=CLOSE)


def test_an_estimate_depends_on_its_seed_alone() -> None:
    mixture = noise(1, 400)

    first, second = separated(stage_of("Seeded"), scene_of(mixture, DOG, DOG))
    (again,) = separated(stage_of("Seeded"), scene_of(mixture, DOG))

    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(again, first, atol=CLOSE)


# --- references ---------------------------------------------------------------------------


def test_an_oracle_gets_the_references_and_silence_for_an_absent_target() -> None:
    mixture, reference = noise(2, 300), noise(2, 300, seed=1)

    dog, cat = separated(
        stage_of("Vandal"), scene_of(mixture, DOG, Query(text="a cat"), references=[reference])
    )

    np.testing.assert_array_equal(dog, reference)
    np.testing.assert_array_equal(cat, np.zeros_like(mixture))


def test_a_model_that_works_in_place_cannot_spoil_what_is_scored() -> None:
    mixture, reference = noise(1, 300), noise(1, 300, seed=1)
    before = mixture.copy(), reference.copy()

    separated(stage_of("Vandal"), scene_of(mixture, DOG, references=[reference]))

    np.testing.assert_array_equal(mixture, before[0])
    np.testing.assert_array_equal(reference, before[1])


# --- misdeeds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "error_type", "words"),
    [
        ("raise", "RuntimeError", "the network is on strike"),
        ("nan", "EstimateError", "Faulty returned NaN or infinite samples"),
        ("shape", "EstimateError", r"returned shape (1, 1, 299); expected (1, 1, 300)"),
        ("type", "EstimateError", "returned ndarray; expected a tensor"),
        ("condition", "RuntimeError", "no condition for this query"),
    ],
)
def test_only_the_guilty_pair_of_a_batch_fails(how: str, error_type: str, words: str) -> None:
    mixture = noise(1, 300)
    stage = stage_of("Faulty", settings={"how": how, "on": "marked"})
    scenes = [scene_of(mixture, DOG, MARKED), scene_of(mixture, DOG)]

    results = stage.separate(scenes)

    assert errors(results[0]) == ["", error_type]
    assert errors(results[1]) == [""]
    assert words in results[0][1].failure.error
    np.testing.assert_allclose(scenes[0].pairs[0].out, mixture / 2, atol=CLOSE)
    np.testing.assert_allclose(scenes[1].pairs[0].out, mixture / 2, atol=CLOSE)


def test_a_strangers_error_keeps_its_traceback_and_ours_needs_none() -> None:
    scene = scene_of(noise(1, 300), MARKED)

    raised = stage_of("Faulty", settings={"how": "raise"}).separate([scene])[0][0].failure
    named = stage_of("Faulty", settings={"how": "nan"}).separate([scene])[0][0].failure

    assert "RuntimeError: the network is on strike" in raised.traceback
    assert named.traceback == ""


def test_one_bad_query_of_a_scene_separator_fails_alone() -> None:
    mixture = noise(1, 300)
    scene = scene_of(mixture, DOG, MARKED)

    (results,) = stage_of("ScenePointwise").separate([scene])

    assert errors(results) == ["", "RuntimeError"]
    np.testing.assert_allclose(scene.pairs[0].out, np.tanh(3 * mixture), atol=CLOSE)


def test_one_bad_estimate_of_a_joint_model_fails_alone() -> None:
    mixture = noise(1, 300)
    scene = scene_of(mixture, DOG, MARKED)

    (results,) = stage_of("Partner").separate([scene])

    assert errors(results) == ["", "EstimateError"]
    np.testing.assert_allclose(scene.pairs[0].out, mixture / 2, atol=CLOSE)


# --- loading ------------------------------------------------------------------------------


def test_loading_says_what_the_model_runs_on() -> None:
    stage = SeparationStage(
        ModelSpec(
            label="half",
            name="kit-half",
            target="sepbench_testkit.models:Half",
            settings={},
            device="cpu",
            precision="bf16",
        )
    )

    facts = stage.load()

    assert (facts.device, facts.precision, facts.parameters) == ("cpu", "bf16", None)
    assert set(facts.versions) >= {"python", "torch", "torchaudio"}


def test_half_precision_gives_float32_estimates() -> None:
    mixture = noise(1, 300)

    (estimate,) = separated(stage_of("Half", precision="bf16"), scene_of(mixture, DOG))

    np.testing.assert_allclose(estimate, mixture / 2, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "spec", "words"),
    [
        ("Unloadable", {}, "BaselineLoadError: weights.pt is missing"),
        ("Half", {"precision": "fp16"}, "precision=fp16 needs a CUDA device"),
        ("Half", {"settings": {"colour": "red"}}, "TypeError"),
    ],
)
def test_a_model_that_cannot_load_is_named_with_its_reason(
    model: str, spec: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(BaselineLoadError, match=f"Model '{model}' cannot be loaded: .*{words}"):
        stage_of(model, **spec)


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    spec = ModelSpec(
        label="half",
        name="half",
        target="sepbench_testkit.models:Half",
        settings={},
        device=device,
    )

    with pytest.raises(BaselineLoadError, match=f"SettingError: device={device}"):
        SeparationStage(spec).load()


def test_a_class_that_is_no_separator_is_refused() -> None:
    spec = ModelSpec(label="none", name="none", target="unittest.mock:Mock", settings={"spec": []})

    with pytest.raises(BaselineLoadError, match="Model 'none' cannot be loaded"):
        SeparationStage(spec).load()


def test_a_class_that_only_loads_is_told_what_it_lacks() -> None:
    target = "sepbench_testkit.models:OnlyLoads"
    spec = ModelSpec(label="lazy", name="lazy", target=target, settings={}, device="cpu")

    with pytest.raises(PluginError, match=r"neither a QuerySeparator .* nor a SceneSeparator"):
        SeparationStage(spec).load()
