"""A headless Chromium with the page open, and what a test asks of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
# Where pictures that tests make of the page are kept, beside the test's own folder.
PICTURES = "SEPBENCH_TEST_PICTURES"
# Keys as WebDriver's standard numbers them.
TAB, ENTER, SPACE, END, HOME = "\ue004", "\ue007", "\ue00d", "\ue010", "\ue011"
MARKS = [
    pytest.mark.skipif(
        not (BROWSER and DRIVER),
        reason="no Chromium with its driver: apt-get install chromium chromium-driver",
    ),
    # Selenium leaves sockets of a browser that has quit to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Page:
    """A browser with the page open."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(self.address + fragment)
        self.until("document.body.classList.contains('ready')")

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def wait_for(self, script: str, *values: Any) -> Any:
        """What a script hands to its last argument, a function, when it is done."""
        return self.driver.execute_async_script(script, *values)

    def until(self, condition: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20).until(lambda _: self.run(f"return {condition}"), condition)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", selector
        )

    def press(self, *keys: str) -> None:
        self.find("body").send_keys(*keys)

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def choose(self, name: str, value: str) -> None:
        """Pick a value of the select with that id."""
        self.run(
            "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change'))",
            name,
            value,
        )

    def colours(self, scheme: str) -> None:
        """Prefer a light or a dark page from now on."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def shoot(self, path: Path) -> None:
        """Save a picture; also into the folder that the environment names."""
        time.sleep(0.4)
        assert self.driver.save_screenshot(str(path))
        kept = os.environ.get(PICTURES)
        if kept:
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)

    def complaints(self) -> list[Any]:
        """What went wrong on the page since it was last asked."""
        return [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def schemes(self) -> set[str]:
        """The schemes of everything that was asked for since it was last asked."""
        entries = self.driver.get_log("performance")
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return {
            event["params"]["request"]["url"].partition(":")[0]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["documentURL"].startswith("chrome")
        }


def starter(started: list[Any]) -> Callable[..., Any]:
    """A function that starts browsers and notes them in `started`."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="the test extra brings selenium")
    from selenium.webdriver.chrome.service import Service

    def start(width: int = 1440, height: int = 900, phone: bool = False) -> Any:
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

    return start
