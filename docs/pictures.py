"""Makes the pictures of the page that the README shows, from a workspace with kept audio.

    bench run --keep-audio
    python docs/pictures.py [--workspace bench-results] [--output docs/pictures]

Needs Chromium with its driver, and selenium of the test extra. The page is written to a folder
that is thrown away; the workspace stays as it is.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from sepbench.harness.run.report import write_reports

WIDTH, HEIGHT = 1440, 960
SCALE = 1.2
COLOURS = 256  # of a picture's palette: text stays sharp at a third of the bytes
MOST_BYTES = 300_000
# The item that the first model does best among those with sound, in the middle of a sound.
BEST_ITEM = """
const model = sepbench.models()[0];
const order = document.getElementById('item-order');
document.getElementById('only-audio').checked = true;
order.value = `best:${model.id}`;
order.dispatchEvent(new Event('input'));
sepbench.explorer.open(sepbench.explorer.order()[0], { quiet: true });
sepbench.player.select(2);
sepbench.player.nudge(sepbench.player.state().media.seconds * 0.4);
document.getElementById('items').scrollIntoView();
"""


def main() -> None:
    """Write `page.png` and `listen.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("bench-results"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "pictures")
    choice = parser.parse_args()
    choice.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (page,) = write_reports(choice.workspace, ["html"], Path(folder))
        driver = browser()
        try:
            driver.get(page.as_uri())
            ready = "return document.body.classList.contains('ready')"
            WebDriverWait(driver, 60).until(lambda each: each.execute_script(ready))
            driver.execute_script("document.activeElement.blur()")
            save(driver, choice.output / "page.png")
            driver.execute_script(BEST_ITEM)
            save(driver, choice.output / "listen.png")
        finally:
            driver.quit()


def browser() -> Any:
    """A headless Chromium of the pictures' size, without scroll bars."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chrome") or ""
    for flag in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--hide-scrollbars", f"--force-device-scale-factor={SCALE}"),
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False},
    )
    return driver


def save(driver: Any, path: Path) -> None:
    """What the browser shows, with a palette; a picture that became too large is refused."""
    time.sleep(1.5)  # pictures are decoded, smooth scrolling comes to rest
    shot = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    # Coverage, not frequency: the few dots that tell rows apart keep their colours.
    few = shot.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    size = path.stat().st_size
    sys.stdout.write(f"{path} {shot.width}x{shot.height} {size / 1000:.0f} kB\n")
    if size > MOST_BYTES:
        sys.exit(f"{path} is larger than {MOST_BYTES / 1000:.0f} kB: lower SCALE or COLOURS.")


if __name__ == "__main__":
    main()
