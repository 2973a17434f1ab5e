"""One damaged version of some bytes, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# What parsers of text stumble over: quotes, ends of lines and files, ways out of a folder, numbers
# that are none, and what other tools would carry out.
WORDS = (
    *('"', "'", ",", ";", "\n", "\r", "\r\n", "\0", "\t", "=", ":", "[", "]", "{", "}", "\\", "|"),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\x",
        "a" * 5000,
        "%2e%2e/",
        "\u202e",
        "é",
        "\ufeff",
    ),
    *(
        "nan",
        "-inf",
        "1e999",
        "-0",
        "9" * 400,
        "0x10",
        "1_0",
        "²",
        "True",
        "null",
        "~",
        "-1",
        "1.5",
    ),
    *(
        "${oc.env:HOME}",
        "${oc.env:",
        "${model}",
        "!!python/name:os.system",
        "!!binary x",
        "&a [*a]",
    ),
    *(
        "!!python/object/apply:os.system ['touch canary']",
        "<<: *a",
        "- - - -",
        "? ",
        "%YAML 3.0\n---",
    ),
    *("=1+1", "<script>", "{{7*7}}", "__import__('os')", "x.wav\0.wav", "con", "--root", "[[[[["),
)


def damaged(data: bytes, seed: str, others: Sequence[bytes], *, text: bool) -> bytes:
    """One to four damages, one after another.

    Args:
        data: of a sound file.
        seed: gives the same damages again.
        others: files of the same kind, of which pieces may come in.
        text: also put in words that parsers of text stumble over.
    """
    rng = random.Random(seed)
    ways: list[Callable[[random.Random, bytearray, Sequence[bytes]], None]] = [
        *(_flip, _edge, _cut, _drop, _repeat, _noise, _splice, _swap)
    ]
    if text:
        ways += [_word, _word, _word, _line, _line]
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(ways)(rng, found, others)
    return bytes(found)


def _place(rng: random.Random, data: bytearray) -> int:
    """Anywhere, the beginning, where headers are, as often as all the rest."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 256)
    return rng.randrange(end) if end else 0


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _edge(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    width, at = rng.choice((1, 2, 4, 8)), _place(rng, data)
    value = rng.choice(EDGES) & ((1 << 8 * width) - 1)
    data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _drop(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 16, 256, 4096))]


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((1, 4, 64, 1024))] * rng.randint(1, 8)


def _noise(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at : at + rng.choice((0, 4, 64))] = rng.randbytes(rng.choice((1, 4, 64)))


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    at, start = _place(rng, data), rng.randrange(len(other) or 1)
    data[at : at + rng.choice((0, 16, 1024))] = other[start : start + rng.choice((4, 64, 2048))]


def _swap(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    width, one, two = rng.choice((1, 4, 32)), _place(rng, data), _place(rng, data)
    first, second = data[one : one + width], data[two : two + width]
    data[one : one + width], data[two : two + width] = second, first


def _word(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at : at + rng.choice((0, 0, 1, 5))] = rng.choice(WORDS).encode()


def _line(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Take a line out, double it, or bring in one of another file."""
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case _:
            lines.insert(at, rng.choice(rng.choice(others).split(b"\n")))
    data[:] = b"\n".join(lines)
