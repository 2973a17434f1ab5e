"""Tokenizers of any vocabulary size, as the plain files that published ones come in."""

from __future__ import annotations

import json
from pathlib import Path

SIZES = {"bert": 30_522, "roberta": 50_265, "clip": 49_408}


def write_tokenizer(folder: Path, kind: str, size: int | None = None) -> Path:
    """Write the files of one; most entries are made-up words.

    Args:
        folder: made if it does not exist.
        kind: bert, roberta or clip.
        size: entries; None for what the published one has.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    size = size or SIZES[kind]
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bert":
        words = _bert_words(size)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
        return folder
    letters = sorted(ByteLevel.alphabet())
    first, last, ending = ["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"], ""
    if kind == "clip":
        first, last, ending = [], ["<|startoftext|>", "<|endoftext|>"], "</w>"
    pairs = [*letters, *(letter + ending for letter in letters if ending), "do", f"dog{ending}"]
    rest = [f"w{number}" for number in range(size - len(first) - len(pairs) - len(last))]
    entries = [*first, *pairs, *rest, *last]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\nd o\ndo g{ending}\n", "utf-8")
    return folder


def _bert_words(size: int) -> list[str]:
    """The special tokens at the ids that BERT's vocabulary gives them, where there is room."""
    words = ["[PAD]", *(f"[unused{number}]" for number in range(99))] if size > 200 else ["[PAD]"]
    words += ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "bark", "##s", "rain", "falling"]
    return words + [f"w{number}" for number in range(size - len(words))]
