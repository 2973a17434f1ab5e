"""The event log: whole lines, bounded size, and readers that put up with what a kill leaves."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sepbench.harness.run.event_log import NAME, OLDER, VERSION, EventLog, EventTail


@dataclass
class Clock:
    """A clock that a test can set."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_an_event_is_one_line_with_version_run_and_both_times(tmp_path: Path) -> None:
    clock, wall = Clock(100.0), Clock(1_700_000_000.0)
    log = EventLog(tmp_path, 7, clock=clock, wall=wall)
    clock.now = 102.50049

    log.write("cell-ended", {"cell": 1, "done": 4, "nested": {3: (0.12345, 1)}})
    log.close()

    assert lines(tmp_path / NAME) == [
        {
            "v": VERSION,
            "event": "cell-ended",
            "run": 7,
            "t": 2.5,
            "at": 1_700_000_000.0,
            "cell": 1,
            "done": 4,
            "nested": {"3": [0.123, 1]},
        }
    ]


def test_a_clock_of_the_day_that_is_set_back_changes_no_duration(tmp_path: Path) -> None:
    clock, wall = Clock(0.0), Clock(1_700_000_000.0)
    log = EventLog(tmp_path, 1, clock=clock, wall=wall)

    for second in (1.0, 2.0, 3.0):
        clock.now, wall.now = second, wall.now - 3600
        log.write("snapshot", {})
    log.close()

    assert [event["t"] for event in EventTail(tmp_path).read()] == [1.0, 2.0, 3.0]


def test_a_reader_gets_what_is_new_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    log, tail = EventLog(tmp_path, 1), EventTail(tmp_path)

    before = tail.read()
    log.write("first", {})
    log.write("second", {})
    two = tail.read()
    with (tmp_path / NAME).open("a") as file:
        file.write('{"v":1,"event":"half')
    nothing = tail.read()
    with (tmp_path / NAME).open("a") as file:
        file.write('","run":1}\n')
    completed = tail.read()
    log.close()

    assert before == nothing == []
    assert [event["event"] for event in two] == ["first", "second"]
    assert [event["event"] for event in completed] == ["half"]


@pytest.mark.parametrize(
    "torn", [b'{"v":1,"event":"snap', b"\xff\xfe", b"null\n[1]\n3", b'{"v":99,"event":"x"}\n']
)
def test_what_a_kill_left_is_skipped_and_the_next_run_begins_a_line(
    tmp_path: Path, torn: bytes
) -> None:
    (tmp_path / NAME).write_bytes(b'{"v":1,"event":"old","run":1}\n' + torn)

    log = EventLog(tmp_path, 2)
    log.write("new", {})
    log.close()

    assert [event["event"] for event in EventTail(tmp_path).read()] == ["old", "new"]


def test_the_log_keeps_its_bound_and_each_file_begins_with_the_head(tmp_path: Path) -> None:
    log, tail = EventLog(tmp_path, 1, most_bytes=2000), EventTail(tmp_path)
    log.write("run-started", {"pid": 1}, head=True)
    log.write("cell-planned", {"cell": 1}, head=True)

    seen: list[int] = []
    for number in range(300):
        log.write("snapshot", {"number": number})
        seen += [event["number"] for event in tail.read() if event["event"] == "snapshot"]
    log.close()

    assert seen == list(range(300))
    assert log.generation > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLDER, NAME]
    for name in (NAME, OLDER):
        assert (tmp_path / name).stat().st_size < 2400
        assert [event["event"] for event in lines(tmp_path / name)][:2] == [
            "run-started",
            "cell-planned",
        ]


def test_a_head_larger_than_the_bound_is_not_repeated_forever(tmp_path: Path) -> None:
    log = EventLog(tmp_path, 1, most_bytes=500)
    for cell in range(50):
        log.write("cell-planned", {"cell": cell}, head=True)

    for number in range(20):
        log.write("snapshot", {"number": number})
    log.close()

    assert log.generation <= 4
    assert lines(tmp_path / NAME)[-1]["number"] == 19


def test_a_log_that_cannot_be_written_warns_once_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).mkdir()
    log = EventLog(tmp_path, 1)

    with caplog.at_level(logging.WARNING):
        log.write("first", {})
        log.write("second", {})
    (tmp_path / NAME).rmdir()
    log.write("third", {})
    log.close()

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f"The event log {tmp_path / NAME} cannot be written"
    ]
    assert [event["event"] for event in EventTail(tmp_path).read()] == ["third"]


def test_a_workspace_without_a_log_has_no_events(tmp_path: Path) -> None:
    assert EventTail(tmp_path).read() == []
