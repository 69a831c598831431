"""The page in a real browser, as people use it: what it shows is what the client says, and failures are sentences."""

import csv
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from PIL import Image

from tests.support import exported_nets
from tests.support.access import write_tokens
from tests.support.commands import Run
from tests.support.pages import page as page_of
from tests.support.servers import Serve
from tests.support.windows import Browser, Window, drop, expect_numbers, heat_maps, shown, slider

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium in PATH: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def window(browser: Browser, url: str) -> Iterator[Window]:
    made = Window(browser)
    yield made
    made.context.close()
    made.check(url)


@pytest.fixture
def file(tmp_path: Path, test_images: npt.NDArray[np.uint8]) -> Path:
    """PNG file of a digit, whose name is hostile."""
    path = tmp_path / HOSTILE
    Image.fromarray(test_images[3, ..., 0]).save(path)
    return path


def test_a_dropped_file_gets_the_clients_numbers_and_sliders_change_them(
    window: Window, url: str, file: Path, client: resprobe.Client
) -> None:
    page = window.open(url, "#model=digits/2")
    drop(page, file)
    whole = client.classify(file, model="digits/2", blocks=True)
    expect_numbers(page, whole.blocks.ratio[0])
    assert page.locator("#caption").inner_text() == HOSTILE
    assert page.locator(".verdict strong").inner_text() == whole.labels[0]
    names = whole.blocks.names
    slider(page, names[0]).fill("0.5")
    part = client.classify(file, model="digits/2", blocks=True, block_scale={names[0]: 0.5})
    expect_numbers(page, part.blocks.ratio[0] * [0.5, 1, 1])
    slider(page, names[0]).press("Delete")
    without = client.classify(file, model="digits/2", blocks=True, block_scale={names[0]: 0})
    expect_numbers(page, without.blocks.ratio[0] * [0, 1, 1])
    assert page.locator(".verdict strong").inner_text() == without.labels[0]
    page.get_by_role("button", name=names[1], exact=True).click()
    assert "test images of digits" in page.locator(".details").inner_text()
    page.get_by_role("button", name="Only this").click()
    only = client.classify(file, model="digits/2", blocks=True, block_scale=[0, 1, 0])
    expect_numbers(page, only.blocks.ratio[0] * [0, 1, 0])
    page.get_by_role("button", name="Reset all").click()
    expect_numbers(page, whole.blocks.ratio[0])


def test_many_slider_events_end_at_the_last_one(window: Window, url: str, file: Path, client: resprobe.Client) -> None:
    page = window.open(url, "#model=digits/2")
    drop(page, file)
    page.wait_for_selector(".pane[data-answers]")
    page.evaluate(
        """() => {
            const slider = document.querySelectorAll(".pane input[type=range]")[1];
            for (let step = 0; step <= 20; step += 1) {
                slider.value = 1 - step / 20;
                slider.dispatchEvent(new Event("input"));
            }
        }"""
    )
    expected = client.classify(file, model="digits/2", blocks=True, block_scale=[1, 0, 1])
    expect_numbers(page, expected.blocks.ratio[0] * [1, 0, 1])


def test_an_opened_block_shows_the_inside_of_the_net(
    window: Window, url: str, file: Path, client: resprobe.Client
) -> None:
    page = window.open(url, "#model=digits/2")
    drop(page, file)
    page.get_by_role("button", name="stage2.block0", exact=True).click()
    inside = page.locator(".inside")
    inside.locator(".readouts").wait_for()
    names = inside.get_by_role("img").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names[0].startswith("‖F(x)‖ by position: largest at the ")
    assert len(names) == 4  # of F(x), of s(x), of the best class, and channels
    found = client.classify(file, model="digits/2", views=["readouts"])
    assert found.readouts is not None
    runs = [label for label, _ in itertools.groupby(found.readouts.classes[0].tolist())]
    assert inside.locator("li").count() == len(runs)
    assert f"{found.readouts.names[-1]} {found.labels[0]}, " in inside.locator("li").last.inner_text()
    assert (
        f"From {found.readouts.names[found.readouts.heads.index('own')]} on" in inside.locator(".readouts").inner_text()
    )
    page.get_by_role("button", name="Remove").click()
    without = client.classify(file, model="digits/2", views=["readouts"], block_scale=[1, 0, 1])
    page.wait_for_function(
        "wanted => document.querySelector('.inside li:last-child').textContent.includes(wanted)",
        arg=f"{100 * without.probabilities[0, 0]:.1f} %",
    )


