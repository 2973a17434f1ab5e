"""AudioSep's recipes at the published sizes, under CLAP and CLIP of filled weights.

Two steps on half-second cuts of the recordings that ship: nothing is learnt. What is asked with,
what moves, and what is written are tested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from sepbench_testkit.filled import fill_array, fill_state_dict
from sepbench_testkit.tokenizers import write_tokenizer

from sepbench.baselines.audiosep.layout import read_parts
from sepbench.baselines.audiosep.network import ResUNet30
from sepbench.baselines.audiosep.network_training import AudioSepTraining
from sepbench.baselines.encoders.clap import ClapAudio, ClapText
from sepbench.baselines.encoders.clip import ClipText
from sepbench.baselines.encoders.wav2clip import Wav2Clip
from sepbench.datasets.demo_set import Demo
from sepbench.harness.api.training import RecipeFacts, TrainingBatch
from sepbench.harness.cli import bench
from sepbench.harness.run.training import open_recipe
from sepbench.harness.run.weights import add
from sepbench.harness.training.curve import read_curve
from sepbench.harness.training.settings import resolve_training

pytestmark = pytest.mark.slow  # networks of the published sizes

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
RATE, DIMENSION = 32_000, 512
SHORT = (
    *("data.pool=queries", "data.train_folds=[]", "data.validation_folds=[]"),
    *("data.validation_share=0.3", "data.own_captions=false", "data.label_text=true"),
    *("data.seconds=0.5", "data.min_seconds=0.1", "batch_size=2", "max_steps=2"),
    *("validation_items=2", "optimiser.steps=[[0,1.0]]", "checkpoint_every=2", "log_every=1"),
    *("workers=0", "device=cpu"),
)


@dataclass
class Seen:
    """What the separator was trained with.

    Attributes:
        batches: of the steps.
        conditions: (B, 512) of each of them.
        start: a tensor of the separator before the first step.
        folder: of the training.
    """

    batches: list[TrainingBatch] = field(default_factory=list)
    conditions: list[torch.Tensor] = field(default_factory=list)
    start: torch.Tensor | None = None
    folder: Path = Path()

    @property
    def rows(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Text, sound, vector and condition of each example."""
        for batch, conditions in zip(self.batches, self.conditions, strict=True):
            yield from zip(batch.texts, batch.sound, batch.vectors, conditions, strict=True)


def bench_train(recipe: str, folder: Path, *settings: str) -> Seen:
    """`bench train RECIPE -d demo` for two steps."""
    seen = Seen(folder=folder)
    loss, forward = AudioSepTraining.loss, ResUNet30.forward

    def watched_loss(self: Any, batch: TrainingBatch) -> torch.Tensor:
        seen.batches.append(batch)
        return loss(self, batch)

    def watched_forward(self: Any, mixture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen.conditions.append(condition.detach().clone())
            if seen.start is None:
                seen.start = next(self.parameters()).detach().clone()
        return forward(self, mixture, condition)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AudioSepTraining, "loss", watched_loss)
        patch.setattr(ResUNet30, "forward", watched_forward)
        found = CliRunner().invoke(
            bench, ["train", recipe, "-d", "demo", "-o", str(folder), *SHORT, *settings]
        )
    assert found.exit_code == 0, found.output
    return seen


def losses(folder: Path) -> list[float]:
    rows = read_curve(folder / "curve.csv")
    return [float(value) for _, part, _, value in rows if part == "train"]


def moved(folder: Path) -> tuple[set[str], int]:
    """The parts of a checkpoint's state, and how many tensors its optimiser has."""
    held = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True, mmap=True)
    ((group,),) = (each["param_groups"] for each in held["optimizer_states"])
    return {".".join(name.split(".")[:2]) for name in held["state_dict"]}, len(group["params"])


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() < 1e-4)


