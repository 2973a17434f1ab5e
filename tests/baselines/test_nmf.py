from __future__ import annotations

import math

import pytest
import torch

from sepbench.baselines.nmf import SAMPLE_RATE, QueryNmf
from sepbench.harness.api import Example, Query
from sepbench.harness.errors import QueryError, SettingError

# Two timbres that share no mel band: steady hum of low partials, hiss bursts above 6 kHz.


def sdr(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    error = (reference - estimate).double().square().sum()
    return float(10 * torch.log10(reference.double().square().sum() / error))


def hum(seconds: float, seed: int) -> torch.Tensor:
    """(1, N): partials of a pitch that the seed moves."""
    time = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 150 + 10 * seed
    partials = [torch.sin(2 * math.pi * pitch * k * time + k * seed) / k for k in range(1, 6)]
    return 0.2 * torch.stack(partials).sum(0, keepdim=True)


def hiss(seconds: float, seed: int) -> torch.Tensor:
    """(1, N): noise above 6 kHz that comes and goes four times a second."""
    draw = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(int(seconds * SAMPLE_RATE), generator=draw))
    spectrum[: int(6000 * seconds)] = 0
    samples = torch.fft.irfft(spectrum, n=int(seconds * SAMPLE_RATE))
    time = torch.arange(len(samples)) / SAMPLE_RATE
    return 0.3 * (samples * (torch.sin(8 * math.pi * time) > 0.5))[None]


def query(*waveforms: torch.Tensor) -> Query:
    examples = [
        Example(clip_id=f"clip-{index}", waveform=waveform, sample_rate=SAMPLE_RATE)
        for index, waveform in enumerate(waveforms)
    ]
    return Query(examples=tuple(examples))


def separate(model: QueryNmf, mixture: torch.Tensor, *queries: Query) -> torch.Tensor:
    """All queries of one mixture in one batch, (1, N) -> (B, 1, N)."""
    condition = torch.stack(list(model.condition(queries)))
    return model.separate(mixture.expand(len(queries), 1, -1), condition)


@pytest.mark.parametrize("shots", [1, 3])
def test_each_of_two_clear_timbres_is_pulled_out(shots):
    low, high = hum(2, seed=0), hiss(2, seed=0)
    mixture = low + high
    low_query = query(*[hum(1, seed=s) for s in range(1, 1 + shots)])
    high_query = query(*[hiss(1, seed=s) for s in range(1, 1 + shots)])

    estimates = separate(QueryNmf(), mixture, low_query, high_query)

    # A mere gain of 0.5 would reach 1.9 dB (low) and 3.9 dB (high).
    assert sdr(low, estimates[0]) > sdr(low, mixture) + 4.5
    assert sdr(high, estimates[1]) > sdr(high, mixture) + 4.5


def test_a_batch_gives_what_single_items_give():
    mixtures = torch.stack([hum(1, s) + hiss(1, s) for s in range(3)])  # (3, 1, N)
    model = QueryNmf()
    condition = torch.stack(
        model.condition([query(hum(1, 5)), query(hiss(1, 5)), query(hum(1, 6))])
    )

    batched = model.separate(mixtures, condition)
    singles = [model.separate(mixtures[i : i + 1], condition[i : i + 1])[0] for i in range(3)]

    torch.testing.assert_close(batched, torch.stack(singles), atol=1e-5, rtol=0)


def test_conditions_do_not_depend_on_their_company():
    queries = [query(hum(1, 1)), query(hiss(1, 1))]

    together = QueryNmf().condition(queries)
    backwards = QueryNmf().condition(queries[::-1])[::-1]

    assert all(torch.equal(a, b) for a, b in zip(together, backwards, strict=True))


def test_the_same_seed_gives_the_same_estimate_whatever_was_drawn_before():
    mixture = hum(1, 0) + hiss(1, 0)
    first = separate(QueryNmf(), mixture, query(hum(1, 1)))

    torch.rand(7)
    second = separate(QueryNmf(), mixture, query(hum(1, 1)))
    reseeded = separate(QueryNmf(seed=1), mixture, query(hum(1, 1)))

    assert torch.equal(first, second)
    assert not torch.equal(first, reseeded)


def test_torch_is_left_with_the_random_state_it_had():
    state = torch.get_rng_state()

    separate(QueryNmf(), hum(1, 0), query(hum(1, 1)))

    assert torch.equal(torch.get_rng_state(), state)


