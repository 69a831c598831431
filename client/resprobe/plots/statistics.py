"""Draws cosines and responses of every block, in layer order."""

import numpy as np
from matplotlib.figure import Figure

from resprobe._results.statistics import HIGH, LOW, summarise
from resprobe.analysis.dataset_result import Frame
from resprobe.plots.layout import COLOURS, PALE, block_figure, draw_band, legend_below, markers


def plot_cosines(frame: Frame) -> Figure:
    """Draws the mean cosine of branch and shortcut of every block, and its spread over images."""
    figure, axes = block_figure(frame.model, 3.6)
    over, places = summarise(frame.blocks.cosine), np.arange(len(frame.model.blocks))
    spread = draw_band(axes, over.low, over.high, color=PALE)
    (mean,) = axes.plot(places, over.mean, color=COLOURS[0], linewidth=1.2, **markers(frame.model))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("cosine of F(x) and s(x)")
    legend_below(figure, [mean, spread], ["mean over images", f"{LOW:.0%} to {HIGH:.0%} of images"])
    return figure


def plot_responses(frame: Frame) -> Figure:
    """Draws the standard deviation of every branch, measured and in the closed form of its last batch norm."""
    figure, axes = block_figure(frame.model, 3.6)
    places = np.arange(len(frame.model.blocks))
    known = [np.nan if block.response_std is None else block.response_std for block in frame.model.blocks]
    style = markers(frame.model)
    handles = axes.plot(places, frame.blocks.pooled_std(), color=COLOURS[0], linewidth=1.2, label="measured", **style)
    if not np.isnan(known).all():
        crosses = {**style, "marker": "x"} if style else {}
        handles += axes.plot(
            places, known, color=COLOURS[1], linewidth=1.2, linestyle="--", label="closed form", **crosses
        )
    axes.margins(y=0.1)
    axes.update_datalim([(0, 0)])  # so that the axis begins at 0, with the margin above the highest point
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("std of F(x), pooled")
    legend_below(figure, handles)
    return figure
