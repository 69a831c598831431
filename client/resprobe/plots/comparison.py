"""Draws two models against each other, by relative depth."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resprobe._results.statistics import summarise
from resprobe.analysis.compare import Comparison
from resprobe.analysis.depth import positions
from resprobe.plots.layout import COLOURS, PALE, empty_figure, markers, tidy


def plot_comparison(compared: Comparison) -> Figure:
    """Draws both models' mean ratio against relative depth, and below it their difference with its interval."""
    figure = empty_figure(9.6, 6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_ratios(top, compared)
    _draw_difference(bottom, compared)
    bottom.set_xlim(0, 1)
    for axes in (top, bottom):
        tidy(axes)
    return figure


def _draw_ratios(axes: Axes, compared: Comparison) -> None:
    for name, frame, colour, style in (("A", compared.a, COLOURS[0], "-"), ("B", compared.b, COLOURS[1], "--")):
        label = f"{name}: {frame.model.name} version {frame.model.version}, {len(frame.blocks.names)} blocks"
        depth, mean = positions(frame.model, compared.by_stage), summarise(frame.blocks.ratio).mean
        axes.plot(depth, mean, color=colour, linestyle=style, linewidth=1.2, label=label, **markers(frame.model))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean ratio  ‖F(x)‖ / ‖s(x)‖")
    axes.legend(frameon=False, fontsize=9)


def _draw_difference(axes: Axes, compared: Comparison) -> None:
    depth, ratio = compared.depth, compared.ratio
    interval = f"{compared.confidence:.0%} interval"
    axes.fill_between(depth, ratio.low, ratio.high, color=PALE, linewidth=0, label=interval)
    axes.plot(depth, ratio.value, color="black", linewidth=1.2, label="B − A", **markers(compared.a.model))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("difference of ratios, B − A")
    axes.set_xlabel("relative depth, stage by stage" if compared.by_stage else "relative depth in the whole net")
    axes.legend(frameon=False, fontsize=9)
