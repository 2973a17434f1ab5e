"""LASS-Net's recipe at its published sizes: BERT's word pieces, and BERT-mini to begin with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from sepbench_testkit.filled import fill_array
from sepbench_testkit.tokenizers import write_tokenizer

from sepbench.baselines.encoders.bert import COMPUTED, build_bert_mini
from sepbench.baselines.lassnet.layout import read_state
from sepbench.baselines.lassnet.network_text import TextEmbedder
from sepbench.harness.api.training import RecipeFacts
from sepbench.harness.cli import bench
from sepbench.harness.errors import CheckpointError
from sepbench.harness.run.training import open_recipe
from sepbench.harness.run.weights import add
from sepbench.harness.training.curve import read_curve
from sepbench.harness.training.settings import resolve_training

pytestmark = pytest.mark.slow  # 63 M parameters

BERT = "text_embedder.bert_layer."
RATE = 3e-4
FIRST = 101
PIECES = {"a": 104, "dog": 105, "bark": 106, "rain": 108, "falling": 109}  # the test kit's
SHORT = (
    *("data.pool=queries", "data.train_folds=[]", "data.validation_folds=[]"),
    *("data.validation_share=0.4", "data.own_captions=false", "data.captions=mine.csv"),
    *("data.labels=[dog,rain]", "data.seconds=0.5", "data.min_seconds=0.1", "batch_size=2"),
    *("max_steps=1", "validate_every=1", "validation_items=2", "checkpoint_every=1"),
    *("log_every=1", "workers=0", "device=cpu", f"optimiser.rate={RATE}"),
)
CAPTIONS = "label,caption\ndog,A dog bark.\nrain,Rain falling\n"


@dataclass
class Trained:
    """A training of one step.

    Attributes:
        folder: of it.
        begun: tensors of BERT-mini's file.
        tokens: ids and masks that the text encoder was given in the step.
    """

    folder: Path
    begun: dict[str, torch.Tensor]
    tokens: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)


def bert_mini() -> dict[str, torch.Tensor]:
    """The tensors of the hub's file: BERT-mini's, and what a masked language model has besides."""
    names = {n: t for n, t in build_bert_mini().state_dict().items() if n not in COMPUTED}
    names |= {"pooler.dense.weight": torch.empty(256, 256)}
    held = {
        f"bert.{name}": torch.from_numpy(fill_array(name, tuple(tensor.shape), 7))
        for name, tensor in names.items()
    }
    return held | {"cls.predictions.bias": torch.zeros(30_522)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """BERT-mini's file; BERT's tokenizer is installed."""
    folder = tmp_path_factory.mktemp("bert")
    torch.save(bert_mini(), folder / "pytorch_model.bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPBENCH_WEIGHTS", str(folder / "weights"))
        tokenizer = write_tokenizer(folder / "bert-base-uncased", "bert")
        assert not add("bert-base-uncased", tokenizer, other=True).failed
        yield folder / "pytorch_model.bin"


@pytest.fixture(scope="module")
def trained(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`bench train lassnet`, one step."""
    folder = tmp_path_factory.mktemp("lassnet")
    (folder / "mine.csv").write_text(CAPTIONS)
    begun = {
        name.removeprefix("bert."): tensor
        for name, tensor in torch.load(weights, weights_only=True).items()
        if name.startswith("bert.") and "pooler" not in name
    }
    made = Trained(folder=folder / "made", begun=begun)
    forward = TextEmbedder.forward

    def watched(self: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.training:
            made.tokens.append((ids.clone(), mask.clone()))
        return forward(self, ids, mask)

    settings = (*SHORT, f"network.text_checkpoint={weights}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextEmbedder, "forward", watched)
        patch.chdir(folder)
        found = CliRunner().invoke(
            bench, ["train", "lassnet", "-d", "demo", "-o", "made", *settings]
        )
    assert found.exit_code == 0, found.output
    return made


def test_lassnet_is_asked_with_berts_pieces_of_the_caption_in_lower_case_without_its_stop(
    trained: Trained,
) -> None:
    dog = [FIRST, PIECES["a"], PIECES["dog"], PIECES["bark"]]
    rain = [FIRST, PIECES["rain"], PIECES["falling"]]

    ((ids, mask),) = trained.tokens
    rows = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]

    assert len(rows) == 2
    assert dog in rows  # as the seed draws it
    assert all(row in (dog, rain) for row in rows)


def test_the_text_encoder_begins_with_its_checkpoint_and_learns(trained: Trained) -> None:
    state = read_state(trained.folder / "LASSNet.pt")
    held = {n.removeprefix(BERT): t for n, t in state.items() if n.startswith(BERT)}

    steps = {name: (held[name] - tensor).abs().max() for name, tensor in trained.begun.items()}

    assert len(steps) > 60
    # Adam's first step is the rate, or nothing where a tensor has no gradient.
    assert max(steps.values()) == pytest.approx(RATE, rel=0.01)
    assert min(steps["encoder.layer.0.output.dense.weight"], steps["embeddings.LayerNorm.bias"]) > 0
    dog, other = PIECES["dog"], 20_000
    words = held["embeddings.word_embeddings.weight"]
    begun = trained.begun["embeddings.word_embeddings.weight"]
    assert not torch.equal(words[dog], begun[dog])
    assert torch.equal(words[other], begun[other])


def test_lassnet_leaves_a_loss_and_scores_that_are_numbers(trained: Trained) -> None:
    record = json.loads((trained.folder / "training.json").read_text("utf-8"))
    values = [float(value) for _, _, _, value in read_curve(trained.folder / "curve.csv")]

    assert record["steps"] == record["best"]["step"] == 1
    assert len(values) > 2
    assert all(map(math.isfinite, values))


def test_bench_weights_takes_a_lassnet_that_was_trained(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path))

    added = add("lassnet", trained.folder / "LASSNet.pt", link=True, other=True)

    assert not added.failed
    assert added.detail.startswith("LASS-Net with its BERT-mini, 63.4 M parameters")


def test_the_text_encoder_of_a_lassnet_can_be_begun_with_too(trained: Trained) -> None:
    file = trained.folder / "LASSNet.pt"

    network: Any = _network(text_checkpoint=str(file))

    state = read_state(file)
    begun = network.network.text_embedder.bert_layer.state_dict()
    named = {name: tensor for name, tensor in begun.items() if name not in COMPUTED}
    assert named
    assert all(torch.equal(tensor, state[BERT + name]) for name, tensor in named.items())


def test_a_file_that_holds_no_bert_mini_is_refused(weights: Path, tmp_path: Path) -> None:
    torch.save({"bert.embeddings.LayerNorm.bias": torch.zeros(256)}, tmp_path / "other.bin")

    with pytest.raises(CheckpointError, match=r"other\.bin for BERT-mini"):
        _network(text_checkpoint=str(tmp_path / "other.bin"))


def test_lassnet_draws_its_text_encoder_where_no_checkpoint_is_named(weights: Path) -> None:
    network: Any = _network()

    words = network.network.text_embedder.bert_layer.embeddings.word_embeddings.weight
    # BERT's own way of drawing: a normal distribution of standard deviation 0.02.
    assert float(words.detach().std()) == pytest.approx(0.02, rel=0.02)


def _network(**settings: str) -> torch.nn.Module:
    resolved = resolve_training(
        "lassnet", overrides=[f"network.{key}={value}" for key, value in settings.items()]
    )
    facts = RecipeFacts(
        classes=(), labelled=False, texts=("a dog",), vector=0, sample_rate=32_000, segment=32_000
    )
    return open_recipe(resolved).network(facts)
