"""Damage kinds of files many times, and say how each reading ended.

    python -m sepbench_testkit.fuzz wav,flac FOLDER --count 100
    python -m sepbench_testkit.fuzz wav FOLDER --first 37 --count 1    # one, with its trace

A folder of each subject's name gets `results.jsonl`: {"start": n} before a reading, {"number": n,
"end": …} after it. A reading that takes too long ends the process with every thread's trace; a
crash ends it as it will. Either way the last start without an end says which it was, and `work/`
still holds the file.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from sepbench.harness.errors import BenchError
from sepbench_testkit.fuzz.mutations import damaged
from sepbench_testkit.fuzz.subjects import SUBJECTS, Subject, files

# Of address space, beyond what is mapped before the first reading: a header must not allocate it.
MEMORY = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("subjects", type=lambda text: text.split(","))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    for name in given.subjects:
        fuzz(
            name, given.folder / name, range(given.first, given.first + given.count), given.seconds
        )


def fuzz(name: str, folder: Path, numbers: range, seconds: float) -> None:
    subject, work = SUBJECTS[name], folder / "work"
    work.mkdir(parents=True)
    subject.write(work)
    sound = {path: path.read_bytes() for path in files(work, subject.damage)}
    # What is refused of many files before one is damaged does not count. This also imports what
    # is needed, before memory is limited.
    known: set[tuple[str, str]] = set()
    for path in sound:
        with suppress(BenchError):
            known.update(map(words_of, subject.use(work, path) or ()))
    limit_memory(MEMORY)
    with (folder / "results.jsonl").open("w", encoding="utf-8", buffering=1) as results:
        for number in numbers:
            seed = f"{name} {number}"
            path = random.Random(seed).choice(list(sound))
            path.write_bytes(damaged(sound[path], seed, list(sound.values()), text=subject.text))
            results.write(json.dumps({"start": number, "file": path.name}) + "\n")
            faulthandler.dump_traceback_later(seconds, exit=True)
            began = time.perf_counter()
            end, words = reading(subject, work, path, known)
            faulthandler.cancel_dump_traceback_later()
            entry = {"number": number, "end": end, "words": words}
            results.write(json.dumps(entry | {"seconds": time.perf_counter() - began}) + "\n")
            path.write_bytes(sound[path])
            if len(numbers) == 1:
                sys.stderr.write(f"{end}\n{words}\n")
    limit_memory(None)


def words_of(error: BenchError) -> tuple[str, str]:
    return type(error).__name__, str(error)


def reading(
    subject: Subject, work: Path, path: Path, known: set[tuple[str, str]]
) -> tuple[str, str]:
    """How it ended: "read", the name of a named error, or "UNNAMED", and its words or trace."""
    try:
        refusals = [words_of(error) for error in subject.use(work, path) or ()]
    except BenchError as error:
        refusals = [words_of(error)]
    except BaseException:
        return "UNNAMED", traceback.format_exc()
    mute = next((name for name, words in refusals if not words), None)
    if mute is not None:
        return "UNNAMED", f"{mute} without a word"
    return next((refusal for refusal in refusals if refusal not in known), ("read", ""))


def limit_memory(more: int | None) -> None:
    """Let this process map so much more than it has, and no more; None lets it map anything."""
    mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    soft = resource.RLIM_INFINITY if more is None else mapped + more
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


main()
