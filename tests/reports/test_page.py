"""The page in a real browser, opened from disk: the leaderboard and the charts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sepbench_testkit.browser import ENTER, MARKS, Page

from sepbench.reports import html
from sepbench.reports.contract import Leaderboard

pytestmark = MARKS

MODELS = "#board tbody:first-of-type th .name"


def test_the_page_shows_models_bounds_and_published_rows_apart(page: Page) -> None:
    assert page.texts(MODELS) == ["net_a", "slow"]
    assert page.texts("#board .group th") == ["Bounds", "Published, not measured here"]
    assert page.texts("#board tr.lower .name, #board tr.upper .name") == ["mixture", "oracle"]
    assert page.texts("#board tr.published .name") == ["Net & Co"]
    assert page.texts("#board td.best .v") == ["6.00"]


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_it(page: Page) -> None:
    page.click('#board button[data-key="rtf"]')
    cheapest_first = page.texts(MODELS)
    page.click('#board button[data-key="rtf"]')

    assert cheapest_first == ["slow", "net_a"]
    assert page.texts(MODELS) == ["net_a", "slow"]
    heading = page.find('#board th:has(button[data-key="rtf"])')
    assert heading.get_attribute("aria-sort") == "descending"


def test_the_filter_leaves_the_rows_that_fit(page: Page) -> None:
    page.find("#filter").send_keys("NET")
    fitting = page.texts("#board tr.model .name, #board tr.lower .name, #board tr.upper .name")
    page.find("#filter").send_keys("x")

    assert fitting == ["net_a"]
    assert page.texts("#board tr.model .name") == []


def test_bounds_can_be_left_out(page: Page) -> None:
    page.click("#show-bounds")

    assert page.texts("#board tr.lower, #board tr.upper") == []


def test_charts_are_drawn_for_every_section(page: Page) -> None:
    counts = page.run(
        "return ['cost', 'dist', 'class'].map("
        "k => document.querySelectorAll(`#${k}-chart svg [tabindex]`).length)"
    )

    assert counts == [2, 3, 4]


def test_a_heading_sorts_from_the_keyboard_and_keeps_the_focus(page: Page) -> None:
    page.run("document.querySelector('#board button[data-key=label]').focus()")

    page.driver.switch_to.active_element.send_keys(ENTER)

    assert page.texts(MODELS) == ["net_a", "slow"]
    assert page.run("return document.activeElement.dataset.key") == "label"
    page.driver.switch_to.active_element.send_keys(ENTER)
    assert page.texts(MODELS) == ["slow", "net_a"]


def test_columns_can_be_narrowed_to_improvements(page: Page) -> None:
    titles = "#board thead .title > span"
    every = page.texts(titles)
    page.choose("columns", "improvements")
    improvements = page.texts(titles)
    page.choose("metric", "si_sdr")

    assert [each for each in every if each.startswith("SI")] == ["SI-SDR", "SI-SDRi"]
    assert [each for each in improvements if each.startswith("SI")] == ["SI-SDRi"]
    # The metric that was asked for is shown whatever the choice.
    assert [each for each in page.texts(titles) if each.startswith("SI")] == ["SI-SDR", "SI-SDRi"]


def test_values_come_with_their_interval(page: Page) -> None:
    cells = page.texts('#board tr[data-model="net_a"] td.num')

    assert cells[:2] == ["6.00±1.00", "6.00±1.00"]
    assert len(page.run("return [...document.querySelectorAll('#board .whisker')]")) == 3


def test_a_class_lists_its_items_from_the_keyboard(page: Page) -> None:
    page.run("document.querySelector('#class-chart .hits_marks > path').focus()")
    named = page.run("return document.activeElement.getAttribute('aria-label').split(';')[0]")
    assert page.texts("#class-chart .names_marks text")[0][:5] == named[:5]

    page.driver.switch_to.active_element.send_keys(ENTER)

    listed = page.texts(".item b")
    assert listed
    assert len(set(listed)) == 1
    assert listed[0].startswith(named.rstrip("…"))


def test_an_empty_board_says_so(desktop: Any, board: Leaderboard, tmp_path: Path) -> None:
    bare = dataclasses.replace(board, tables=(), comparisons=(), published=(), audio=None)
    (written,) = html.REPORT.write(bare, tmp_path)
    page = Page(desktop, written.as_uri())

    page.open()

    assert page.texts("#board-over") == ["No results yet: bench run makes some."]
    assert page.run("return document.getElementById('items').checkVisibility()") is False
    assert page.complaints() == []


def test_protocols_are_switched_with_their_items(
    desktop: Any, board: Leaderboard, tmp_path: Path
) -> None:
    (table,) = board.tables
    other = dataclasses.replace(table, protocol="other", rows=table.rows[:2])
    (written,) = html.REPORT.write(
        dataclasses.replace(board, tables=(table, other), audio=None), tmp_path
    )
    page = Page(desktop, written.as_uri())
    page.open()
    first = page.texts(MODELS)

    page.choose("protocol", "other")

    page.until("document.querySelectorAll('#board tr.model').length === 1")
    assert first == ["net_a", "slow"]
    assert page.texts(MODELS) == ["slow"]
    page.until("location.hash.includes('protocol=other')")
    page.open(page.run("return location.hash"))
    assert page.texts(MODELS) == ["slow"]
    assert page.complaints() == []
