"""The plot: every block has its bar, stages differ in colour, and any number of blocks fits."""

from pathlib import Path

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe.plots import ratios

from tests.support.statistics import make


@pytest.mark.parametrize("per_stage", [1, 3, 18, 200])
@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize("baseline", [True, False])
def test_every_number_of_blocks_can_be_drawn(tmp_path: Path, per_stage: int, images: int, baseline: bool) -> None:
    path = tmp_path / "blocks.png"
    ratios.plot_ratios(*make(per_stage, images, baseline), "some images", path)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or ()}
    for colour in ratios.COLOURS[:3]:  # drawn a little transparent, so what counts is to be near
        wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
        assert min(np.abs(np.array(one) - wanted).max() for one in colours) < 32


def test_svg_says_what_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "blocks.svg"
    ratios.plot_ratios(*make(3, 5), "some images", path)
    text = path.read_text()
    for words in ("net version 1: some images", "stage 2", "baseline on digits", "10% to 90% of images"):
        assert words in text


def test_a_shortcut_of_zero_does_not_spoil_the_picture(tmp_path: Path) -> None:
    blocks, model = make(3, 5)
    blocks.ratio[2, 4] = np.inf
    blocks.ratio[3, 4] = np.nan
    ratios.plot_ratios(blocks, model, "some images", tmp_path / "blocks.png")


@pytest.mark.parametrize("name", ["blocks.pdf", "blocks", "nowhere/blocks.svg"])
def test_paths_that_cannot_be_drawn_to(tmp_path: Path, name: str) -> None:
    with pytest.raises(resprobe.Error):
        ratios.plot_ratios(*make(1, 1), "some images", tmp_path / name)
