"""Tokenizers: those of the network open, anything else is refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from sepbench.baselines.encoders.tokenizers import (
    check_bert,
    check_clip,
    check_roberta,
    open_tokenizer,
    to_tokens,
)
from sepbench.baselines.weights import WEIGHTS
from sepbench.harness.errors import CheckpointError, MissingWeightsError, QueryError

MakeTokenizer = Callable[..., Path]
SMALL = {"roberta-base": 300, "bert-base-uncased": 20, "clip-vit-b32-tokenizer": 600}


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty weights folder and hub cache; gives the folder above both."""
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


# --- opening --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "ids"),
    [
        ("roberta", "roberta-base", [0, 68, 224, 261, 2]),
        ("bert", "bert-base-uncased", [2, 5, 6, 3]),
        ("clip", "clip-vit-b32-tokenizer", [598, 320, 513, 599]),
    ],
)
def test_plain_files_are_enough(
    make_tokenizer: MakeTokenizer, kind: str, name: str, ids: list[int]
) -> None:
    folder = make_tokenizer(kind, SMALL[name])

    tokenizer = open_tokenizer(folder, name=name, vocabulary=SMALL[name])

    assert tokenizer(["a dog"])["input_ids"][0] == ids


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("roberta", "roberta-base"),
        ("bert", "bert-base-uncased"),
        ("clip", "clip-vit-b32-tokenizer"),
    ],
)
def test_the_single_file_of_the_hub_is_enough(
    make_tokenizer: MakeTokenizer, tmp_path: Path, kind: str, name: str
) -> None:
    plain = open_tokenizer(make_tokenizer(kind, SMALL[name]), name=name, vocabulary=SMALL[name])
    plain.save_pretrained(tmp_path / "saved")
    (tmp_path / "single").mkdir()
    (tmp_path / "saved" / "tokenizer.json").rename(tmp_path / "single" / "tokenizer.json")

    single = open_tokenizer(tmp_path / "single", name=name, vocabulary=SMALL[name])

    texts = ["a dog barks", "rain"]
    assert single(texts)["input_ids"] == plain(texts)["input_ids"]


def test_bert_reads_letters_in_lower_case(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = open_tokenizer(make_tokenizer("bert", 20), name="bert-base-uncased", vocabulary=20)

    ids = tokenizer(["[CLS] A Dog barks"], add_special_tokens=False)["input_ids"]

    assert ids == [[2, 5, 6, 7, 8]]


def test_the_installed_one_is_found(make_tokenizer: MakeTokenizer, nothing_installed: Path) -> None:
    make_tokenizer("roberta", 300, nothing_installed / "weights" / "roberta-base")

    tokenizer = open_tokenizer(None, name="roberta-base", vocabulary=300)

    assert len(tokenizer) == 300


def test_the_pinned_revision_in_the_hubs_cache_is_found(
    make_tokenizer: MakeTokenizer, nothing_installed: Path
) -> None:
    revision = WEIGHTS["roberta-base"].revision
    snapshots = nothing_installed / "hub" / "models--FacebookAI--roberta-base" / "snapshots"
    make_tokenizer("roberta", 300, snapshots / revision)

    tokenizer = open_tokenizer(None, name="roberta-base", vocabulary=300)

    assert len(tokenizer) == 300


def test_another_revision_in_the_hubs_cache_is_left_alone(
    make_tokenizer: MakeTokenizer, nothing_installed: Path
) -> None:
    snapshots = nothing_installed / "hub" / "models--FacebookAI--roberta-base" / "snapshots"
    make_tokenizer("roberta", 300, snapshots / ("0" * 40))

    with pytest.raises(MissingWeightsError, match="bench weights pull roberta-base"):
        open_tokenizer(None, name="roberta-base", vocabulary=300)


# --- refusals -------------------------------------------------------------------------------


def test_the_silent_tokenizer_of_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"holds no tokenizer: RoBERTa's byte pairs are"):
        open_tokenizer(tmp_path, name="roberta-base", vocabulary=50_265)


def test_a_vocabulary_without_merges_is_no_tokenizer(make_tokenizer: MakeTokenizer) -> None:
    folder = make_tokenizer("roberta", 300)
    (folder / "merges.txt").unlink()

    with pytest.raises(CheckpointError, match=r"tokenizer\.json or vocab\.json with merges\.txt"):
        open_tokenizer(folder, name="roberta-base", vocabulary=300)


