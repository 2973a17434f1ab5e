from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sepbench_testkit.machine import fill

from sepbench.harness.engines import arena as arena_module
from sepbench.harness.engines.arena import OWNER, PREFIX, Arena, BlockReader, default_folders
from sepbench.harness.errors import ScratchError

KIB = 1024
SEGMENT = 64 * KIB


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena_module, "SEGMENT_BYTES", SEGMENT)


def samples(nbytes: int) -> tuple[int, int]:
    """The shape of a mono float32 signal of so many bytes."""
    return (1, nbytes // 4)


def folders_in(base: Path) -> list[Path]:
    return sorted(base.glob(f"{PREFIX}*"))


def files_in(base: Path) -> list[int]:
    return sorted(path.stat().st_size for path in base.glob(f"{PREFIX}*/*.f32"))


def test_blocks_hold_what_was_written_and_do_not_overlap(tmp_path: Path) -> None:
    arena = Arena([tmp_path], 1 << 20)
    blocks = arena.allocate([(2, 5), (1, 7), (3, 1)])
    assert blocks is not None
    writer, reader = BlockReader(), BlockReader()

    for number, block in enumerate(blocks):
        writer.array(block)[...] = number

    values = [np.unique(reader.array(block)).tolist() for block in blocks]
    assert values == [[0], [1], [2]]
    assert [reader.array(block).shape for block in blocks] == [(2, 5), (1, 7), (3, 1)]
    arena.close()


def test_where_a_system_cannot_reserve_room_files_are_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")  # macOS has none
    arena = Arena([tmp_path], 1 << 20)

    blocks = arena.allocate([samples(4 * KIB)])

    assert blocks is not None
    BlockReader().array(blocks[0])[...] = 1
    assert files_in(tmp_path) == [SEGMENT]
    arena.close()


def test_no_more_than_the_budget_is_given_out_until_some_is_freed(tmp_path: Path) -> None:
    arena = Arena([tmp_path], 8 * KIB)
    first = arena.allocate([samples(6 * KIB)])
    assert first is not None

    refused = arena.allocate([samples(4 * KIB)])
    arena.free(first)
    granted = arena.allocate([samples(4 * KIB)])

    assert refused is None
    assert granted is not None
    arena.close()


def test_a_scene_larger_than_the_budget_goes_alone(tmp_path: Path) -> None:
    arena = Arena([tmp_path], 8 * KIB)

    large = arena.allocate([samples(100 * KIB)])

    assert large is not None
    assert arena.allocate([samples(64)]) is None
    assert files_in(tmp_path) == [100 * KIB]
    arena.free(large)
    assert files_in(tmp_path) == []
    arena.close()


def test_freed_neighbours_become_one_stretch_again(tmp_path: Path) -> None:
    arena = Arena([tmp_path], SEGMENT)
    quarters = arena.allocate([samples(SEGMENT // 4)] * 4)
    assert quarters is not None

    arena.free([quarters[2], quarters[0], quarters[1]])
    joined = arena.allocate([samples(3 * SEGMENT // 4)])

    assert joined is not None
    assert joined[0].offset == 0
    assert files_in(tmp_path) == [SEGMENT]
    arena.close()


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30), st.randoms())
def test_any_order_of_freeing_gives_everything_back(sizes: list[int], random: object) -> None:
    segment = arena_module._Segment.__new__(arena_module._Segment)
    segment.size, segment._free = 1 << 20, [(0, 1 << 20)]
    taken = [(segment.take(size), size) for size in sizes]

    random.shuffle(taken)  # type: ignore[attr-defined]
    for offset, size in taken:
        segment.give(offset, size)

    assert segment.empty


def test_the_pages_of_a_removed_file_are_let_go(tmp_path: Path) -> None:
    arena, reader = Arena([tmp_path], 1 << 20), BlockReader()
    large = arena.allocate([samples(100 * KIB)])
    assert large is not None
    reader.array(large[0])[...] = 1
    arena.free(large)

    small = arena.allocate([samples(64)])
    assert small is not None
    reader.array(small[0])[...] = 2

    assert list(reader._maps) == [small[0].file]
    arena.close()


def test_a_reader_maps_only_a_few_files_at_once(tmp_path: Path) -> None:
    arena, reader = Arena([tmp_path], 1 << 20), BlockReader(capacity=2)
    blocks = arena.allocate([samples(SEGMENT)] * 4)
    assert blocks is not None

    arrays = [reader.array(block) for block in blocks]
    arrays[0][...] = 5

    assert len(reader._maps) == 2
    assert float(reader.array(blocks[0])[0, 0]) == 5
    arena.close()


def test_closing_removes_everything(tmp_path: Path) -> None:
    arena = Arena([tmp_path], 1 << 20)
    arena.allocate([samples(KIB)])

    arena.close()

    assert folders_in(tmp_path) == []


# --- where the folder goes ----------------------------------------------------------------


def test_the_first_folder_with_room_is_taken(tmp_path: Path) -> None:
    gone, good = tmp_path / "gone", tmp_path / "good"
    good.mkdir()

    arena = Arena([gone, good], KIB)

    assert len(folders_in(good)) == 1
    arena.close()


def test_no_usable_folder_is_told_with_all_reasons(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(
        ScratchError, match=r"No scratch folder.*gone: No such file.*file: Not a dir"
    ):
        Arena([tmp_path / "gone", file], KIB)


def test_shared_memory_comes_first_and_the_workspace_last(tmp_path: Path) -> None:
    folders = default_folders(tmp_path)

    assert folders[0] == Path("/dev/shm")
    assert folders[-1] == tmp_path


def test_a_folder_with_too_little_room_is_passed_over(file_system: object, tmp_path: Path) -> None:
    small = file_system("small", megabytes=1)  # type: ignore[operator]

    arena = Arena([small, tmp_path], 2 << 20)

    assert folders_in(small) == []
    assert len(folders_in(tmp_path)) == 1
    arena.close()


def test_a_full_file_system_is_an_error_with_a_name_not_a_killed_process(
    file_system: object,
) -> None:
    small = file_system("small", megabytes=1)  # type: ignore[operator]
    arena = Arena([small], 8 << 20)

    with pytest.raises(ScratchError, match=r"No room for 2 MB .*set TMPDIR.*engine.memory_mb"):
        arena.allocate([samples(2 << 20)])

    assert files_in(small) == []
    assert arena.allocate([samples(KIB)]) is not None
    arena.close()


def test_a_full_file_system_makes_scenes_wait_while_others_are_in_flight(
    file_system: object,
) -> None:
    small = file_system("small", megabytes=1)  # type: ignore[operator]
    arena = Arena([small], 8 << 20)
    first = arena.allocate([samples(SEGMENT)] * 2)
    assert first is not None
    filler = fill(small)

    assert arena.allocate([samples(SEGMENT)] * 3) is None
    arena.free(first)
    assert arena.allocate([samples(SEGMENT)] * 2) is not None

    filler.unlink()
    arena.close()


# --- leftovers ----------------------------------------------------------------------------


def test_leftovers_of_dead_runs_go_at_the_next_start_in_every_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        dead = tmp_path / name / f"{PREFIX}dead"
        dead.mkdir(parents=True)
        (dead / OWNER).touch()
        (dead / "0.f32").write_bytes(b"0" * 100)
    unlocked = tmp_path / "one" / f"{PREFIX}killed-before-its-lock"
    unlocked.mkdir()

    arena = Arena([tmp_path / "one", tmp_path / "two"], KIB)

    assert len(folders_in(tmp_path / "one")) == 1
    assert folders_in(tmp_path / "two") == []
    arena.close()


def test_the_scratch_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    living = Arena([tmp_path], KIB)
    (folder,) = folders_in(tmp_path)

    other = Arena([tmp_path], KIB)
    other.close()

    assert folders_in(tmp_path) == [folder]
    assert (folder / OWNER).exists()
    living.close()


def test_a_strangers_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = tmp_path / f"{PREFIX}strange"
    strange.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: strange.stat().st_uid + 1)

    Arena([tmp_path], KIB).close()

    assert folders_in(tmp_path) == [strange]
