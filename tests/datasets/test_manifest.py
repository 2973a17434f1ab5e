from __future__ import annotations

from pathlib import Path

import pytest

from sepbench.datasets.demo_set import CARD
from sepbench.datasets.manifest import (
    read_number,
    read_numbered,
    read_table,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
    root_variable,
)
from sepbench.harness.errors import (
    ManifestError,
    MissingFileError,
    MissingRootError,
    UnknownNameError,
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_root_variable_is_the_name_in_capitals_with_underscores() -> None:
    assert root_variable("voicebank-demand") == "SEPBENCH_VOICEBANK_DEMAND"


@pytest.mark.parametrize("root", [None, Path("no-such-folder")])
def test_missing_root_names_option_variable_and_source(root: Path | None) -> None:
    with pytest.raises(MissingRootError) as refusal:
        require_root(root, CARD)

    message = str(refusal.value)
    assert "--root demo=FOLDER" in message
    assert "SEPBENCH_DEMO" in message
    assert CARD.where in message


def test_a_file_is_no_root(table: Path) -> None:
    table.write_text("a\n")

    with pytest.raises(MissingRootError, match="does not exist"):
        require_root(table, CARD)


def test_unknown_list_and_pool_are_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown list 'dmo' of dataset demo.*'demo'"):
        require_list("dmo", CARD)
    with pytest.raises(UnknownNameError, match=r"Unknown clip pool 'query'.*'queries'"):
        require_pool("query", CARD)


@pytest.mark.parametrize(
    "content",
    [
        b'name,text\na,"one, two"\n',
        b'name,text\r\na,"one, two"\r\n',
        b'\xef\xbb\xbfname,text\na,"one, two"\n',
        b'extra,name,text\n1,a,"one, two"\n',
        b'name,text\r\n\r\na,"one, two"\r\n\r\n',
    ],
    ids=["LF", "CRLF", "byte-order mark", "further columns", "empty lines"],
)
def test_table_is_read_whatever_its_line_ends(table: Path, content: bytes) -> None:
    table.write_bytes(content)

    (row,) = read_table(table, ("name", "text"))

    assert (row["name"], row["text"]) == ("a", "one, two")


def test_rows_have_the_numbers_of_their_lines_whatever_lies_between(table: Path) -> None:
    table.write_bytes(b'name,text\na,one\n\nb,"two\nlines"\nc,three\n')

    rows = read_numbered(table, ("name",))

    assert [(number, row["name"]) for number, row in rows] == [(2, "a"), (5, "b"), (6, "c")]


def test_missing_table_is_named(table: Path) -> None:
    with pytest.raises(MissingFileError, match=r"table\.csv is missing"):
        read_table(table, ("name",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"no column 'name'; its header is empty"),
        (b"nom\na\n", r"no column 'name'; its header is nom"),
        (b"name,name\na,b\n", r"gives the column 'name' more than once"),
        (b"name,text\na\n", r"line 2: 1 fields where the header has 2"),
        (b"name\n\xff\xfe\n", r"cannot be read as a CSV table"),
        (b'name\n"open\n', r"cannot be read as a CSV table"),
        (b"name;text\na;b\n", r"semicolons or tabs between its columns"),
        (b"name\ttext\na\tb\n", r"semicolons or tabs between its columns"),
    ],
    ids=[
        *("empty", "other header", "column twice", "short row", "not UTF-8", "open quote"),
        *("semicolons", "tabs"),
    ],
)
def test_broken_table_is_refused(table: Path, content: bytes, words: str) -> None:
    table.write_bytes(content)

    with pytest.raises(ManifestError, match=words):
        read_table(table, ("name",))


def test_folder_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path, ("name",))


@pytest.mark.parametrize("value", ["", "five", "nan", "inf", "-inf"])
def test_what_is_no_number_is_refused(table: Path, value: str) -> None:
    with pytest.raises(ManifestError, match="the SNR is"):
        read_number(value, table, "the SNR")


def test_number_is_read(table: Path) -> None:
    assert read_number("-2.5", table, "the SNR") == -2.5


def test_second_use_of_an_id_is_refused(table: Path) -> None:
    with pytest.raises(ManifestError, match="gives the clip 'a' more than once"):
        refuse_duplicates(["a", "b", "a"], table, "clip")