def test_heat_maps_lie_over_the_crop_that_the_net_saw(browser: Browser, start: Serve, run: Run, tmp_path: Path) -> None:
    """White sides that the net does not see are not drawn: the maps are those of a picture that is black throughout."""
    free = exported_nets.old(17, dynamic_axes=exported_nets.FREE)
    net, root = exported_nets.export(exported_nets.make(), tmp_path / "net.onnx", **free), str(tmp_path / "models")
    options = ("--preprocess", "imagenet", "--classes", "ant,bee,cat,dog,eel")
    assert run("exporter", "probe", str(net), "--name", "net", "--repository", root, *options)[0] == 0
    black = np.zeros((60, 180, 3), np.uint8)
    sides = black.copy()
    sides[:, :50] = sides[:, -50:] = 255
    drawn = []
    with start(tmp_path / "models") as address, page_of(address) as url:
        for name, pixels in (("black", black), ("sides", sides)):
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
            drawn.append(heat_maps(browser, url, tmp_path / f"{name}.png", "stage1.block0"))
    assert drawn[0]
    assert drawn[0] == drawn[1]


def test_a_link_shows_the_same_again_two_models_side_by_side(
    window: Window, url: str, file: Path, client: resprobe.Client
) -> None:
    page = window.open(url)
    drop(page, file)
    page.select_option("#first", "digits/2")
    page.select_option("#second", "digits/1")
    page.check("#linked")
    slider(page, "stage2.block0").fill("0.25")
    expected = client.classify(file, model="digits/2", blocks=True, block_scale=[1, 0.25, 1])
    expect_numbers(page, expected.blocks.ratio[0] * [1, 0.25, 1])
    page.wait_for_function(
        "() => location.hash.includes('data=') && location.hash.includes('scale2=stage2.block0:0.25')"
    )
    again = window.context.new_page()
    again.goto(page.url)
    expect_numbers(again, expected.blocks.ratio[0] * [1, 0.25, 1])
    assert again.locator(".pane h2").all_inner_texts() == page.locator(".pane h2").all_inner_texts()
    again.wait_for_function("() => document.querySelectorAll('.pane[data-answers]').length === 2")
    assert again.locator("#caption").inner_text() == HOSTILE
    again.close()


