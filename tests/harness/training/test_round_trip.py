"""What a training writes, the adapters read: the same network, the same estimates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sepbench.baselines.audiosep.layout import build_network, read_parts
from sepbench.baselines.audiosep.network import ResUNet30
from sepbench.baselines.audiosep.network_training import published_state
from sepbench.baselines.encoders.log_mel import PANNS
from sepbench.baselines.lassnet import layout as lassnet_layout
from sepbench.baselines.lassnet.network import LassNetwork
from sepbench.baselines.lassnet.network_training import published_state as lassnet_state
from sepbench.baselines.small.encoders import ContrastiveAudio, ContrastiveText
from sepbench.baselines.stsed.layout import read_state, separator_of
from sepbench.baselines.stsed.network_sed import DetectorConfig, build_detector
from sepbench.baselines.stsed.network_separator import Separator
from sepbench.baselines.stsed.published import front_end, published_detector, window_mask
from sepbench.baselines.weights import entry_of, install
from sepbench.harness.api import Example, Query
from sepbench.harness.api.training import RecipeFacts, TrainingBatch
from sepbench.harness.errors import BaselineLoadError, MissingWeightsError, QueryError, SettingError
from sepbench.harness.run.python_api import load_baseline
from sepbench.harness.run.smoke import run_smoke, smoke_settings
from sepbench.harness.run.training import open_recipe
from sepbench.harness.training.settings import TrainSettings, with_changes

RATE, LENGTH = 16_000, 16_000
CLASSES = ("dog", "rain", "sea_waves", "sneezing")
TEXTS = ("a dog barks", "it is raining", "sea waves", "a loud sneeze")


def facts(sample_rate: int = RATE) -> RecipeFacts:
    return RecipeFacts(
        classes=CLASSES,
        labelled=True,
        texts=TEXTS,
        vector=0,
        sample_rate=sample_rate,
        segment=max(LENGTH, sample_rate),
    )


def batch() -> TrainingBatch:
    generator = torch.Generator().manual_seed(3)
    sounds = 0.1 * torch.randn(4, LENGTH, generator=generator)
    return TrainingBatch(
        mixture=sounds + sounds.flip(0),
        target=sounds,
        sound=sounds,
        texts=list(TEXTS),
        tags=torch.eye(4),
        asked=torch.arange(4),
        vectors=torch.zeros(4, 0),
    )


def written(settings: TrainSettings, folder: Path, rate: int = RATE) -> tuple[Any, Path]:
    """A network as drawn, rounded as its file rounds it, and the file."""
    torch.manual_seed(2)
    recipe = open_recipe(settings)
    trainee: Any = recipe.network(facts(rate))
    trainee.eval()
    folder.mkdir(exist_ok=True)
    files = recipe.write(trainee, folder, {"seed": 2})
    for part in (trainee, *_frozen(trainee)):
        state = part.state_dict()
        part.load_state_dict(
            {n: v.half().float() if v.is_floating_point() else v for n, v in state.items()}
        )
    return trainee, files[0]


def _frozen(trainee: Any) -> list[Any]:
    """Query encoders that are no part of the state."""
    found = [getattr(trainee, "detector", None), getattr(trainee, "_encoder", None)]
    return [getattr(part, "pair", part) for part in found if part is not None]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return written(smoke_settings("contrastive"), tmp_path / "pair")[1]


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    settings = with_changes(smoke_settings("stsed-sed"), {"network.detector": "cnn14"})
    return written(settings, tmp_path / "detector")[1]


def compare(model: Any, trainee: Any, queries: list[Query]) -> float:
    """Furthest distance of the adapter's estimates from the training's."""
    here = batch()
    with torch.no_grad():
        expected = trainee.estimates(here)
    conditions = torch.stack(list(model.condition(queries)))
    estimates = model.separate(here.mixture[:, None], conditions)[:, 0]
    return float((estimates - expected).abs().max())


def test_lassnet_small_asked_with_texts(tmp_path: Path) -> None:
    trainee, file = written(smoke_settings("lassnet"), tmp_path / "made")

    model = load_baseline("lassnet-small", checkpoint=str(file))

    assert compare(model, trainee, [Query(text=text) for text in TEXTS]) < 1e-4
    assert len(model.condition([Query(label="sea_waves")])) == 1
    with pytest.raises(QueryError, match="of the text 'violin' no word is known"):
        model.condition([Query(text="violin")])


def test_unet_tag_small_asked_with_labels(tmp_path: Path) -> None:
    trainee, file = written(smoke_settings("unet-tag"), tmp_path / "made")

    model = load_baseline("unet-tag-small", checkpoint=str(file))

    assert compare(model, trainee, [Query(label=name) for name in CLASSES]) < 1e-4
    with pytest.raises(QueryError, match=r"does not know the class 'rains'\. Did you mean 'rain'"):
        model.condition([Query(label="rains")])
    with pytest.raises(
        BaselineLoadError,
        match=r"unet-tag works at 32000 Hz.*trained at 16000 Hz\..*…-small read networks of 16000",
    ):
        load_baseline("unet-tag", checkpoint=str(file))


def test_audiosep_small_asked_with_texts_and_with_sounds(tmp_path: Path, pair: Path) -> None:
    named = {"network.encoder_checkpoint": str(pair)}
    texts = with_changes(smoke_settings("audiosep"), {**named, "network.text_ratio": 1.0})
    sounds = with_changes(smoke_settings("audiosep"), {**named, "network.text_ratio": 0.0})
    asked, file = written(texts, tmp_path / "made")
    heard, _ = written(sounds, tmp_path / "other")
    heard.load_state_dict(asked.state_dict())

    model = load_baseline("audiosep-small", checkpoint=str(file))

    examples = [
        Query(examples=(Example(clip_id=str(k), waveform=sound[None], sample_rate=RATE),))
        for k, sound in enumerate(batch().sound)
    ]
    assert compare(model, asked, [Query(text=text) for text in TEXTS]) < 1e-4
    assert compare(model, heard, examples) < 1e-4


def test_stsed_small_asked_with_examples(tmp_path: Path, detector: Path) -> None:
    changes = {"network.detector_checkpoint": str(detector), "network.detector": "cnn14"}
    trainee, file = written(with_changes(smoke_settings("stsed"), changes), tmp_path / "made")

    model = load_baseline("stsed-small", checkpoint=str(file))

    examples = [
        Query(examples=(Example(clip_id=str(k), waveform=sound[None], sample_rate=RATE),))
        for k, sound in enumerate(batch().sound)
    ]
    silent = Example(clip_id="s", waveform=torch.zeros(1, LENGTH), sample_rate=RATE)
    assert compare(model, trainee, examples) < 1e-4
    with pytest.raises(QueryError, match="nothing can be heard in s"):
        model.condition([Query(examples=(silent,))])


def test_several_examples_make_one_query_of_stsed_small(tmp_path: Path, detector: Path) -> None:
    changes = {"network.detector_checkpoint": str(detector), "network.detector": "cnn14"}
    _, file = written(with_changes(smoke_settings("stsed"), changes), tmp_path / "made")
    model = load_baseline("stsed-small", checkpoint=str(file))
    shots = [
        Example(clip_id=str(k), waveform=s[None], sample_rate=RATE)
        for k, s in enumerate(batch().sound)
    ]

    (one,) = model.condition([Query(examples=tuple(shots))])
    each = model.condition([Query(examples=(shot,)) for shot in shots])

    torch.testing.assert_close(one, torch.stack(each).mean(0))


def test_networks_of_32_khz_have_baselines_of_their_own(tmp_path: Path) -> None:
    trainee, file = written(smoke_settings("lassnet"), tmp_path / "made", rate=32_000)

    model = load_baseline("lassnet-own", checkpoint=str(file))

    assert model.card.sample_rate == 32_000
    assert compare(model, trainee, [Query(text=text) for text in TEXTS]) < 1e-4
    with pytest.raises(BaselineLoadError, match=r"lassnet-small works at 16000 Hz.*at 32000 Hz"):
        load_baseline("lassnet-small", checkpoint=str(file))
    with pytest.raises(MissingWeightsError, match=r"no file given.*bench train lassnet, then"):
        load_baseline("lassnet-own")


def test_audiosep_own_and_its_encoders_hear_at_32_khz(tmp_path: Path) -> None:
    pair = written(smoke_settings("contrastive"), tmp_path / "pair", rate=32_000)[1]
    named = {"network.encoder_checkpoint": str(pair), "network.text_ratio": 0.0}
    trainee, file = written(
        with_changes(smoke_settings("audiosep"), named), tmp_path / "made", rate=32_000
    )

    model = load_baseline("audiosep-own", checkpoint=str(file))

    examples = [
        Query(examples=(Example(clip_id=str(k), waveform=sound[None], sample_rate=32_000),))
        for k, sound in enumerate(batch().sound)
    ]
    sounds = torch.cat([batch().sound, torch.zeros(4, 32_000 - LENGTH)], dim=1)  # as it is padded
    condition = torch.stack(list(model.condition(examples)))
    expected = trainee._encoder.hear(sounds)
    assert float((condition - expected).abs().max()) < 1e-5
    with pytest.raises(BaselineLoadError, match="audiosep-small works at 16000 Hz"):
        load_baseline("audiosep-small", checkpoint=str(file))


def test_the_encoders_of_a_pair_speak_of_themselves(tmp_path: Path) -> None:
    pair = written(smoke_settings("contrastive"), tmp_path / "pair", rate=32_000)[1]

    with pytest.raises(
        BaselineLoadError,
        match=r"^Encoder contrastive-audio works at 16000 Hz.*with data\.sample_rate=16000\.$",
    ):
        ContrastiveAudio(checkpoint=str(pair)).load("cpu")
    with pytest.raises(
        MissingWeightsError,
        match=r"^Encoder contrastive-text: there is no none\. Train it with: bench train "
        r"contrastive-small, then give encoders\.contrastive-text\.checkpoint=FILE",
    ):
        ContrastiveText(checkpoint="none").load("cpu")


@pytest.mark.parametrize("recipe", ["lassnet", "unet-tag", "contrastive", "stsed-sed"])
def test_a_rate_that_no_baseline_works_at_is_refused_before_the_training(recipe: str) -> None:
    opened = open_recipe(smoke_settings(recipe))

    with pytest.raises(SettingError, match=r"data\.sample_rate=44100.*16000 or 32000"):
        opened.network(facts(44_100))


def test_separators_take_the_rate_of_what_they_are_asked_through(
    tmp_path: Path, pair: Path, detector: Path
) -> None:
    asked = {
        "audiosep": {"network.encoder_checkpoint": str(pair)},
        "stsed": {"network.detector_checkpoint": str(detector), "network.detector": "cnn14"},
    }

    for recipe, named in asked.items():
        opened = open_recipe(with_changes(smoke_settings(recipe), named))
        with pytest.raises(SettingError, match=r"hears at 16000 Hz; give data\.sample_rate=16000"):
            opened.network(facts(44_100))


def test_a_separator_goes_with_its_own_detector(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the published sizes, but the detector knows other classes."""
    monkeypatch.setattr(
        "sepbench.baselines.stsed.network_separator.SeparatorConfig.__eq__", lambda *_: True
    )
    changes = {"network.detector_checkpoint": str(detector), "network.detector": "cnn14"}

    _, file = written(with_changes(smoke_settings("stsed"), changes), tmp_path / "made")

    assert file.name == "stsed.safetensors"


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        ("lassnet", {"network.text": "bert-mini"}, "takes network.text=words"),
        ("unet-tag", {}, "some clips have none"),
    ],
)
def test_what_could_not_be_written_or_asked_is_refused_before_the_training(
    recipe: str, change: dict[str, Any], words: str
) -> None:
    opened = open_recipe(with_changes(smoke_settings(recipe), change))

    with pytest.raises(SettingError, match=words):
        opened.network(replace(facts(), labelled=False))


