"""Draws what a net loses without its blocks, in layer order and against the number removed.

After Figs. 3 and 5 of Veit et al. 2016 (arXiv 1605.06431).
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe.plots.layout import (
    COLOURS,
    FEW,
    GREY,
    empty_figure,
    label_stages,
    stage_colours,
    tidy,
    title_for,
    width_for,
)


def plot_lesions(lesions: Lesions, model: Model, source: str | None = None) -> Figure:
    """Draws the accuracy without each block and, if some were removed at random, the error without k blocks.

    Args:
        lesions: Lesions to draw.
        model: Model whose blocks were removed.
        source: What the images are, for the title. If None, there is no title.
    """
    widths = [width_for(len(model.blocks)), *([4.0] if lesions.removed.size else [])]
    figure = empty_figure(sum(widths), 4.2)
    singles, *randoms = np.ravel(figure.subplots(1, len(widths), width_ratios=widths))
    _draw_singles(singles, lesions, model)
    title_for(singles, model, source)
    for axes in randoms:
        _draw_randoms(axes, lesions)
    return figure


def _draw_singles(axes: Axes, lesions: Lesions, model: Model) -> None:
    """Draws a point for each block, on a line down from the accuracy of the intact net."""
    places = np.arange(len(lesions.blocks))
    few = len(places) <= FEW
    colours = stage_colours(model)
    axes.vlines(places, lesions.block_accuracy, lesions.accuracy, colors=colours, linewidth=1.6 if few else 0.6)
    axes.scatter(places, lesions.block_accuracy, c=colours, s=26 if few else 6, zorder=3)
    axes.axhline(lesions.accuracy, color="black", linewidth=1, label=f"intact: {lesions.accuracy:.3f}")
    label_stages(axes, model)
    tidy(axes)
    axes.set_ylabel("accuracy without the block")
    axes.legend(loc="best", frameon=False, fontsize=9)


def _draw_randoms(axes: Axes, lesions: Lesions) -> None:
    """Draws the mean error over the draws, each draw as a point, and the error of the intact net."""
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
    axes.legend(loc="best", frameon=False, fontsize=9)
