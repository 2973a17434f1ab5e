"""The charts in a real browser: what they say, what they do, and that they are valid Vega-Lite."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sepbench_testkit.browser import ENTER, MARKS, Page

from sepbench.reports import html
from sepbench.reports.contract import Leaderboard

pytestmark = MARKS

CHARTS = {"cost-chart", "diff-chart", "dist-chart", "class-chart"}
LABELS = (
    "return [...document.querySelectorAll(`#${arguments[0]} .hits_marks > path`)]"
    ".map(n => n.getAttribute('aria-label'))"
)
INKS = (
    "return [...document.querySelectorAll('.chart text')].map(n => getComputedStyle(n).fill)"
    ".filter((c, k, all) => all.indexOf(c) === k).sort()"
)


def open_page(driver: Any, board: Leaderboard, folder: Path) -> Page:
    (written,) = html.REPORT.write(dataclasses.replace(board, audio=None), folder)
    page = Page(driver, written.as_uri())
    page.open()
    return page


def choose_metric(page: Page, name: str, title: str) -> None:
    page.choose("metric", name)
    page.until(f"Object.values(sepbench.chart.specs())[0].description.endsWith(' {title}')")
    page.wait_for("sepbench.charts.render().then(arguments[0])")


def test_the_difference_matrix_tells_the_tested_difference_either_way(page: Page) -> None:
    choose_metric(page, "si_sdr", "SI-SDR")

    texts = page.texts("#diff-chart :is(.tested_marks, .p_marks) text")
    assert texts == ["+2.25", "−2.25", "p .001", "p .001"]
    told = page.run(LABELS, "diff-chart")
    (ahead,) = [label for label in told if label.startswith("net_a − slow")]
    assert "mean +2.25 dB, positive: net_a is better" in ahead
    assert "Holm-corrected p = 0.0010" in ahead
    assert len(told) == 12


@pytest.mark.parametrize(("p", "pale"), [(0.001, 0), (0.049, 0), (0.05, 2), (0.7, 2)])
def test_a_difference_is_pale_where_it_is_not_significant(
    desktop: Any, board: Leaderboard, tmp_path: Path, p: float, pale: int
) -> None:
    (one,) = board.comparisons
    told = dataclasses.replace(board, comparisons=(dataclasses.replace(one, permutation_holm=p),))

    page = open_page(desktop, told, tmp_path)

    assert len(page.texts("#diff-chart .pale_marks path")) == pale
    assert len(page.texts("#diff-chart .tiles_marks path")) == 6 - pale
    assert page.complaints() == []


def test_every_chart_is_vega_lite_that_another_renderer_draws(page: Page) -> None:
    import vl_convert

    specs = page.run("return sepbench.chart.specs()")

    assert set(specs) == CHARTS
    for spec in specs.values():
        drawn = vl_convert.vegalite_to_svg(spec)
        assert drawn.count("<path") > 10
        assert "NaN" not in drawn
        assert "net_a" in drawn or "dog" in drawn


def test_a_model_is_chosen_by_a_click_and_stands_out_everywhere(page: Page) -> None:
    inks = (
        "return [...document.querySelectorAll('#dist-chart .density_marks path')]"
        ".map(n => Number(n.getAttribute('opacity')))"
    )
    before = page.run(inks)

    page.run(
        "document.querySelector('#cost-chart [data-key=\"3\"]').dispatchEvent(new Event('click'))"
    )
    page.until("document.querySelector('#board tr.chosen')")
    page.wait_for("sepbench.charts.render().then(arguments[0])")
    after = page.run(inks)
    address = page.driver.current_url

    assert page.texts("#board tr.chosen .name") == ["net_a"]
    assert after[1] == before[1] == 0.28
    assert after[0] < before[0] / 3
    assert "model=net_a" in address
    page.open("#" + address.partition("#")[2])
    assert page.texts("#board tr.chosen .name") == ["net_a"]
    assert page.run(inks) == after


def test_a_model_is_chosen_and_let_go_from_the_keyboard_which_keeps_its_place(page: Page) -> None:
    key = "return document.activeElement.dataset.key"
    page.run("document.querySelector('#cost-chart [data-key=\"2\"]').focus()")
    told = page.texts("#tip div")

    page.driver.switch_to.active_element.send_keys(ENTER)
    page.until("document.querySelector('#board tr.chosen')")
    page.wait_for("sepbench.charts.render().then(arguments[0])")
    kept = page.run(key)
    page.driver.switch_to.active_element.send_keys(ENTER)
    page.until("!document.querySelector('#board tr.chosen')")

    assert told == [
        *("slow", "SI-SDRi 3.75 dB", "95 % interval 2.75 to 4.75"),
        "Real-time factor 0.02×",
    ]
    assert kept == "2"
    assert "model=" not in page.driver.current_url


def test_charts_follow_the_theme(page: Page) -> None:
    page.colours("light")
    page.open()
    light = page.run(INKS)
    page.press("t")
    page.until(f"(() => {{ {INKS} }})().join() !== {light!r}.join()")
    dark = page.run(INKS)
    page.run("localStorage.clear(); document.documentElement.dataset.theme = 'auto'")
    page.colours("dark")
    page.open()

    assert "rgb(27, 30, 35)" in light
    assert "rgb(232, 234, 238)" in dark
    assert set(light).isdisjoint(dark)
    assert page.run(INKS) == dark
    page.colours("light")
    page.until(f"(() => {{ {INKS} }})().join() === {light!r}.join()")


@pytest.mark.parametrize("num_targets", [12, 24, 80])
def test_class_intervals_are_students(
    desktop: Any, board_of: Callable[[int], Leaderboard], tmp_path: Path, num_targets: int
) -> None:
    values = np.array([2.0 + k % 5 for k in range(0, num_targets, 4)])
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=values.mean(), scale=values.std(ddof=1) / math.sqrt(len(values))
    )

    page = open_page(desktop, board_of(num_targets), tmp_path)
    choose_metric(page, "si_sdr", "SI-SDR")

    (dog,) = [label for label in page.run(LABELS, "class-chart") if label.startswith("dog;")]
    expected = f"slow {values.mean():.2f}, {low:.2f} to {high:.2f} ({len(values)})"
    assert expected.replace("-", "−") in dog.split("; ")


def test_markup_in_a_class_is_text_in_the_chart_and_its_tooltip(page: Page) -> None:
    page.run(
        "[...document.querySelectorAll('#class-chart [data-key]')]"
        ".find(n => n.dataset.key.includes('<script>')).dispatchEvent("
        "new PointerEvent('pointermove', { bubbles: true }))"
    )
    page.until("!document.getElementById('tip').hidden")

    assert page.texts("#tip div")[0].startswith("</script><script>window.broken")
    assert page.run("return document.querySelectorAll('#tip *:not(div)').length") == 0
    # Cut where there is no room for it.
    assert any(
        text.startswith("</script>") for text in page.texts("#class-chart .names_marks text")
    )


def test_the_pointer_lights_what_it_is_over_and_the_marks_stay_buttons(page: Page) -> None:
    density = "document.querySelector('#dist-chart .density_marks path').getAttribute('opacity')"
    hit = "document.querySelector('#dist-chart .hits_marks path')"
    page.run(
        f"for (const kind of ['pointermove', 'pointerover']) {hit}.dispatchEvent("
        "new PointerEvent(kind, { bubbles: true }))"
    )

    page.until(f"{density} === '0.48'")

    roles = page.run(
        "return [...document.querySelectorAll('#dist-chart .hits_marks path')]"
        ".map(n => [n.getAttribute('role'), n.getAttribute('tabindex')])"
    )
    assert roles == [["button", "0"]] * 3


def test_a_chart_may_load_nothing(page: Page) -> None:
    page.schemes()

    warned = page.wait_for(
        "const done = arguments[0], node = document.createElement('figure'), said = [];"
        "console.warn = (...words) => said.push(words.join(' '));"
        "sepbench.chart.show(node, { data: { url: 'https://example.org/a.json' }, mark: 'point',"
        " encoding: { x: { field: 'a' } } }).then(() => done(said))"
    )

    assert len(warned) == 1
    assert warned[0].endswith("https://example.org/a.json Error: This page loads nothing.")
    assert page.schemes() <= {"about", "data", "file"}


def test_of_two_charts_that_overtake_each_other_the_later_stays(page: Page) -> None:
    page.run("for (const m of ['si_sdr', 'si_sdri', 'si_sdr']) sepbench.app.showMetric(m)")
    page.wait_for("sepbench.charts.render().then(arguments[0])")

    titles = page.texts("#dist-chart .role-axis-title text")
    assert titles == ["SI-SDR [dB]"]
    assert page.run("return document.querySelectorAll('#dist-chart .chart').length") == 1


def test_charts_fit_a_phone(start_browser: Callable[..., Any], written_page: Path) -> None:
    page = Page(start_browser(390, 844, phone=True), written_page.as_uri())

    page.open()

    widths = page.run(
        "return ['cost', 'diff', 'dist', 'class'].map(name => {"
        " const node = document.getElementById(`${name}-chart`);"
        " return [node.scrollWidth - node.clientWidth, node.querySelector('svg').clientWidth]; })"
    )
    assert [over for over, _ in widths] == [0, 0, 0, 0]
    assert all(150 < width < 340 for _, width in widths)
