"""Two entries for the table of weights, small enough to be written by a test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sepbench.baselines.weights import WEIGHTS, WeightsEntry, WeightsFile, find_weights
from sepbench.harness.api import BaselineCard
from sepbench.harness.errors import CheckpointError
from sepbench_testkit.models import Half

PUBLISHED = b"net: weights"
VOCABULARY = "a\nb\n"


def check_net(path: Path) -> str:
    """As the check of a network: a line about it, or a refusal."""
    contents = path.read_bytes()
    if not contents.startswith(b"net: "):
        raise CheckpointError(f"{path} is made for another network.")
    return f"{len(contents)} bytes of net"


def check_tokens(folder: Path) -> str:
    """As the check of a tokenizer."""
    words = (folder / "vocab.txt").read_text("utf-8").split()
    if len(words) != 2:
        raise CheckpointError(f"{folder} holds {len(words)} entries, not 2.")
    return "2 entries"


TOKENS = WeightsEntry(
    name="tokens",
    summary="two letters",
    kind="tokenizer",
    files=(
        WeightsFile(path="tokenizer.json"),
        WeightsFile(path="vocab.txt", size=4, sha256=hashlib.sha256(b"a\nb\n").hexdigest()),
    ),
    check=f"{__name__}:check_tokens",
    repository="us/tokens",
    revision="abc",
)
NET = WeightsEntry(
    name="net",
    summary="a small net",
    kind="checkpoint",
    files=(WeightsFile(path="sub/net.bin", size=12, sha256=hashlib.sha256(PUBLISHED).hexdigest()),),
    check=f"{__name__}:check_net",
    repository="us/net",
    space=True,
    revision="abc",
    needs=("tokens",),
)
BY_HAND = WeightsEntry(
    name="lone",
    summary="on no hub",
    kind="checkpoint",
    files=(WeightsFile(path="lone.bin"),),
    check=f"{__name__}:check_net",
    by_hand="ask its author",
)


def own_weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The three entries in the table, and a weights folder of the test's own."""
    for entry in (NET, TOKENS, BY_HAND):
        monkeypatch.setitem(WEIGHTS, entry.name, entry)  # type: ignore[arg-type]  # a dict to us
    monkeypatch.setenv("SEPBENCH_WEIGHTS", str(folder))
    return folder


def tokenizer_folder(folder: Path) -> Path:
    """A folder that `check_tokens` accepts."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    (folder / "vocab.txt").write_text(VOCABULARY, "utf-8")
    return folder


class Weighted(Half):
    """As Half, but it does not load without its weights."""

    card = BaselineCard(name="weighted", query_kinds=("text", "label"))
    weights = {"checkpoint": "net", "tokenizer": "tokens"}  # noqa: RUF012 - read, never written

    def __init__(self, checkpoint: str | None = None, tokenizer: str | None = None) -> None:
        super().__init__()
        self.checkpoint, self.tokenizer = checkpoint, tokenizer

    def load(self, device: str) -> None:
        super().load(device)
        check_net(Path(self.checkpoint or find_weights("net")))
