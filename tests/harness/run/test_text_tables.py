from __future__ import annotations

from sepbench.harness.plain_text import counted, escape_markdown
from sepbench.harness.run.text_tables import aligned, csv_text, markdown, number, p_value


def test_columns_stand_under_each_other() -> None:
    text = aligned(["Name", "dB"], [["a", "1.50"], ["longer", "-10.00"]])

    assert text.splitlines() == [
        "Name        dB",
        "------  ------",
        "a         1.50",
        "longer  -10.00",
    ]


def test_text_from_datasets_breaks_no_table() -> None:
    text = markdown(["Caption", "dB"], [["a | b\n<script>", "1"]])

    assert text.splitlines()[2] == "| a \\| b &lt;script> | 1 |"
    assert escape_markdown("*loud* & [far]") == "\\*loud\\* &amp; \\[far\\]"


def test_missing_numbers_are_dashes_for_people_and_empty_for_programs() -> None:
    assert number(None) == "–"
    assert csv_text(["a", "b"], [[None, 0.1]]) == "a,b\n,0.1\n"


def test_numbers_are_rounded_without_a_negative_zero() -> None:
    assert number(-0.001) == "0.00"
    assert number(1.005, 1, sign=True) == "+1.0"
    assert number(-2.0, 3, sign=True) == "-2.000"


def test_a_small_p_is_not_nothing() -> None:
    assert [p_value(value) for value in (0.0004, 0.001, 1.0)] == ["<0.001", "0.001", "1.000"]


def test_one_item_is_no_plural() -> None:
    assert [counted(count, "item") for count in (0, 1, 2000)] == [
        "0 items",
        "1 item",
        "2,000 items",
    ]
