"""Draws the ratio ‖F(x)‖ / ‖s(x)‖ of every block, in layer order."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from resprobe._results.model import Model
from resprobe._results.statistics import HIGH, LOW, BlockStatistics, summarise
from resprobe.plots.layout import COLOURS, FEW, PALE, block_figure, legend_below, patch, stage_colours, title_for


def plot_ratios(blocks: BlockStatistics, model: Model, source: str | None = None) -> Figure:
    """Draws bars of the mean ratio over images, its spread over images, and the model's baseline behind them.

    Args:
        blocks: Statistics of n images.
        model: Model that they were measured with.
        source: What the images are, for the title. If None, there is no title.
    """
    figure, axes = block_figure(model)
    handles = [*_draw_baseline(axes, model), *_draw_ratios(axes, blocks, model)]
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ratio  ‖F(x)‖ / ‖s(x)‖")
    legend_below(figure, handles)
    title_for(axes, model, source)
    return figure


def _draw_baseline(axes: Axes, model: Model) -> list[Patch]:
    """Draws the baseline wider than the bars, to show behind them, or in front of them where there are many."""
    known = [(place, block.baseline["ratio"]) for place, block in enumerate(model.blocks) if "ratio" in block.baseline]
    if not known:
        return []
    places = np.array([place for place, _ in known])
    low, high = (np.array([one.quantiles[probability] for _, one in known]) for probability in (LOW, HIGH))
    if len(model.blocks) <= FEW:
        axes.bar(places, high - low, bottom=low, width=1, color=PALE, linewidth=0)
    else:  # bars without gaps would hide it
        axes.fill_between(places, low, high, step="mid", color=PALE, alpha=0.7, linewidth=0, zorder=3)
    return [patch(PALE, f"baseline on {model.dataset}, {LOW:.0%} to {HIGH:.0%}")]


def _draw_ratios(axes: Axes, blocks: BlockStatistics, model: Model) -> list[Patch]:
    """Draws bars in the colours of the stages, and the spread over images unless there is only one image."""
    places = np.arange(len(blocks.names))
    width = 0.6 if len(places) <= FEW else 1.0
    over = summarise(blocks.ratio)
    axes.bar(places, over.mean, width=width, color=stage_colours(model), linewidth=0, alpha=0.9)
    handles = [patch(COLOURS[0], "mean over images" if len(blocks) > 1 else "this image")]
    if len(blocks) > 1:
        if len(places) <= FEW:
            axes.vlines(places, over.low, over.high, color="black", linewidth=1.2)
        else:
            axes.step(places, over.low, where="mid", color="black", linewidth=0.5, zorder=4)
            axes.step(places, over.high, where="mid", color="black", linewidth=0.5, zorder=4)
        handles.append(patch("black", f"{LOW:.0%} to {HIGH:.0%} of images"))
    return handles