def test_a_trained_cnn14_has_the_names_of_the_published_one() -> None:
    state = front_end(PANNS)

    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
        "logmel_extractor.melW": (513, 64),
    }


@pytest.mark.parametrize(
    "name", ["lassnet-small", "audiosep-small", "stsed-small", "unet-tag-small"]
)
def test_a_small_model_without_weights_says_how_to_make_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=f"Train it with: bench train {name}"):
        load_baseline(name, checkpoint=str(tmp_path / "none.safetensors"))


@pytest.mark.slow  # the published size, 63 M parameters
def test_bench_weights_takes_a_lassnet_that_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path / "weights"))
    network = LassNetwork()
    torch.save(lassnet_state(network), tmp_path / "LASSNet.pt")

    there = install(entry_of("lassnet"), tmp_path / "LASSNet.pt", origin="trained")

    held = torch.load(tmp_path / "LASSNet.pt", weights_only=True)["model"]
    read = lassnet_layout.network_of(lassnet_layout.read_state(there.path), "trained")
    assert len(held) == 696  # what the original's strict loader looks for
    assert all(torch.equal(a, b) for a, b in zip(*map(_tensors, (network, read)), strict=True))


@pytest.mark.slow  # the published size
def test_a_trained_audiosep_has_the_names_of_the_published_one(tmp_path: Path) -> None:
    network = ResUNet30()
    torch.save({"state_dict": published_state(network, {})}, tmp_path / "audiosep_clip.ckpt")

    parts = read_parts(tmp_path / "audiosep_clip.ckpt")
    read = build_network(parts.separator, what="trained")

    assert len(parts.separator) == 332  # what the original's strict loader looks for
    assert parts.separator["base.stft.conv_real.weight"].shape == (1025, 1, 2048)
    assert parts.separator["base.istft.conv_imag.weight"].shape == (2048, 2048, 1)
    assert all(torch.equal(a, b) for a, b in zip(*map(_tensors, (network, read)), strict=True))


