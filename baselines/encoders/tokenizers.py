"""Tokenizers from files on this machine, refused where they are not the network's own.

Without its files, transformers makes a tokenizer of a handful of special tokens and says nothing:
every text then becomes the same few tokens, and every score is wrong without an error. So the
vocabulary is counted, and the ids that a network relies on are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.weights import WEIGHTS, find_weights
from sepbench.harness.errors import CheckpointError, MissingWeightsError, QueryError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerKind:
    """What one of the known tokenizers is made of.

    Attributes:
        builder: class in transformers.
        words: for messages and for `bench weights`.
        files: the sets of files it can be read from, any one of them is enough.
        vocabulary: entries of the published one.
        ids: token -> the id the network expects it under.
        last: token that must have the highest id; "" for none.
    """

    builder: str
    words: str
    files: tuple[tuple[str, ...], ...]
    vocabulary: int
    ids: Mapping[str, int] = field(default_factory=dict)
    last: str = ""


_PAIRS = ("vocab.json", "merges.txt")
KINDS: Mapping[str, TokenizerKind] = {
    "roberta-base": TokenizerKind(
        builder="RobertaTokenizerFast",
        words="RoBERTa's byte pairs",
        files=(("tokenizer.json",), _PAIRS),
        vocabulary=50_265,
        # RoBERTa counts positions by what is not id 1, so another padding id shifts every text.
        ids={"<s>": 0, "<pad>": 1, "</s>": 2},
    ),
    "bert-base-uncased": TokenizerKind(
        builder="BertTokenizerFast",
        words="BERT's word pieces in lower case",
        files=(("tokenizer.json",), ("vocab.txt",)),
        vocabulary=30_522,
        ids={"[PAD]": 0},
    ),
    "clip-vit-b32-tokenizer": TokenizerKind(
        builder="CLIPTokenizerFast",
        words="CLIP's byte pairs",
        files=(("tokenizer.json",), _PAIRS),
        vocabulary=49_408,
        last="<|endoftext|>",  # CLIP reads its answer at the highest id
    ),
}


def open_tokenizer(source: str | Path | None, *, name: str, vocabulary: int) -> Any:
    """A tokenizer that fits a network. Nothing is downloaded, and no code in its files is run.

    Args:
        source: folder with the tokenizer's files; None for the installed entry of that name, or
            else the pinned revision in the hub's cache.
        name: entry of `KINDS`, which is also its name for `bench weights`.
        vocabulary: rows of the network's embedding table; the tokenizer must have as many.

    Returns:
        A transformers tokenizer that pads and truncates on the right.

    Raises:
        MissingWeightsError: no source given, and none on this machine; says how to get it.
        CheckpointError: the folder holds no tokenizer, a damaged one, or that of another network.
    """
    folder = _installed(name) if source is None else Path(source).expanduser()
    return _open(folder, name, vocabulary)


def to_tokens(
    tokenizer: Any, texts: Sequence[str], *, longest: int, asked_by: str
) -> tuple[Tensor, Tensor]:
    """Token ids and mask of texts, with the special tokens around them.

    Texts are padded to the longest among them, never to a fixed length, and cut after `longest`
    tokens, as the original encoders do; the closing token stays.

    Args:
        tokenizer: from `open_tokenizer`.
        texts: B of them.
        longest: most tokens the network takes.
        asked_by: the encoder's name, for messages.

    Returns:
        input_ids and attention_mask, both (B, L) int64.

    Raises:
        QueryError: a text without words.
    """
    refuse_empty(texts, asked_by)
    tokens = tokenizer(
        list(texts),
        padding="longest",
        truncation=True,
        max_length=longest,
        return_tensors="pt",
    )
    return tokens["input_ids"], tokens["attention_mask"]


def refuse_empty(texts: Sequence[str], asked_by: str) -> None:
    """Refuse texts that hold nothing but blanks.

    Raises:
        QueryError: says which one.
    """
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise QueryError(
                f"{asked_by}: text {number} of {len(texts)} is empty. Give every query a text."
            )


def check_roberta(path: Path) -> str:
    """One line about a folder with RoBERTa's tokenizer.

    Raises:
        CheckpointError: it holds another tokenizer, or none.
    """
    return _check(path, "roberta-base")


def check_bert(path: Path) -> str:
    """One line about a folder with BERT's tokenizer in lower case.

    Raises:
        CheckpointError: it holds another tokenizer, or none.
    """
    return _check(path, "bert-base-uncased")


def check_clip(path: Path) -> str:
    """One line about a folder with CLIP's tokenizer.

    Raises:
        CheckpointError: it holds another tokenizer, or none.
    """
    return _check(path, "clip-vit-b32-tokenizer")


def _check(path: Path, name: str) -> str:
    kind = KINDS[name]
    _open(Path(path), name, kind.vocabulary)
    return f"{kind.words}, {kind.vocabulary} entries"


def _installed(name: str) -> Path:
    """The installed folder, or the snapshot of the pinned revision in the hub's cache."""
    try:
        return find_weights(name)
    except MissingWeightsError:
        cached = _cached(name)
        if cached is None:
            raise
        return cached


def _cached(name: str) -> Path | None:
    """Where the hub's cache holds the pinned files; another revision may be another tokenizer."""
    from huggingface_hub import try_to_load_from_cache

    entry = WEIGHTS[name]
    for needed in KINDS[name].files:
        found = [
            try_to_load_from_cache(entry.repository, file, revision=entry.revision)
            for file in needed
        ]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0])).parent
    return None


def _open(folder: Path, name: str, vocabulary: int) -> Any:
    import transformers

    kind = KINDS[name]
    if not any(all((folder / file).is_file() for file in files) for files in kind.files):
        wanted = " or ".join(" with ".join(files) for files in kind.files)
        raise CheckpointError(
            f"{folder} holds no tokenizer: {kind.words} are {wanted}. {_remedy(name)}"
        )
    try:
        # A class by name, not the one the folder asks for; trust_remote_code stays off.
        tokenizer = getattr(transformers, kind.builder).from_pretrained(
            str(folder), local_files_only=True, padding_side="right", truncation_side="right"
        )
    except Exception as error:  # the Rust reader of tokenizer.json raises bare Exception
        raise CheckpointError(
            f"{folder} holds a tokenizer that cannot be read: {type(error).__name__}: {error}. "
            "Fetch its files again."
        ) from error
    _refuse_another(tokenizer, name, folder, vocabulary)
    return tokenizer


def _refuse_another(tokenizer: Any, name: str, folder: Path, vocabulary: int) -> None:
    """Refuse a tokenizer whose ids mean something else to the network.

    Raises:
        CheckpointError: says what is different.
    """
    kind = KINDS[name]
    if len(tokenizer) != vocabulary:
        raise CheckpointError(
            f"The tokenizer in {folder} has {len(tokenizer)} entries, and the network knows "
            f"{vocabulary}: it belongs to another network, or files are missing. "
            f"Needed: {kind.words}. {_remedy(name)}"
        )
    expected = {**kind.ids, **({kind.last: vocabulary - 1} if kind.last else {})}
    table = tokenizer.get_vocab()
    for token, number in expected.items():
        if table.get(token) != number:
            raise CheckpointError(
                f"The tokenizer in {folder} has '{token}' at id {table.get(token, 'none')}, and "
                f"the network expects {number}. Needed: {kind.words}. {_remedy(name)}"
            )


def _remedy(name: str) -> str:
    entry = WEIGHTS[name]
    return f"Get the files with: bench weights pull {name}, or from {entry.source} by hand."