@pytest.mark.parametrize(("size", "vocabulary"), [(300, 50_265), (301, 300), (299, 300)])
def test_another_number_of_entries_is_refused(
    make_tokenizer: MakeTokenizer, size: int, vocabulary: int
) -> None:
    folder = make_tokenizer("roberta", size)

    with pytest.raises(CheckpointError) as raised:
        open_tokenizer(folder, name="roberta-base", vocabulary=vocabulary)

    assert f"has {size} entries, and the network knows {vocabulary}" in str(raised.value)
    assert "bench weights pull roberta-base" in str(raised.value)


def test_padding_under_another_id_is_refused(make_tokenizer: MakeTokenizer) -> None:
    folder = make_tokenizer("roberta", 300)
    table = json.loads((folder / "vocab.json").read_text("utf-8"))
    table["<s>"], table["<pad>"] = table["<pad>"], table["<s>"]
    (folder / "vocab.json").write_text(json.dumps(table), "utf-8")

    with pytest.raises(CheckpointError, match="has '<s>' at id 1, and the network expects 0"):
        open_tokenizer(folder, name="roberta-base", vocabulary=300)


def test_clip_with_another_last_token_is_refused(make_tokenizer: MakeTokenizer) -> None:
    folder = make_tokenizer("clip", 600)
    table = json.loads((folder / "vocab.json").read_text("utf-8"))
    table["<|endoftext|>"], table["w0"] = table["w0"], table["<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps(table), "utf-8")

    with pytest.raises(CheckpointError, match=r"has '<\|endoftext\|>' at id 514"):
        open_tokenizer(folder, name="clip-vit-b32-tokenizer", vocabulary=600)


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"model": {"type": "none"}}'])
def test_a_damaged_file_is_refused(tmp_path: Path, contents: str) -> None:
    (tmp_path / "tokenizer.json").write_text(contents)

    with pytest.raises(CheckpointError, match=r"holds a tokenizer that cannot be read|entries"):
        open_tokenizer(tmp_path, name="bert-base-uncased", vocabulary=20)


def test_a_tokenizer_that_is_nowhere_is_said_with_what_to_do(nothing_installed: Path) -> None:
    with pytest.raises(MissingWeightsError, match="bench weights pull bert-base-uncased"):
        open_tokenizer(None, name="bert-base-uncased", vocabulary=30_522)


# --- tokens ---------------------------------------------------------------------------------


def test_texts_are_padded_to_the_longest_among_them(make_tokenizer: MakeTokenizer) -> None:
    folder = make_tokenizer("roberta", 300)
    tokenizer = open_tokenizer(folder, name="roberta-base", vocabulary=300)

    ids, mask = to_tokens(tokenizer, ["dog", "a dog"], longest=512, asked_by="enc")

    assert ids.tolist() == [[0, 261, 2, 1, 1], [0, 68, 224, 261, 2]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_long_texts_are_cut_and_keep_their_closing_token(make_tokenizer: MakeTokenizer) -> None:
    folder = make_tokenizer("roberta", 300)
    tokenizer = open_tokenizer(folder, name="roberta-base", vocabulary=300)

    ids, mask = to_tokens(tokenizer, ["dog" * 600], longest=512, asked_by="enc")

    assert ids.tolist() == [[0, *[261] * 510, 2]]
    assert mask.sum() == 512


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_a_text_without_words_is_refused(make_tokenizer: MakeTokenizer, empty: str) -> None:
    folder = make_tokenizer("bert", 20)
    tokenizer = open_tokenizer(folder, name="bert-base-uncased", vocabulary=20)

    with pytest.raises(QueryError, match=r"enc: text 2 of 2 is empty"):
        to_tokens(tokenizer, ["a dog", empty], longest=512, asked_by="enc")


# --- bench weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "size", "check", "words"),
    [
        ("roberta", 50_265, check_roberta, "RoBERTa's byte pairs, 50265 entries"),
        ("bert", 30_522, check_bert, "BERT's word pieces in lower case, 30522 entries"),
        ("clip", 49_408, check_clip, "CLIP's byte pairs, 49408 entries"),
    ],
)
def test_a_folder_is_checked_for_its_published_size(
    make_tokenizer: MakeTokenizer,
    tmp_path: Path,
    kind: str,
    size: int,
    check: Callable[[Path], str],
    words: str,
) -> None:
    whole = make_tokenizer(kind, size)
    short = make_tokenizer(kind, size - 1, tmp_path / "short")

    assert check(whole) == words
    with pytest.raises(CheckpointError, match=f"has {size - 1} entries"):
        check(short)