@pytest.mark.slow  # the published size, 168 M parameters
def test_a_trained_separator_of_stsed_is_read_by_its_adapter(tmp_path: Path) -> None:
    network = Separator()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "zeroshot_asp.ckpt")

    read = separator_of(read_state(tmp_path / "zeroshot_asp.ckpt"), "trained")

    assert all(torch.equal(a, b) for a, b in zip(*map(_tensors, (network, read)), strict=True))


def test_a_trained_detector_has_all_names_of_the_published_one() -> None:
    detector = build_detector(DetectorConfig(embed=16))  # names do not depend on it

    state = published_detector(detector)["state_dict"]

    shapes = {name.removeprefix("sed_model."): tuple(t.shape) for name, t in state.items()}
    assert len(shapes) == 200
    assert shapes["layers.0.blocks.1.attn_mask"] == (64, 64, 64)
    assert shapes["layers.1.blocks.1.attn_mask"] == (16, 64, 64)
    assert shapes["layers.2.blocks.3.attn_mask"] == (4, 64, 64)
    assert shapes["layers.3.blocks.0.attn.relative_position_index"] == (64, 64)
    assert shapes["spectrogram_extractor.stft.conv_real.weight"] == (513, 1, 1024)
    assert shapes["logmel_extractor.melW"] == (513, 64)
    assert shapes["layers.0.blocks.0.attn.qkv.weight"] == (48, 16)
    assert shapes["bn0.weight"] == (64,)
    assert shapes["head.weight"] == (527, 527)


def test_regions_of_a_shifted_window_do_not_see_each_other() -> None:
    mask = window_mask(16)  # four windows

    assert not mask[0].any()  # inside of the image all are neighbours
    assert mask[3][0, 63] == -100  # its corners come from four sides
    assert {float(value) for value in mask.unique()} == {-100.0, 0.0}


def test_a_smoke_run_leaves_files_that_the_adapters_take(tmp_path: Path) -> None:
    file = run_smoke("stsed-small", folder=tmp_path).files[0]

    model = load_baseline("stsed-small", checkpoint=str(file))

    example = Example(clip_id="a", waveform=batch().sound[:1], sample_rate=RATE)
    condition = torch.stack(model.condition([Query(examples=(example,))]))
    estimate = model.separate(batch().mixture[:1, None], condition)
    assert estimate.shape == (1, 1, LENGTH)
    assert estimate.isfinite().all()


def _tensors(network: torch.nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())