def test_it_works_where_the_caller_switched_gradients_off():
    mixture = hum(1, 0) + hiss(1, 0)
    plain = separate(QueryNmf(), mixture, query(hum(1, 1)))

    with torch.inference_mode():
        inferred = separate(QueryNmf(), mixture.clone(), query(hum(1, 1)))

    assert torch.equal(plain, inferred.clone())
    assert not plain.requires_grad


def test_conditions_of_one_and_three_examples_have_one_shape():
    short, long = QueryNmf().condition([query(hum(0.2, 1)), query(*[hum(1, s) for s in (1, 2, 3)])])

    # 32 bands × 4 frames and the burstiness; 8 atoms.
    assert short.shape == long.shape == (129, 8)
    assert (short >= 0).all()


def test_silence_around_an_example_does_not_change_its_atoms():
    sound = hum(1, 1)
    padded = torch.cat([sound, torch.zeros(1, SAMPLE_RATE)], dim=1)

    estimates = separate(QueryNmf(), hum(1, 0) + hiss(1, 0), query(sound), query(padded))

    assert sdr(estimates[0], estimates[1]) > 10


def test_the_level_of_mixture_and_example_does_not_matter():
    mixture = hum(1, 0) + hiss(1, 0)

    plain = separate(QueryNmf(), mixture, query(hum(1, 1)))
    quiet = separate(QueryNmf(), 1e-3 * mixture, query(1e-3 * hum(1, 1)))

    assert sdr(plain, 1e3 * quiet) > 40


def test_a_silent_mixture_gives_exact_silence():
    assert separate(QueryNmf(), torch.zeros(1, 5000), query(hum(1, 1))).abs().max() == 0


@pytest.mark.parametrize("length", [1, 2, 999, 2047, 33_333])
def test_any_length_keeps_its_shape(length):
    estimate = separate(QueryNmf(), hum(2, 0)[:, 1 : 1 + length], query(hum(1, 1)[:, :length]))

    assert estimate.shape == (1, 1, length)
    assert estimate.isfinite().all()


def test_estimates_of_a_stereo_mixture_are_those_of_its_channels():
    left, right = hum(1, 0) + hiss(1, 0), hum(1, 0) - 0.5 * hiss(1, 1)
    model = QueryNmf()
    condition = torch.stack(model.condition([query(hum(1, 1))]))

    stereo = model.separate(torch.stack([left[0], right[0]])[None], condition)

    assert torch.equal(stereo[:, :1], model.separate(left[None], condition))
    assert torch.equal(stereo[:, 1:], model.separate(right[None], condition))


def test_a_silent_example_beside_a_sounding_one_is_passed_over():
    alone, beside = QueryNmf().condition([query(hum(1, 1)), query(torch.zeros(1, 5000), hum(1, 1))])

    assert torch.equal(alone, beside)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Query(text="a dog"), "needs audio examples, and the query has none"),
        (query(torch.zeros(1, 9000)), "cannot learn from silence: example clip-0 holds no sound"),
        (query(torch.zeros(1, 0)), "query example clip-0 is empty"),
        (query(torch.full((1, 9), math.nan)), "query example clip-0 holds NaN"),
        (Query(examples=(Example(clip_id="x"),)), "query example x is not loaded"),
        (
            Query(examples=(Example(clip_id="x", waveform=torch.ones(1, 9), sample_rate=8000),)),
            "query example x is at 8000 Hz; resample it to 32000 Hz",
        ),
    ],
)
def test_a_query_that_says_nothing_is_refused(asked, words):
    with pytest.raises(QueryError, match=words):
        QueryNmf().condition([asked])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 0}, "rank=0 is not possible. Give a whole number from 1 to 512"),
        ({"components": 1}, "components=1 is not possible"),
        ({"bands": 2.5}, "bands=2.5 is not possible"),
        ({"context": 0}, "context=0 is not possible"),
        ({"stride": 0}, "stride=0 is not possible"),
        ({"iterations": -1}, "iterations=-1 is not possible"),
        ({"softness": 0.0}, "softness=0.0 is not possible"),
        ({"burst_weight": -0.1}, "burst_weight=-0.1 is not possible"),
        ({"exponent": math.inf}, "exponent=inf is not possible"),
        ({"hop": 2048}, "hop=2048 is not possible. Give a whole number from 1 to 1024"),
        ({"seed": -1}, "seed=-1 is not possible"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        QueryNmf(**settings)


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="ranks"):
        QueryNmf(ranks=3)
