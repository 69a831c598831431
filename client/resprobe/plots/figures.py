"""The figures of reports and comparisons, beside those of ratios.py. Needs matplotlib."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from resprobe._results.model import Model
from resprobe._results.statistics import HIGH, LOW, summarise
from resprobe.analysis.compare import Comparison
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.depth import positions
from resprobe.plots.ratios import COLOURS, FEW, GREY, layers

WIDE = (9.6, 4.2)  # inches
_BELOW: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "fontsize": 9}
Floats = npt.NDArray[np.float64]


def cosines(frame: Frame) -> Figure:
    """Mean and spread over images of the cosine of every block."""
    figure, axes = layers(frame.model, 3.6)
    over, places = summarise(frame.blocks.cosine), np.arange(len(frame.model.blocks))
    axes.fill_between(places, over.low, over.high, step="mid", color=GREY, linewidth=0)
    axes.plot(places, over.mean, color=COLOURS[0], linewidth=1.2, **_marker(frame.model))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("cosine of F(x) and s(x)")
    figure.legend(
        handles=[axes.lines[0], axes.collections[0]],
        labels=["mean over images", f"{LOW:.0%} to {HIGH:.0%} of images"],
        ncols=2,
        **_BELOW,
    )
    return figure


def responses(frame: Frame) -> Figure:
    """Standard deviation of every branch: measured, and as its last batch norm tells it."""
    figure, axes = layers(frame.model, 3.6)
    places = np.arange(len(frame.model.blocks))
    known = [np.nan if block.response_std is None else block.response_std for block in frame.model.blocks]
    marker = _marker(frame.model)
    axes.plot(places, frame.blocks.pooled_std(), color=COLOURS[0], linewidth=1.2, label="measured", **marker)
    if not np.isnan(known).all():
        crosses = {**marker, "marker": "x"} if marker else {}
        axes.plot(places, known, color=COLOURS[1], linewidth=1.2, linestyle="--", label="closed form", **crosses)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("std of F(x), pooled")
    figure.legend(ncols=2, **_BELOW)
    return figure


def classes(deviation: Floats, labels: list[str], model: Model) -> Figure:
    """A map of every class and block: by how much the class's mean ratio differs from that of all images.

    Args:
        deviation: [classes, L], 0.1 means 10 % above.
        labels: Of the classes.
        model: Whose blocks they are.
    """
    figure, axes = layers(model, 1.9 + 0.22 * min(len(labels), 40))
    bound = float(np.nanmax(np.abs(deviation), initial=1e-6)) * 100
    shown = axes.imshow(deviation * 100, aspect="auto", cmap="PuOr_r", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.grid(False)
    step = max(1, len(labels) // 40)
    axes.set_yticks(range(0, len(labels), step), labels[::step], fontsize=8)
    bar = figure.colorbar(shown, ax=axes, pad=0.01)
    bar.set_label("against all images, %", fontsize=9)
    return figure


def errors(difference: Floats, margin: Floats, model: Model) -> Figure:
    """By how much the mean ratio of wrongly classified images differs from that of rightly classified ones.

    Args:
        difference: [L], relative: 0.1 means 10 % above.
        margin: [L], half of each interval.
        model: Whose blocks they are.
    """
    figure, axes = layers(model, 3.6)
    places = np.arange(len(difference))
    if len(places) <= FEW:
        axes.errorbar(places, difference * 100, margin * 100, fmt="o", markersize=4, color=COLOURS[1], linewidth=1.2)
    else:
        low, high = (difference - margin) * 100, (difference + margin) * 100
        axes.fill_between(places, low, high, step="mid", color=COLOURS[1], alpha=0.4, linewidth=0)
        axes.step(places, difference * 100, where="mid", color=COLOURS[1], linewidth=1)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("ratio, wrong against right, %")
    return figure


def comparison(compared: Comparison) -> Figure:
    """Both models' mean ratio against relative depth, and below it their difference with its interval."""
    figure = Figure(figsize=(WIDE[0], 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for frame, colour, style in ((compared.a, COLOURS[0], "-"), (compared.b, COLOURS[1], "--")):
        label = f"{frame.model.name} version {frame.model.version}, {len(frame.blocks.names)} blocks"
        depth = positions(frame.model, compared.by_stage)
        marker = _marker(frame.model)
        mean = summarise(frame.blocks.ratio).mean
        top.plot(depth, mean, color=colour, linestyle=style, linewidth=1.2, label=label, **marker)
    top.set_ylim(bottom=0)
    top.set_ylabel("mean ratio  ‖F(x)‖ / ‖s(x)‖")
    top.legend(frameon=False, fontsize=9)
    ratio = compared.ratio
    bottom.fill_between(compared.depth, ratio.low, ratio.high, color=GREY, linewidth=0, label="95 % interval")
    bottom.plot(compared.depth, ratio.value, color="black", linewidth=1.2, label="B − A", **_marker(compared.a.model))
    bottom.axhline(0, color="black", linewidth=0.8)
    bottom.set_ylabel("difference of ratios, B − A")
    bottom.set_xlabel("relative depth, stage by stage" if compared.by_stage else "relative depth in the whole net")
    bottom.legend(frameon=False, fontsize=9)
    bottom.set_xlim(0, 1)
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.grid(True, color="#eeeeee")
        axes.set_axisbelow(True)
    return figure


def _marker(model: Model) -> dict[str, Any]:
    """Points where there is room for them."""
    return {"marker": "o", "markersize": 4} if len(model.blocks) <= FEW else {}
