"""CLAPScore behind an injected encoder, and SQUIM behind weights on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sepbench.harness.api import Undefined
from sepbench.harness.errors import MissingNetworkError, UsageError
from sepbench.harness.metrics import MetricFamily, ScoredItem, ScoredScene, score_scene
from sepbench.harness.metrics import squim as squim_module
from sepbench.harness.metrics.clap import NO_TEXT, clap_score_family
from sepbench.harness.metrics.squim import SQUIM, WEIGHTS, weights_path

CLAP_IDS = frozenset({"clapscore", "clapscore_audio"})
SQUIM_IDS = frozenset({"squim_stoi", "squim_pesq", "squim_si_sdr"})


class Compass:
    """An encoder whose embeddings are known: a text names an angle, audio has that of its means."""

    identity = "compass sha256:0"
    sample_rate = 8000
    crop = "none"

    def __init__(self) -> None:
        self.heard: list[tuple[int, ...]] = []
        self.read: list[str] = []

    def encode_text(self, texts):
        self.read += texts
        return torch.tensor(
            [[3 * np.cos(np.radians(float(t))), 3 * np.sin(np.radians(float(t)))] for t in texts]
        )

    def encode_audio(self, waveforms):
        assert waveforms.dtype == np.float32
        self.heard.append(waveforms.shape)
        half = waveforms.shape[1] // 2
        return np.stack(
            [waveforms[:, :half].mean(axis=1), waveforms[:, half:].mean(axis=1)], axis=1
        )


def tone(first: float, second: float, channels: int = 1, samples: int = 800) -> np.ndarray:
    """Audio that the compass embeds as (first, second)."""
    halves = np.repeat([first, second], samples // 2).astype(np.float32)
    return np.tile(halves, (channels, 1))


def scene(*items: ScoredItem, rate: int = 8000) -> ScoredScene:
    first = items[0]
    return ScoredScene(
        sample_rate=rate,
        mixture=first.estimate,
        references={item.target: item.reference for item in items},
        items=items,
    )


def item(estimate, reference=None, text=None, target="t") -> ScoredItem:
    reference = tone(1, 0) if reference is None else reference
    return ScoredItem(target=target, reference=reference, estimate=estimate, text=text)


# --- CLAPScore ----------------------------------------------------------------------------


def test_clapscore_is_the_cosine_of_text_and_estimate():
    family = clap_score_family(Compass())

    rows = family.score(
        scene(
            item(tone(0.5, 0), text="0"),
            item(tone(0, 0.1), text="45"),
            item(tone(1, 0), text="180"),
        ),
        frozenset({"clapscore"}),
    )

    assert [row["clapscore"] for row in rows] == pytest.approx([1.0, np.sqrt(0.5), -1.0], abs=1e-6)
    assert all(list(row) == ["clapscore"] for row in rows)


def test_clapscore_audio_is_the_cosine_of_reference_and_estimate():
    (row,) = clap_score_family(Compass()).score(
        scene(item(tone(3, 3), reference=tone(0, 0.2))), CLAP_IDS
    )

    assert row["clapscore_audio"] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert row["clapscore"] == NO_TEXT


def test_every_sound_and_text_is_encoded_once():
    encoder = Compass()

    clap_score_family(encoder).score(
        scene(item(tone(1, 0), text="0"), item(tone(1, 1), text="0"), item(tone(2, 1), text="9")),
        CLAP_IDS,
    )

    assert encoder.read == ["0", "9"]
    assert len(encoder.heard) == 4  # one reference, three estimates


def test_audio_comes_mono_at_the_rate_of_the_encoder():
    encoder = Compass()

    (row,) = clap_score_family(encoder).score(
        scene(item(tone(1, 0, channels=2, samples=3200), text="0"), rate=32000),
        frozenset({"clapscore"}),
    )

    assert encoder.heard == [(1, 800)]
    assert row["clapscore"] == pytest.approx(1.0, abs=1e-3)


def test_a_silent_reference_has_no_audio_score_but_a_text_score():
    (row,) = clap_score_family(Compass()).score(
        scene(item(tone(1, 0), reference=tone(0, 0), text="0")), CLAP_IDS
    )

    assert row["clapscore"] == pytest.approx(1.0, abs=1e-6)
    assert row["clapscore_audio"] == Undefined(cause="reference", reason="the reference is silent")


def test_an_embedding_without_direction_is_undefined():
    (row,) = clap_score_family(Compass()).score(scene(item(tone(0, 0), text="0")), CLAP_IDS)

    assert set(row.values()) == {
        Undefined(cause="estimate", reason="the embedding of the estimate has no direction")
    }


def test_an_estimate_that_is_not_finite_is_named():
    (row,) = clap_score_family(Compass()).score(scene(item(tone(np.nan, 0), text="0")), CLAP_IDS)

    assert {value.cause for value in row.values()} == {"estimate"}
    assert {value.reason for value in row.values()} == {
        "the estimate holds NaN or infinite samples"
    }


def test_the_card_names_encoder_rate_and_crop():
    cards = clap_score_family(Compass()).cards

    assert [card.identity for card in cards] == ["clapscore@1", "clapscore_audio@1"]
    for card in cards:
        assert card.parameters["encoder"] == "compass sha256:0"
        assert card.parameters["sample_rate"] == 8000
        assert card.parameters["crop"] == "none"
        assert all((card.title, card.range, card.silence, card.formula, card.source))


def test_without_an_encoder_it_has_cards_and_refuses_in_words():
    family = clap_score_family(None)

    assert isinstance(family, MetricFamily)
    assert len(family.cards) == 2
    with pytest.raises(
        MissingNetworkError, match=r"clapscore needs a CLAP encoder.*bench weights pull clap"
    ) as refusal:
        family.score(scene(item(tone(1, 0), text="0")), frozenset({"clapscore"}))
    assert isinstance(refusal.value, UsageError)
    assert refusal.value.exit_code == 2


# --- SQUIM --------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A torch.hub folder of its own, and no network kept from another test."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    squim_module._network.cache_clear()
    yield tmp_path
    squim_module._network.cache_clear()


@pytest.fixture
def network(monkeypatch, hub):
    """A stand-in for the network: it hands back what it was given, as three numbers."""
    seen = []

    def guess(waveforms):
        seen.append(waveforms)
        return [torch.tensor([value]) for value in (0.9, 3.5, 12.0)]

    monkeypatch.setattr(squim_module.Squim, "require", lambda self, wanted: guess)
    return seen


def speech(samples=4000, gain=0.1, channels=1):
    rng = np.random.default_rng(0)
    return (gain * rng.standard_normal((channels, samples))).astype(np.float32)


def test_squim_refuses_in_words_where_its_weights_are_absent_and_fetches_nothing(hub, monkeypatch):
    monkeypatch.setattr("torchaudio.utils._download_asset", lambda *a, **k: pytest.fail("download"))

    with pytest.raises(
        MissingNetworkError, match=rf"squim_pesq needs.*{WEIGHTS}.*not at"
    ) as refusal:
        SQUIM.score(scene(item(speech())), frozenset({"squim_pesq"}))

    assert str(weights_path()) in str(refusal.value)
    assert "SQUIM_OBJECTIVE" in str(refusal.value)
    assert list(hub.iterdir()) == []


def test_a_file_that_holds_no_weights_is_refused(hub):
    weights_path().parent.mkdir(parents=True)
    weights_path().write_bytes(b"not weights")

    with pytest.raises(MissingNetworkError, match=r"cannot be used .*Delete the file"):
        SQUIM.require(SQUIM_IDS)


def test_weights_on_disk_are_read_into_torchaudios_network(hub):
    from torchaudio.models import squim_objective_base

    torch.manual_seed(0)
    weights_path().parent.mkdir(parents=True)
    network = squim_objective_base().eval()
    torch.save(network.state_dict(), weights_path())
    estimate = speech(squim_module.SHORTEST, channels=2)

    (row,) = SQUIM.score(scene(item(estimate), rate=16000), SQUIM_IDS)

    mono = torch.from_numpy(estimate.mean(axis=0, keepdims=True))
    with torch.inference_mode():
        expected = [output.item() for output in network(mono)]
    assert list(row.values()) == pytest.approx(expected, abs=1e-4)
    assert 0 <= row["squim_stoi"] <= 1
    assert 1 <= row["squim_pesq"] <= 4.65


def test_one_pass_gives_the_wanted_ids(network):
    rows = SQUIM.score(scene(item(speech()), item(speech())), SQUIM_IDS - {"squim_pesq"})

    assert rows == [{"squim_stoi": pytest.approx(0.9), "squim_si_sdr": 12.0}] * 2
    assert len(network) == 2


def test_squim_gets_mono_float32_at_16_khz_of_any_level(network):
    SQUIM.score(scene(item(speech(9600, gain=1e-25, channels=2)), rate=48000), SQUIM_IDS)

    (waveform,) = network
    assert waveform.shape == (1, 3200)
    assert waveform.dtype == torch.float32
    assert waveform.square().mean().item() == pytest.approx(1.0, abs=1e-3)


def test_squim_needs_no_reference(network):
    (row,) = SQUIM.score(scene(item(speech(), reference=0 * speech())), SQUIM_IDS)

    assert all(isinstance(value, float) for value in row.values())


@pytest.mark.parametrize(
    ("estimate", "cause", "words"),
    [
        (0 * speech(), "estimate", "the estimate is mute"),
        (np.nan * speech(), "estimate", "the estimate holds NaN or infinite samples"),
        (speech(2303), "reference", "too short: 2303 samples at 16 kHz, SQUIM needs 2304"),
    ],
)
def test_squim_says_why_it_has_no_value(network, estimate, cause, words):
    (row,) = SQUIM.score(scene(item(estimate), rate=16000), SQUIM_IDS)

    assert set(row.values()) == {Undefined(cause=cause, reason=words)}
    assert network == []


def test_squim_is_in_the_catalog(network):
    (row,) = score_scene(scene(item(speech())), ["squim_pesq"])

    assert row == {"squim_pesq": 3.5}
