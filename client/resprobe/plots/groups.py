"""Draws how groups of images differ by block: each class, and wrong against right predictions."""

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from resprobe._results.model import Model
from resprobe.plots.layout import COLOURS, FEW, LABELS, block_figure, draw_band

Floats = npt.NDArray[np.float64]


def plot_classes(deviation: Floats, labels: list[str], model: Model) -> Figure:
    """Draws a map of classes and blocks: how far each class's mean ratio is from that of all images.

    Args:
        deviation: Relative deviation, [classes, L]; 0.1 means 10 % above all images.
        labels: Names of the classes.
        model: Model with L blocks.
    """
    figure, axes = block_figure(model, 1.9 + 0.22 * min(len(labels), LABELS))
    finite = np.abs(deviation[np.isfinite(deviation)])
    bound = float(finite.max(initial=1e-6)) * 100
    shown = axes.imshow(deviation * 100, aspect="auto", cmap="PuOr_r", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.grid(False)
    step = max(1, len(labels) // LABELS)
    axes.set_yticks(range(0, len(labels), step), labels[::step], fontsize=8)
    axes.set_ylabel("class")
    bar = figure.colorbar(shown, ax=axes, pad=0.01)
    bar.set_label("against all images, %", fontsize=9)
    return figure


def plot_errors(difference: Floats, margin: Floats, model: Model) -> Figure:
    """Draws how far the mean ratio of wrongly classified images is from that of rightly classified images.

    Args:
        difference: Relative difference, [L]; 0.1 means 10 % above.
        margin: Half the width of each interval, [L].
        model: Model with L blocks.
    """
    figure, axes = block_figure(model, 3.6)
    places = np.arange(len(difference))
    if len(places) <= FEW:
        axes.errorbar(places, difference * 100, margin * 100, fmt="o", markersize=4, color=COLOURS[1], linewidth=1.2)
    else:
        low, high = (difference - margin) * 100, (difference + margin) * 100
        draw_band(axes, low, high, color=COLOURS[1], alpha=0.4)
        axes.step(places, difference * 100, where="mid", color=COLOURS[1], linewidth=1)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("ratio, wrong against right, %")
    return figure
