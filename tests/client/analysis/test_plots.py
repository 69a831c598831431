"""Plots: every block has its bar, stages have their colours, any number of blocks fits, and notebooks show them."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import resprobe
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from resprobe import plots
from resprobe.plots.layout import stage_colours

from tests.support.statistics import frame, make


@pytest.mark.parametrize("per_stage", [1, 3, 18, 200])
@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize("baseline", [True, False])
def test_every_number_of_blocks_can_be_drawn(tmp_path: Path, per_stage: int, images: int, baseline: bool) -> None:
    path = tmp_path / "blocks.png"
    plots.save(plots.plot_ratios(*make(per_stage, images, baseline), "some images"), path)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or ()}
    for colour in plots.COLOURS[:3]:  # drawn a little transparent, so what counts is to be near
        wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
        assert min(np.abs(np.array(one) - wanted).max() for one in colours) < 32


def test_svg_says_what_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "blocks.svg"
    plots.save(plots.plot_ratios(*make(3, 5), "some images"), path)
    text = path.read_text()
    for words in ("net version 1: some images", "stage 2", "baseline on digits", "10% to 90% of images"):
        assert words in text


def test_attention_and_mlps_of_a_transformer_are_told_apart() -> None:
    blocks, model = make(8, 5)  # 24 blocks in three stages
    kinds = ("attention", "mlp")
    changed = (dataclasses.replace(one, index=k % 8 // 2, branch=kinds[k % 2]) for k, one in enumerate(model.blocks))
    transformer = dataclasses.replace(model, blocks=tuple(changed))
    axes = plots.plot_ratios(blocks, transformer).axes[0]
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert texts == [f"{kind}\n{index}" for index in (0, 1, 2, 3) for kind in "am"] * 3
    assert axes.get_xlabel() == "block within its stage (a attention, m mlp)"
    attention, mlp = stage_colours(transformer)[:2]
    assert attention == plots.COLOURS[0]
    assert sum(to_rgb(mlp)) > sum(to_rgb(attention))
    assert len(set(stage_colours(transformer))) == 6
    only = tuple(dataclasses.replace(one, branch="mlp") for one in model.blocks)  # nothing to tell apart in a mixer
    assert set(stage_colours(dataclasses.replace(model, blocks=only))) == set(plots.COLOURS[:3])


def test_a_shortcut_of_zero_does_not_spoil_the_picture(tmp_path: Path) -> None:
    blocks, model = make(3, 5)
    blocks.ratio[2, 4] = np.inf
    blocks.ratio[3, 4] = np.nan
    plots.save(plots.plot_ratios(blocks, model), tmp_path / "blocks.png")


@pytest.mark.parametrize("name", ["blocks.pdf", "blocks", "nowhere/blocks.svg"])
def test_a_plot_is_not_written_to_such_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(resprobe.Error):
        plots.check_path(tmp_path / name)
    with pytest.raises(resprobe.Error):
        plots.save(plots.plot_ratios(*make(1, 1)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_plot_replaces_its_file_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "blocks.svg"
    plots.save(plots.plot_ratios(*make(1, 1)), str(path))
    before = path.read_text()

    def fail(_figure: Figure, part: Path, **_options: object) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(resprobe.Error, match="No space left on device"):
        plots.save(plots.plot_ratios(*make(3, 5)), path)
    assert path.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["blocks.svg"]


def test_every_plot_is_a_figure_that_a_notebook_shows() -> None:
    one, two = frame(3), frame(2)
    draws = np.full((2, 2), 0.5)
    single = one.blocks.ratio[0].astype(np.float64)
    lesions = resprobe.Lesions(
        "net", "1", 9, one.blocks.names, 0.9, 0.8, single, single, np.array([1, 2]), draws, draws
    )
    for figure in (
        plots.plot_ratios(one.blocks, one.model),
        plots.plot_cosines(one),
        plots.plot_responses(one),
        plots.plot_classes(np.array([[0.1] * 9, [np.nan] * 9]), ["a", "b"], one.model),
        plots.plot_errors(single, single, one.model),
        plots.plot_lesions(lesions, one.model),
        plots.plot_comparison(resprobe.compare(one, two)),
    ):
        assert isinstance(figure, Figure)
        with Image.open(io.BytesIO(figure._repr_png_())) as picture:  # type: ignore[attr-defined]
            assert picture.format == "PNG"
        assert not figure.axes[0].get_title(loc="left")
