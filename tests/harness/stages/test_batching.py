"""The batch size that fits and pays, found on real work without changing a result."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sepbench.harness.stages.batching import LARGEST_BATCH, BatchSizer

SHAPE = (1, 32000)


def search(sizer: BatchSizer, seconds: Callable[[int], float], fits: int = 10**9) -> list[int]:
    """Sizes that are tried until they no longer change."""
    sizes = []
    while len(sizes) < 60 and (len(sizes) < 6 or len(set(sizes[-6:])) > 1):
        size = sizer.size(SHAPE)
        sizes.append(size)
        if size > fits:
            sizer.too_large(SHAPE, size)
        else:
            sizer.timed(SHAPE, size, seconds(size))
    return sizes


def test_where_twice_as_many_take_twice_as_long_one_at_a_time_is_kept() -> None:
    sizes = search(BatchSizer(None), lambda size: 1.0 * size)

    assert sizes[:4] == [1, 1, 2, 2]
    assert sizes[-1] == 1


def test_where_more_at_once_are_faster_the_size_grows_until_they_are_not() -> None:
    # A device that does up to 16 in the time of one.
    sizes = search(BatchSizer(None), lambda size: max(1.0, size / 16))

    assert max(sizes) == 32
    assert sizes[-1] == 16


def test_what_does_not_fit_ends_the_search_at_half() -> None:
    sizes = search(BatchSizer(None), lambda size: 1.0, fits=11)

    assert max(sizes) == 16
    assert sizes[-1] == 8


def test_no_batch_is_larger_than_the_largest() -> None:
    assert max(search(BatchSizer(None), lambda size: 1.0)) == LARGEST_BATCH


def test_the_first_call_of_a_size_is_not_timed() -> None:
    calls: list[int] = []

    def warming_up(size: int) -> float:
        calls.append(size)
        return 100.0 if calls.count(size) == 1 else 1.0

    assert search(BatchSizer(None), warming_up)[-1] == LARGEST_BATCH


def test_a_size_asked_for_is_kept_while_it_fits() -> None:
    sizer = BatchSizer(12)
    before = sizer.size(SHAPE)

    sizer.too_large(SHAPE, 12)

    assert (before, sizer.size(SHAPE)) == (12, 8)
    assert sizer.learned == {}


def test_longer_ones_are_not_tried_where_shorter_ones_did_not_fit() -> None:
    sizer = BatchSizer(32)

    sizer.too_large((1, 1000), 32)

    assert [sizer.size((1, n)) for n in (500, 1000, 2000, 64000)] == [32, 16, 8, 1]


def test_one_is_always_allowed() -> None:
    sizer = BatchSizer(None)

    sizer.too_large(SHAPE, 1)

    assert sizer.size(SHAPE) == 1
    assert sizer.size((1, 10 * SHAPE[1])) == 1


def test_what_one_process_found_another_uses_for_similar_lengths() -> None:
    first = BatchSizer(None)
    search(first, lambda size: max(1.0, size / 4))

    second = BatchSizer(None, first.learned)

    assert second.size((1, 31000)) == 4
    assert second.size((1, 320000)) == 1


@pytest.mark.parametrize(("seconds", "wanted"), [(2.0, 1), (0.1, 5), (0.0001, 64)])
def test_a_message_holds_about_half_a_second_of_work(seconds: float, wanted: int) -> None:
    sizer = BatchSizer(None)

    search(sizer, lambda size: seconds * size)

    assert sizer.wanted == wanted


def test_with_a_size_asked_for_a_message_is_a_batch() -> None:
    sizer = BatchSizer(8)
    sizer.size(SHAPE)

    sizer.timed(SHAPE, 8, 0.001)

    assert sizer.wanted == 8
