"""The page in a real browser, opened from disk."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="the test extra brings selenium")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        not (BROWSER and DRIVER),
        reason="no Chromium with its driver: apt-get install chromium chromium-driver",
    ),
    # Selenium leaves sockets of a browser that has quit to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Page:
    """A browser with the page open, and what a test asks of it."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(self.address + fragment)
        self.until("document.body.classList.contains('ready')")

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def until(self, condition: str) -> None:
        WebDriverWait(self.driver, 20).until(lambda _: self.run(f"return {condition}"), condition)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", selector
        )

    def press(self, *keys: str) -> None:
        self.find("body").send_keys(*keys)

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def shoot(self, path: Path) -> None:
        time.sleep(0.4)
        assert self.driver.save_screenshot(str(path))


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Any]]:
    started = []

    def begin(width: int = 1440, height: int = 900, phone: bool = False) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for flag in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--autoplay-policy=no-user-gesture-required", f"--window-size={width},{height}"),
        ):
            options.add_argument(flag)
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2, "touch": True}
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        started.append(driver)
        return driver

    yield begin
    for driver in started:
        driver.quit()


@pytest.fixture(scope="module")
def desktop(start: Callable[..., Any]) -> Any:
    return start()


@pytest.fixture
def page(desktop: Any, written_page: Path) -> Iterator[Page]:
    """The page; afterwards nothing may have gone wrong on it, and nothing may have left it."""
    found = Page(desktop, written_page.as_uri())
    found.open()

    yield found

    assert [line for line in desktop.get_log("browser") if line["level"] == "SEVERE"] == []
    assert requests(desktop) - {"about", "data", "file"} == set()
    assert found.run("return window.broken") is None


