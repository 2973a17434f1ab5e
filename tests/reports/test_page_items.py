"""The page in a real browser: finding an item, looking at it, listening to it."""

from __future__ import annotations

import pytest
from sepbench_testkit.browser import END, HOME, MARKS, SPACE, Page

pytestmark = MARKS


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

    page.press(SPACE)
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
    page.press(SPACE)
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
    page.choose("item-order", "best:3")

    assert found == ["scene-00001", "scene-00005", "scene-00009"]
    assert page.texts(".item small")[:3] == ["scene-00003", "scene-00007", "scene-00011"]


def test_the_ends_of_the_list_are_a_key_away(page: Page) -> None:
    page.find("#item-list").send_keys(END)
    last = page.texts("#item-detail .over")
    page.find("#item-list").send_keys(HOME)

    assert last == ["scene-00011"]
    assert page.texts("#item-detail .over") == ["scene-00000"]
    chosen = page.run(
        "return document.getElementById('item-list').getAttribute(arguments[0])",
        "aria-activedescendant",
    )
    assert chosen == "item-0"


def test_the_trio_is_mixture_target_and_the_estimate_last_heard(page: Page) -> None:
    page.click('[data-item="scene-00000~t0"]')
    seen = (
        "return [...document.querySelectorAll('.tile')].filter(t => t.checkVisibility())"
        ".map(t => t.dataset.source)"
    )

    page.press("v")
    first = page.run(seen)
    page.click('[data-chip="estimate-3-0"]')
    second = page.run(seen)
    page.press("r")
    with_residual = page.run(seen)
    address = page.driver.current_url
    page.press("r", "v")

    assert first == ["mixture", "reference", "estimate-2-0"]
    assert second == ["mixture", "reference", "estimate-3-0"]
    assert with_residual == [*second, "residual-3-0"]
    assert page.run(seen) == [
        *("mixture", "reference", "estimate-2-0", "estimate-3-0", "estimate-4-0")
    ]
    page.open("#" + address.partition("#")[2])
    assert page.run(seen) == second


def test_examples_of_the_query_are_heard_by_themselves(page: Page) -> None:
    page.click('[data-item="scene-00000~t0"]')
    page.until("sepbench.player.state().audio.every(a => a.readyState >= 3)")
    page.press(SPACE)
    page.until("sepbench.player.state().playing")

    page.click('[data-example="clip-b"]')
    stopped = page.run("return sepbench.player.state().audio.every(a => a.paused)")
    pressed = page.texts(".example[aria-pressed=true]")
    page.click('[data-example="clip-b"]')

    assert stopped
    assert pressed == ["clip-b"]
    assert page.texts(".example") == ["clip-a", "clip-b"]
    assert page.texts(".example[aria-pressed=true]") == []


def test_an_item_without_sound_names_the_command_that_adds_it(page: Page) -> None:
    page.click('[data-item="scene-00004~t0"]')
    to_draw = page.texts("#item-detail pre")
    page.click('[data-item="scene-00009~t1"]')

    assert to_draw == [
        "bench report --format html --item 'scene-00004~t0'\nbench report --format html --heard all"
    ]
    assert "No estimate of this item was kept" in page.texts("#item-detail .note")[0]
