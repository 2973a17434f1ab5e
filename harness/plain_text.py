"""Words of strangers and counts as tables of every kind write them."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Without line breaks, tabs and doubled blanks."""
    return " ".join(text.split())


def escape_markdown(text: str) -> str:
    """Text that brings no markup into Markdown and ends no cell of a table."""
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return one_line(text.replace("&", "&amp;").replace("<", "&lt;"))


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 item", "2,000 items"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
