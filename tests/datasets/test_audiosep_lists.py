from __future__ import annotations

from pathlib import Path

import pytest
from sepbench_testkit.corpora.audiosep import write_list, write_premixed

from sepbench.datasets.audiosep_lists import LISTS, ListFile, folder_of, read_rows, row_digest
from sepbench.datasets.catalog import CATALOG
from sepbench.harness.errors import ManifestError, MissingFileError
from sepbench.harness.metrics.catalog import METRICS
from sepbench.harness.protocols import load_protocol
from sepbench.harness.registry import import_target

PUBLISHED = ListFile(name="pairs.csv", header=("target_wav", " noise_wav", " noise_wav"))


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("audiocaps-audiosep", 4820),
        ("audiocaps-default", 975),
        ("audiocaps-default-v2", 975),
        ("lassnet", 1000),
        ("clotho-audiosep", 5225),
        ("vggsound-audiosep", 1000),
        ("audioset-audiosep", 5270),
        ("music-audiosep", 5004),
        ("dcase24t9-16k", 3000),
    ],
)
def test_protocol_scores_a_list_of_its_dataset_with_metrics_there_are(
    name: str, items: int
) -> None:
    protocol = load_protocol(name)
    card = import_target(CATALOG[protocol.dataset], protocol.dataset).card

    (scored,) = [entry for entry in card.lists if entry.name == protocol.list_name]
    assert scored.expected_scenes == protocol.expected_items == items
    assert name in card.protocols
    assert set(protocol.metrics) <= set(METRICS.entries)
    assert protocol.query.pool in ("", *card.pools)
    assert protocol.published
    assert protocol.choices


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("audiocaps_audiosep_digests.csv", 4820),
        ("clotho_audiosep_digests.csv", 5225),
        ("audiocaps_lassnet_digests.csv", 1000),
    ],
)
def test_digests_hold_a_row_each_and_no_caption(name: str, rows: int) -> None:
    header, *digests = (LISTS / name).read_text().splitlines()

    assert header == "digest"
    assert len(digests) == rows
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests)


def test_rows_are_read_by_position_under_a_header_with_blanks_and_repeated_names(
    tmp_path: Path,
) -> None:
    path = write_list(tmp_path / "pairs.csv", ["target_wav, noise_wav, noise_wav", '-a,"b, c",d'])

    assert read_rows(path, PUBLISHED) == [("-a", "b, c", "d")]


def test_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("target_wav,noise_wav,noise_wav\na,b,c\n", encoding="utf-8-sig")

    assert read_rows(path, PUBLISHED) == [("a", "b", "c")]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'target_wav,noise_wav,noise_wav\n"a,b,c'])
def test_list_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pairs.csv").write_bytes(content)

    with pytest.raises(ManifestError, match=r"pairs\.csv"):
        read_rows(tmp_path / "pairs.csv", PUBLISHED)


def test_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"pairs\.csv is missing"):
        read_rows(tmp_path / "pairs.csv", PUBLISHED)


def test_digest_tells_fields_apart() -> None:
    assert row_digest(["a", "bc"]) != row_digest(["ab", "c"])


def test_missing_file_is_expected_where_the_corpus_lies(tmp_path: Path) -> None:
    write_premixed(tmp_path / "data" / "music", (0,))

    assert folder_of(tmp_path, "music", "mixture-0.wav") == "data/music/"
    assert folder_of(tmp_path, "music", "mixture-1.wav") == "data/music/"
    assert folder_of(tmp_path, "clotho", "mixture-1.wav") == ""