def test_downloads_are_the_answer(
    window: Window, url: str, file: Path, client: resprobe.Client, tmp_path: Path
) -> None:
    page = window.open(url, "#model=digits/2&scale=stage1.block0:0")
    drop(page, file)
    expected = client.classify(file, model="digits/2", blocks=True, block_scale=[0, 1, 1])
    expect_numbers(page, expected.blocks.ratio[0] * [0, 1, 1])
    saved = {}
    for kind in ("JSON", "CSV", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {kind}").click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    answer = json.loads(saved["JSON"].read_text())
    assert (answer["picture"], answer["factors"]) == (HOSTILE, {"stage1.block0": 0})
    assert answer["blocks"]["cosine"] == pytest.approx(expected.blocks.cosine[0], rel=1e-4, abs=1e-5)
    rows = list(csv.DictReader(saved["CSV"].read_text().splitlines()))
    assert [row["block"] for row in rows] == expected.blocks.names
    assert [float(row["ratio"]) for row in rows] == pytest.approx(expected.blocks.ratio[0], rel=1e-4)
    assert [row["factor"] for row in rows] == ["0", "1", "1"]
    with Image.open(saved["PNG"]) as picture:
        assert picture.width == 1800
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 10


def test_files_that_are_no_pictures_are_refused_in_words(window: Window, url: str, tmp_path: Path) -> None:
    page = window.open(url, "#model=digits/2")
    page.wait_for_selector(".pane[data-answers]")
    (tmp_path / "note.png").write_text("not a picture")
    page.set_input_files("#file", tmp_path / "note.png")
    alert = page.locator(".pane .trouble")
    alert.wait_for()
    assert alert.inner_text().startswith("The picture is 13 bytes that are not a JPEG")
    with (tmp_path / "large.png").open("wb") as large:
        large.truncate(50 * 2**20)
    page.set_input_files("#file", tmp_path / "large.png")
    page.locator("#trouble").wait_for()
    assert page.locator("#trouble").inner_text() == (
        "large.png has 50 MiB; the maximum is 32 MiB. Choose a smaller picture."
    )
    page.get_by_role("button", name="Example: 7").click()
    page.wait_for_selector(".pane:not(.failed) .verdict .right")
    assert not page.locator("#trouble").is_visible()


def test_a_model_without_blocks_says_so(window: Window, url: str) -> None:
    page = window.open(url, "#model=plain/1&example=1")
    page.wait_for_selector(".pane[data-answers]")
    assert page.locator(".classes li").count() == 5
    assert "has no residual blocks" in page.locator(".note").inner_text()
    assert not page.locator(".blocks").is_visible()


def test_without_the_right_to_analyse_only_classes_are_shown(
    browser: Browser, start: Serve, repository: Path, tmp_path: Path
) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml")
    with start(repository, tokens=tokens) as address, page_of(address, token="a-classifier") as url:
        window = Window(browser)
        page = window.open(url, "#model=digits/2&example=1")
        page.wait_for_selector(".pane[data-answers]")
        assert page.locator(".note").inner_text().startswith("Only the classes are shown: ")
        assert "analyse" in page.locator(".note").inner_text()
        assert page.locator(".classes li").count() == 5
        window.context.close()
        window.check(url)


def test_a_server_that_goes_and_comes_back(browser: Browser, start: Serve, repository: Path) -> None:
    window = Window(browser)
    with start(repository) as address:
        pass
    with page_of(address, "--dataset", "digits") as url:
        page = window.open(url, "#model=digits/2&example=1")
        page.locator("#panes .trouble").wait_for()
        assert f"othing listens at {address}" in page.locator("#panes .trouble").inner_text()
        with start(repository, address):
            page.wait_for_selector(".pane[data-answers]")
            page.locator("#light.on").wait_for()
        slider(page, "stage1.block0").fill("0")
        page.locator(".pane .trouble").wait_for()
        assert address in page.locator(".pane .trouble").inner_text()
        page.locator("#light.off").wait_for()
        assert "Not serving" in page.locator("#state").inner_text()
        with start(repository, address):
            page.locator(".pane:not(.failed)").wait_for()
            page.locator("#light.on").wait_for()
            assert shown(page)[0] == "0"
        window.context.close()
        window.check(url)


def test_the_axis_is_logarithmic_where_one_block_dwarfs_the_rest(window: Window, url: str) -> None:
    page = window.open(url)
    page.wait_for_selector(".pane[data-answers]")
    for values, wanted in (([1, 1, 2, 20], True), ([1, 2, 3, 5], False), ([0, "NaN", 1], False)):
        script = "async values => (await import('/static/pane/axis.js')).dwarfs(values.map(Number))"
        assert page.evaluate(script, values) is wanted
    page.get_by_label("log axis").check()
    ticks = [float(text) for text in page.locator(".axis span").all_inner_texts()]
    assert all(later / earlier >= 2 for earlier, later in itertools.pairwise(ticks))
    page.wait_for_function("() => location.hash.includes('log=1')")


def test_keys_alone_are_enough_and_screen_readers_hear_the_answer(window: Window, url: str) -> None:
    page = window.open(url, "#model=digits/2&example=4")
    page.wait_for_selector(".pane[data-answers]")
    table = page.get_by_role("table", name="Blocks of digits, from input to output")
    assert table.get_by_role("row").count() == 7  # the head, three stages and their blocks
    page.get_by_role("button", name="stage1.block0", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "stage2.block0"
    page.keyboard.press("Enter")
    assert page.get_by_role("group", name="Details of stage2.block0").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()
    slider(page, "stage2.block0").focus()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('#spoken').textContent.includes('digits: ')")
    assert slider(page, "stage2.block0").input_value() == "0"
    nameless = "e => !e.labels?.length && !e.ariaLabel && !e.textContent && e.id !== 'file'"
    assert page.evaluate(f"[...document.querySelectorAll('button, input, select')].filter({nameless}).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, url: str, scheme: str) -> None:
    window = Window(browser, viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page = window.open(url, "#model=digits/2&example=2&with=colour/1&open=stage1.block0")
    page.wait_for_function("() => document.querySelectorAll('.pane[data-answers]').length === 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    window.context.close()
    window.check(url)
