"""Windows of a real browser, and what they show. Playwright's types are Any, since the package may not be there."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SECONDS = 20_000  # milliseconds: maximum for what a test waits for
Browser = Any
RATIOS = ".pane:first-child .row:not(.head) .value"


class Window:
    """A window of the browser, and everything that must not happen in it."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SECONDS)
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: Any) -> None:
        refused = "Failed to load resource" in message.text  # the browser's own line on a status over 399
        if message.type in ("error", "warning") and not refused:
            self.wrong.append(message.text)

    def open(self, url: str, fragment: str = "") -> Any:
        self.page.goto(url + fragment)
        return self.page

    def check(self, url: str) -> None:
        assert self.wrong == []
        assert self.hosts <= {url.split("/")[2], ""}


def number(value: float) -> str:
    """Writes a number as the page does, where it is between 0.001 and 100."""
    if value == 0:
        return "0"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def shown(page: Any) -> list[str]:
    found: list[str] = page.locator(RATIOS).all_inner_texts()
    return found


def expect_numbers(page: Any, values: npt.NDArray[np.float32]) -> None:
    """Waits until the first pane shows these ratios."""
    wanted = [number(float(value)) for value in values]
    script = "([where, wanted]) => [...document.querySelectorAll(where)].map(e => e.textContent).join() === wanted"
    try:
        page.wait_for_function(script, arg=[RATIOS, ",".join(wanted)])
    except Exception as error:  # playwright's timeout
        raise AssertionError(f"{shown(page)} is shown; expected {wanted}") from error


def drop(page: Any, path: Path) -> None:
    data = page.evaluate_handle(
        """([bytes, name]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name));
            return data;
        }""",
        [list(path.read_bytes()), path.name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def slider(page: Any, block: str) -> Any:
    return page.get_by_label(f"factor on {block}").first


def heat_maps(browser: Browser, url: str, path: Path, block: str) -> list[str]:
    """Opens a block of the first model for a picture in a window of its own; returns its heat maps as data URLs."""
    window = Window(browser)
    page = window.open(url)
    drop(page, path)
    page.get_by_role("button", name=block, exact=True).click()
    heats = page.locator(".heat canvas")
    heats.first.wait_for()
    found: list[str] = heats.evaluate_all("all => all.map(one => one.toDataURL())")
    window.context.close()
    window.check(url)
    return found
