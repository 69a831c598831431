"""Draws when a net decides: accuracy of the readout after each block, and where answers stop to change."""

import numpy as np
from matplotlib.figure import Figure

from resprobe._results.model import Model
from resprobe.analysis.early_answers import EarlyAnswers
from resprobe.plots.layout import (
    COLOURS,
    GREY,
    empty_figure,
    label_stages,
    legend_below,
    patch,
    tidy,
    title_for,
    width_for,
)


def plot_depths(early: EarlyAnswers, model: Model, source: str | None = None) -> Figure:
    """Draws readout accuracy with its interval, and the share of right and of wrong answers decided at each block.

    Args:
        early: Best classes of labelled images after each block.
        model: Model that they were measured with.
        source: What the images are, for the title. If None, there is no title.
    """
    figure = empty_figure(width_for(len(model.blocks)), 6)
    above, below = figure.subplots(2, 1, sharex=True)
    accuracy, places = early.accuracy(), early.places
    above.plot(places, accuracy.value, color=GREY, linewidth=1, zorder=1)
    for head, colour, words in (("fitted", COLOURS[5], "fitted head"), ("own", COLOURS[0], "the net's own head")):
        rows = np.array([one == head for one in early.heads])
        if rows.any():
            spread = [accuracy.value[rows] - accuracy.low[rows], accuracy.high[rows] - accuracy.value[rows]]
            above.errorbar(places[rows], accuracy.value[rows], spread, fmt="o", markersize=4, color=colour, label=words)
    above.set_ylabel("accuracy of the readout")
    above.set_ylim(0, 1.04)
    above.legend(loc="lower right", frameon=False, fontsize=9)
    label_stages(above, model)
    above.set_xlabel("")
    for shift, right, colour in ((-0.2, True, COLOURS[2]), (0.2, False, COLOURS[1])):
        shares = early.shares(right)
        below.bar(places + shift, np.nan_to_num(shares), width=0.4, color=colour, linewidth=0)
    below.set_ylabel("share decided here")
    below.set_xlabel("block within its stage")
    for axes in (above, below):
        tidy(axes)
    legend_below(figure, [patch(COLOURS[2], "of right answers"), patch(COLOURS[1], "of wrong answers")])
    title_for(above, model, source)
    return figure