def text_table(encoder: ClapText | ClipText, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Text -> its embedding, no two of them near each other."""
    encoder.load("cpu")
    unique = sorted(set(texts))
    table = dict(zip(unique, encoder.encode_text(unique), strict=True))
    assert not any(alike(table[a], table[b]) for a in unique for b in unique if a < b)
    return table


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """CLAP, CLIP's text tower and Wav2CLIP, filled and installed; CLAP's own tensors."""
    folder, files = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("downloaded")
    clap = fill_state_dict(GOLDEN / "clap" / "clap_state_dict.json", 1)
    tensors = {
        "clap": clap,
        "clip-vit-b32": _clip_text_tower(),
        "wav2clip": fill_state_dict(GOLDEN / "encoders" / "wav2clip" / "state_dict.json", 1),
    }
    tokenizers = {"roberta-base": "roberta", "clip-vit-b32-tokenizer": "clip"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPBENCH_WEIGHTS", str(folder))
        for name, state in tensors.items():
            torch.save(state, files / f"{name}.pt")
            assert not add(name, files / f"{name}.pt", link=True, other=True).failed
        for name, kind in tokenizers.items():
            assert not add(name, write_tokenizer(files / kind, kind), other=True).failed
        yield clap


def _clip_text_tower() -> dict[str, torch.Tensor]:
    """The text part of openai/clip-vit-base-patch32."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    with torch.device("meta"):
        model = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=DIMENSION))
    return {
        name: torch.from_numpy(fill_array(name, tuple(tensor.shape), 3))
        for name, tensor in model.named_parameters()
    }


