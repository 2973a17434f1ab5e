from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sepbench.reports import json_report
from sepbench.reports.contract import Leaderboard


def written(board: Leaderboard, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document, schema = json_report.REPORT.write(board, folder)
    return json.loads(document.read_text("utf-8")), json.loads(schema.read_text("utf-8"))


def test_the_json_of_a_board_follows_the_schema_beside_it(
    board: Leaderboard, tmp_path: Path
) -> None:
    document, schema = written(board, tmp_path)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)


def test_the_schema_refuses_a_document_with_more_or_less(
    board: Leaderboard, tmp_path: Path
) -> None:
    document, schema = written(board, tmp_path)
    document["tables"][0]["rows"][0]["values"]["si_sdr"].pop("low")

    with pytest.raises(jsonschema.ValidationError, match="'low' is a required property"):
        jsonschema.validate(document, schema)


def test_values_marks_bounds_and_published_rows_are_there(
    board: Leaderboard, tmp_path: Path
) -> None:
    document, _ = written(board, tmp_path)

    (table,) = document["tables"]
    by_label = {row["label"]: row for row in table["rows"]}
    assert by_label["net_a"]["values"]["si_sdr"]["value"] == 6.0
    assert by_label["net_a"]["values"]["si_sdr"]["best"] is True
    assert by_label["net_a"]["values"]["si_sdri"]["best"] is False
    assert by_label["oracle"]["role"] == "upper"
    assert table["published"][0]["values"] == {"si_sdr": 7.25}
    assert table["comparisons"][0]["better"] == "net_a"
    assert table["comparisons"][0]["mean"] == -2.25


def test_the_same_board_gives_the_same_bytes(board: Leaderboard, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    first, _ = json_report.REPORT.write(board, tmp_path)
    second, _ = json_report.REPORT.write(board, tmp_path / "again")

    assert first.read_bytes() == second.read_bytes()