def requests(driver: Any) -> set[str]:
    """The schemes of everything that was asked for."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and not event["params"]["documentURL"].startswith("chrome")
    }


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


def test_the_difference_matrix_tells_the_tested_difference_either_way(page: Page) -> None:
    page.run(
        "document.getElementById('metric').value = 'si_sdr';"
        "document.getElementById('metric').dispatchEvent(new Event('change'))"
    )

    cells = page.texts("#diff-chart tbody td:not(.same)")
    assert "+2.25p .001" in cells
    assert "−2.25p .001" in cells


def test_charts_are_drawn_for_every_section(page: Page) -> None:
    counts = page.run(
        "return ['cost', 'dist', 'class'].map("
        "k => document.querySelectorAll(`#${k}-chart svg [tabindex]`).length)"
    )

    assert counts == [2, 3, 4]


def test_an_item_opens_with_its_query_every_score_and_its_pictures(page: Page) -> None:
    page.click('[data-item="scene-00002~t0"]')

    assert page.texts("#item-detail h3") == ["rain"]
    assert page.texts("#item-detail .query q") == ["the sound of rain"]
    page.until("[...document.querySelectorAll('.tile img')].every(i => i.complete)")
    assert page.run("return document.querySelectorAll('.tile img').length") == 8
    assert page.run("return [...document.querySelectorAll('.tile img')].every(i => i.naturalWidth)")
    scores = page.texts("#item-detail .scores tbody tr:nth-child(3) td")
    assert scores == ["6.50", "6.50"]


def test_playing_goes_on_at_the_same_place_when_the_source_is_switched(page: Page) -> None:
    page.click('[data-item="scene-00000~t0"]')
    page.until("sepbench.player.state().audio.every(a => a.readyState >= 3)")

    page.press(Keys.SPACE)
    page.until("sepbench.player.state().audio[0].currentTime > 0.3")
    before = page.run("return sepbench.player.state().audio[0].currentTime")
    page.press("3")
    page.until("!sepbench.player.state().audio[2].paused")
    after = page.run("return sepbench.player.state().audio[2].currentTime")
    page.until("sepbench.player.state().audio[0].paused")

    assert before - 0.02 <= after < before + 0.6
    assert page.texts("#now-playing") == ["slow"]
    pressed = page.run(
        "return [...document.querySelectorAll('.tile[aria-pressed=true]')]"
        ".map(t => t.dataset.source)"
    )
    assert pressed == ["estimate-2-0"]
    page.press(Keys.SPACE)
    assert page.run("return sepbench.player.state().audio.every(a => a.paused)")


def test_loudness_is_matched_until_it_is_asked_otherwise(page: Page) -> None:
    page.click('[data-item="scene-00000~t0"]')
    volumes = "return sepbench.player.state().audio.map(a => Number(a.volume.toFixed(3)))"

    matched = page.run(volumes)
    page.press("m")
    true = page.run(volumes)
    page.press("m")

    # The soft estimate is 14 dB below the reference, and as loud as it when matched.
    assert matched[1] == pytest.approx(matched[3], abs=0.01)
    assert true[3] / true[1] == pytest.approx(0.2, abs=0.01)


def test_a_link_opens_the_item_and_source_it_names(page: Page) -> None:
    page.open("#metric=si_sdr&item=scene-00005~t1&source=estimate-3-0")

    assert page.texts("#item-detail .over") == ["scene-00005"]
    assert page.texts("#now-playing") == ["net_a"]
    assert page.run("return document.getElementById('metric').value") == "si_sdr"


def test_what_is_open_is_in_the_address(page: Page) -> None:
    page.click('[data-item="scene-00002~t0"]')
    page.click('[data-source="reference"]')

    address = page.driver.current_url
    page.open("#" + address.partition("#")[2])

    assert "item=scene-00002~t0" in address
    assert page.texts("#item-detail .over") == ["scene-00002"]
    assert page.texts("#now-playing") == ["Reference"]


def test_a_link_to_an_item_that_is_not_there_says_so(page: Page) -> None:
    page.open("#item=nothing~here")

    assert page.texts("#items-remarks") == ["This page has no item nothing~here."]


def test_markup_in_a_caption_is_shown_as_text(page: Page) -> None:
    page.click('[data-item="scene-00003~t1"]')

    assert page.texts("#item-detail h3")[0].startswith("</script><script>window.broken")
    assert "<script>" in page.texts("#item-detail .query q")[0]
    assert page.run("return document.querySelectorAll('main script, main img[src=x]').length") == 0


def test_the_keyboard_walks_through_the_items(page: Page) -> None:
    page.click('[data-item="scene-00000~t0"]')

    page.press("j")
    page.press("j")
    page.press("k")

    assert page.texts("#item-detail .over") == ["scene-00001"]
    page.press("/")
    assert page.run("return document.activeElement.id") == "item-filter"


def test_items_are_searched_and_ordered(page: Page) -> None:
    page.find("#item-filter").send_keys("sea waves sound")
    found = page.texts(".item small")
    page.find("#item-filter").clear()
    page.run(
        "document.getElementById('item-order').value = 'best:3';"
        "document.getElementById('item-order').dispatchEvent(new Event('input'))"
    )

    assert found == ["scene-00001", "scene-00005", "scene-00009"]
    assert page.texts(".item small")[:3] == ["scene-00003", "scene-00007", "scene-00011"]


def test_ten_thousand_items_scroll_with_few_of_them_drawn(
    desktop: Any, many_items_page: Path
) -> None:
    page = Page(desktop, many_items_page.as_uri())
    started = time.monotonic()
    page.open()
    loaded = time.monotonic() - started

    page.run("document.getElementById('item-list').scrollTop = 400000")
    page.until("document.querySelector('.item small').textContent >= 'scene-07'")
    started = time.monotonic()
    page.find("#item-filter").send_keys("9999")
    page.until("document.querySelectorAll('.item').length === 1")

    assert time.monotonic() - started < 5
    assert loaded < 15
    assert page.texts("#item-count") == ["1 of 10,000"]
    page.find("#item-filter").clear()
    page.run("document.getElementById('item-filter').dispatchEvent(new Event('input'))")
    assert page.run("return document.querySelectorAll('.item').length") < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_page_on_a_desk(
    desktop: Any, written_page: Path, tmp_path: Path, scheme: str
) -> None:
    page = Page(desktop, written_page.as_uri())
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    desktop.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.open("#item=scene-00000~t0")

    page.shoot(tmp_path / f"{scheme}-listen.png")
    page.run("scrollTo(0, 0)")
    page.shoot(tmp_path / f"{scheme}-board.png")

    ink, paper = page.run(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
    )
    assert (ink < paper) == (scheme == "light")
    assert abs(ink - paper) > 500


def test_the_page_fits_a_phone_and_an_item_fills_it(
    start: Callable[..., Any], written_page: Path, tmp_path: Path
) -> None:
    page = Page(start(390, 844, phone=True), written_page.as_uri())
    page.open()

    page.shoot(tmp_path / "phone-board.png")
    width, window = page.run("return [document.documentElement.scrollWidth, innerWidth]")
    opened_at_once = page.run("return document.body.classList.contains('item-open')")
    page.click('[data-item="scene-00002~t0"]')
    page.shoot(tmp_path / "phone-item.png")

    assert width == window == 390
    assert not opened_at_once
    box = page.run("return document.getElementById('item-detail').getBoundingClientRect().toJSON()")
    assert (box["width"], box["height"]) == (390, 844)
    page.click(".back")
    assert not page.run("return document.body.classList.contains('item-open')")
