"""Draws what a net loses without its blocks, in layer order and against the number removed. Needs matplotlib.

After Figs. 3 and 5 of Veit et al. 2016 (arXiv 1605.06431).
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe.plots.ratios import COLOURS, FEW, check_path, label_stages, save, stage_colours, tidy, width_for

GREY = "#555555"


def plot_lesions(lesions: Lesions, model: Model, source: str, path: Path) -> None:
    """Draws the accuracy without each block, and beside it, if some were removed at random, the error without k.

    Args:
        lesions: To draw.
        model: That was asked.
        source: What the images are, for the title.
        path: To write; .svg or .png.

    Raises:
        Error: It ends in something else, or cannot be written.
    """
    check_path(path)
    widths = [width_for(len(model.blocks)), *([4.0] if lesions.removed.size else [])]
    figure = Figure(figsize=(sum(widths), 4.2), layout="constrained")
    singles, *randoms = np.ravel(figure.subplots(1, len(widths), width_ratios=widths))
    _draw_singles(singles, lesions, model)
    singles.set_title(f"{model.name} version {model.version}: {source}", loc="left", fontsize=10, pad=30)
    for axes in randoms:
        _draw_randoms(axes, lesions)
    save(figure, path)


def _draw_singles(axes: Axes, lesions: Lesions, model: Model) -> None:
    """A point for each block, hanging from the line of the intact net."""
    places = np.arange(len(lesions.blocks))
    few = len(places) <= FEW
    colours = stage_colours(model)
    axes.vlines(places, lesions.block_accuracy, lesions.accuracy, colors=colours, linewidth=1.6 if few else 0.6)
    axes.scatter(places, lesions.block_accuracy, c=colours, s=26 if few else 6, zorder=3)
    axes.axhline(lesions.accuracy, color="black", linewidth=1, label=f"intact: {lesions.accuracy:.3f}")
    label_stages(axes, model)
    tidy(axes)
    axes.set_ylabel("accuracy without the block")
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _draw_randoms(axes: Axes, lesions: Lesions) -> None:
    """Mean error over the draws, each draw as a point, and the intact net where none is removed."""
    order = np.argsort(lesions.removed, kind="stable")
    removed, errors = lesions.removed[order], 1 - lesions.random_accuracy[order]
    intact = 1 - lesions.accuracy
    axes.plot([0, *removed], [intact, *errors.mean(axis=1)], color=COLOURS[0], linewidth=1.6, label="mean")
    axes.scatter(np.repeat(removed, errors.shape[1]), errors, color=GREY, s=8, alpha=0.6, label="one draw", zorder=3)
    axes.axhline(intact, color="black", linewidth=1, label=f"intact: {intact:.3f}")
    tidy(axes)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("blocks removed at random")
    axes.set_ylabel("error")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