@pytest.fixture(scope="module")
def asked_with_texts(
    weights: Mapping[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    """The recipe's own way of asking, with a validation."""
    return bench_train("audiosep", tmp_path_factory.mktemp("audiosep"), "validate_every=2")


def test_audiosep_is_asked_with_the_embeddings_that_clap_gives_for_the_texts(
    asked_with_texts: Seen,
) -> None:
    rows = list(asked_with_texts.rows)
    table = text_table(ClapText(), [text for text, *_ in rows])

    assert len(rows) == 2 * 2
    assert len(table) > 1
    assert all(alike(condition, table[text]) for text, _, _, condition in rows)


def test_audiosep_moves_the_separator_alone(asked_with_texts: Seen) -> None:
    parts, count = moved(asked_with_texts.folder)
    held = torch.load(asked_with_texts.folder / "audiosep.ckpt", weights_only=True, mmap=True)
    separator = [name for name, _ in ResUNet30().named_parameters()]
    name = separator[0]

    assert parts == {"trainee.network"}
    assert count == len(separator)
    assert asked_with_texts.start is not None
    assert not torch.equal(held["state_dict"][f"ss_model.{name}"], asked_with_texts.start)


def test_audiosep_writes_the_clap_that_it_began_with(
    asked_with_texts: Seen, weights: Mapping[str, torch.Tensor]
) -> None:
    encoder = read_parts(asked_with_texts.folder / "audiosep.ckpt").encoder

    assert encoder.keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.items())


def test_audiosep_leaves_losses_and_scores_that_are_numbers(asked_with_texts: Seen) -> None:
    record = json.loads((asked_with_texts.folder / "training.json").read_text("utf-8"))

    assert record["steps"] == record["best"]["step"] == 2
    assert len(losses(asked_with_texts.folder)) == 2
    assert all(map(math.isfinite, [*losses(asked_with_texts.folder), *record["best"].values()]))


def test_bench_weights_takes_an_audiosep_that_was_trained(
    asked_with_texts: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    added = add("audiosep-clap", asked_with_texts.folder / "audiosep.ckpt", link=True, other=True)

    assert not added.failed
    assert added.detail.startswith("AudioSep, ")


def test_audiosep_asked_with_sounds_too_takes_the_embeddings_that_clap_gives_for_them(
    weights: Mapping[str, torch.Tensor], tmp_path: Path
) -> None:
    seen = bench_train("audiosep", tmp_path, "network.text_ratio=0.4", "validate_every=9")

    rows = list(seen.rows)
    table = text_table(ClapText(), [text for text, *_ in rows])
    hears = ClapAudio()
    hears.load("cpu")
    others = [(sound, cond) for text, sound, _, cond in rows if not alike(cond, table[text])]
    heard = hears.encode_audio([sound for sound, _ in others], sample_rate=RATE)
    assert 0 < len(others) < len(rows)
    assert all(alike(cond, sound) for (_, cond), sound in zip(others, heard, strict=True))
    assert all(map(math.isfinite, losses(tmp_path)))
    encoder = read_parts(tmp_path / "audiosep.ckpt").encoder
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.items())
    assert moved(tmp_path)[0] == {"trainee.network"}


def test_audiosep_clip_is_asked_with_the_embeddings_that_clip_gives_for_the_texts(
    weights: Mapping[str, torch.Tensor], tmp_path: Path
) -> None:
    seen = bench_train("audiosep-clip", tmp_path, "validate_every=9")

    rows = list(seen.rows)
    table = text_table(ClipText(), [text for text, *_ in rows])
    parts = read_parts(tmp_path / "audiosep_clip.ckpt")
    assert len(rows) == 2 * 2
    assert all(alike(condition, table[text]) for text, _, _, condition in rows)
    assert all(map(math.isfinite, losses(tmp_path)))
    assert moved(tmp_path)[0] == {"trainee.network"}
    assert not parts.encoder
    assert not add("audiosep-clip", tmp_path / "audiosep_clip.ckpt", other=True).failed


def test_audiosep_clip_learns_from_vectors_texts_and_sounds(
    weights: Mapping[str, torch.Tensor], tmp_path: Path
) -> None:
    clips = Demo().clips("queries")
    vectors = {clip.clip_id: torch.from_numpy(_vector(clip.clip_id)) for clip in clips}
    labels = {clip.clip_id: clip.labels[0].replace("_", " ") for clip in clips}
    save_file(vectors, tmp_path / "vectors.safetensors")

    seen = bench_train(
        "audiosep-clip",
        tmp_path / "made",
        *("network.text_ratio=0.4", "network.vector_ratio=0.5", "validate_every=9"),
        *(f"data.vectors={tmp_path / 'vectors.safetensors'}", "batch_size=4"),
    )

    rows = list(seen.rows)
    table = text_table(ClipText(), [text for text, *_ in rows])
    hears = Wav2Clip()
    hears.load("cpu")
    ways = []
    for text, sound, vector, condition in rows:
        (clip_id,) = (name for name, known in vectors.items() if torch.equal(known, vector))
        assert labels[clip_id] == text  # the target's own
        heard = hears.encode_audio([_at(sound, hears.card.sample_rate)])[0]
        asked = {"text": table[text], "vector": vector, "sound": heard}
        ways += [way for way, given in asked.items() if alike(condition, given / given.norm())]
    assert len(ways) == len(rows)
    assert set(ways) == {"text", "vector", "sound"}
    assert all(map(math.isfinite, losses(tmp_path / "made")))


def test_audiosep_clip_that_hears_nothing_needs_no_encoder_of_sounds(
    weights: Mapping[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wav2Clip, "load", lambda *_: pytest.fail("Wav2CLIP was read"))
    settings = resolve_training(
        "audiosep-clip", overrides=["network.text_ratio=0.0", "network.vector_ratio=1.0"]
    )
    facts = RecipeFacts(
        classes=(), labelled=False, texts=(), vector=DIMENSION, sample_rate=RATE, segment=RATE
    )

    network = open_recipe(settings).network(facts)

    assert len(list(network.parameters())) == len(list(ResUNet30().parameters()))


def _vector(clip_id: str) -> Any:
    """An embedding, not of length 1."""
    return 3.0 * fill_array(f"{clip_id}.bias", (DIMENSION,), 5)


def _at(sound: torch.Tensor, rate: int | None) -> torch.Tensor:
    from torchaudio.functional import resample

    assert rate is not None
    return resample(sound, RATE, rate)
