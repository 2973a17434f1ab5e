"""Which files a scene needs, without reading them: what the adapters' `files` methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from sepbench.harness.errors import MissingFileError

P = ParamSpec("P")


def found_or(expected: str, find: Callable[P, str], *given: P.args, **settings: P.kwargs) -> str:
    """Where a file lies, or the name under which it is expected.

    Args:
        expected: relative to the root, as the corpus itself names the file.
        find: the adapter's own search; raises `MissingFileError` where there is nothing.
        given: what it takes.
        settings: likewise, by keyword.
    """
    try:
        return find(*given, **settings)
    except MissingFileError:
        return expected
