"""Draws docs/page.png from a page that runs, or measures how fast its sliders are, in the machine's chromium.

After `make demo`, with `resprobe-server .demo/models &` and `resprobe page &`:

    python docs/draw_page.py "http://127.0.0.1:8080/#model=resnet20/1&example=1&scale=stage1.block2:0" docs/page.png
    python docs/draw_page.py --time "http://127.0.0.1:8080/#model=resnet20/1&example=1"
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZE = 1120, 720  # pixels
COLOURS = 96  # enough for bars and text; a fifth of the bytes
STEPS = 60
MEASURE = """
async (steps) => {
  const pane = document.querySelector(".pane");
  const slider = pane.querySelector("input[type=range]");
  const times = [];
  for (let step = 0; step < steps; step += 1) {
    await new Promise((go) => setTimeout(go, 50));
    const begin = performance.now();
    const drawn = new Promise((go) => {
      const watch = new MutationObserver(() => { watch.disconnect(); requestAnimationFrame(() => setTimeout(go)); });
      watch.observe(pane, { attributes: true, attributeFilter: ["data-answers"] });
    });
    slider.value = (step % 20) / 20;
    slider.dispatchEvent(new Event("input"));
    await drawn;
    times.push(performance.now() - begin);
  }
  return times.sort((one, other) => one - other);
}"""


def main(url: str, out: Path | None) -> None:
    """Draws the page to a file. If None, measures its sliders and prints milliseconds."""
    with sync_playwright() as driver, driver.chromium.launch(executable_path=shutil.which("chromium")) as browser:
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(url)
        page.wait_for_selector(".pane[data-answers]")
        if out is None:
            times = page.evaluate(MEASURE, STEPS)
            at = {"median": STEPS // 2, "90 %": STEPS * 9 // 10, "maximum": STEPS - 1}
            print(", ".join(f"{name} {times[place]:.0f} ms" for name, place in at.items()), "from slider to bars")
        else:
            draw(page, out)


def draw(page: Page, out: Path) -> None:
    """Writes a picture of the page as it is when the server's rates are known."""
    page.wait_for_function("() => document.querySelector('#state').textContent.includes('images/s')")
    with Image.open(BytesIO(page.screenshot(full_page=True))) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--time"]:
        main(sys.argv[2], None)
    else:
        main(sys.argv[1], Path(sys.argv[2]))
