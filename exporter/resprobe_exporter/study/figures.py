"""Parts of a study's figures: what is drawn into one panel."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from resprobe_exporter.study.evidence import WORDS, Evidence
from resprobe_exporter.study.panels import (
    BLUE,
    COLOUR,
    GREY,
    LINE,
    MARK,
    ORANGE,
    PALE,
    logarithmic,
    name_blocks,
    percent,
    set_ticks,
)
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, PowerLaw, mean

Measure = Callable[[Record], float]


def against_depth(axes: Axes, evidence: Evidence, measure: Measure, error: bool = True) -> None:
    """Draws a number against depth: pale points for nets, lines through the means, bars for their intervals.

    Args:
        axes: Panel to draw on.
        evidence: Measurements of the nets.
        measure: Function that returns the number of a net.
        error: Whether the number is an error in per cent, so that it lies between 0 and 100.
    """
    for family in evidence.families():
        depths = evidence.depths(family)
        means = [mean(evidence.values(family, depth, measure)) for depth in depths]
        _points(axes, evidence, family, measure)
        axes.errorbar(
            depths, [one.value for one in means], _bars(means), color=COLOUR[family], linestyle=LINE[family],
            marker=MARK[family], capsize=3, label=WORDS[family],
        )  # fmt: skip
    depths = sorted({record.depth for record in evidence.records})
    axes.set_xticks(depths)
    axes.set_xlabel("depth, weighted layers")
    if error:
        percent(axes, "y", max(map(measure, evidence.records)))


def reference(axes: Axes, known: Mapping[int, float], depths: Sequence[int], label: str) -> None:
    """Draws published numbers at the depths that were measured."""
    shown = [depth for depth in depths if depth in known]
    if shown:
        axes.plot(shown, [known[depth] for depth in shown], "x:", color=GREY, label=label)


def curves(axes: Axes, evidence: Evidence, family: Family) -> None:
    """Draws the error during training, mean over seeds, a line for each depth: the darker, the deeper."""
    depths = evidence.depths(family)
    shades = np.linspace(0.25, 1, len(depths))
    for depth, shade, style in zip(depths, shades, cycle(("-", "--", "-.", ":")), strict=False):
        errors = 100 * np.mean([record.curve for record in evidence.select(family, depth)], axis=0)
        colour = 1 - shade * (1 - np.array(to_rgb(COLOUR[family])))
        axes.plot(
            np.arange(1, len(errors) + 1), errors, color=tuple(colour), linestyle=style, marker=".", label=str(depth)
        )
    axes.set_title(f"{WORDS[family]} nets during training")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("training error, %")
    axes.set_ylim(0, 100)
    if depths:
        axes.legend(title="depth", ncols=2)


def error_plane(axes: Axes, evidence: Evidence) -> None:
    """Draws test error against training error, labelled with depths, and the diagonal on which they are equal."""
    top = 0.0
    for family in evidence.families():
        for depth in evidence.depths(family):
            records = evidence.select(family, depth)
            x = [100 * record.trained.train_error for record in records]
            y = [100 * record.trained.test_error for record in records]
            axes.plot(x, y, MARK[family], color=COLOUR[family], alpha=0.7, markersize=5)
            axes.annotate(str(depth), (float(np.mean(x)), float(np.mean(y))), xytext=(4, 4), textcoords="offset points",
                          color=COLOUR[family], fontsize=8)  # fmt: skip
            top = max(top, *x, *y)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
    percent(axes, "x", top)
    percent(axes, "y", top)
    axes.set_xlabel("training error, %")
    axes.set_ylabel("test error, %")


def profiles(axes: Axes, evidence: Evidence, values: Callable[[Record], npt.NDArray[np.float64]]) -> None:
    """Draws a number of every layer against its position, for shallow and deep nets; bands span the seeds."""
    for family in evidence.families():
        for depth in evidence.compared_depths(family):
            rows = np.array([values(record) for record in evidence.select(family, depth)])
            place = np.linspace(0, 1, rows.shape[1])
            deep = depth == evidence.depths(family)[-1]
            colour = COLOUR[family] if deep else PALE[family]
            label = f"{WORDS[family]}, {depth}"
            axes.plot(place, rows.mean(0), color=colour, linestyle=LINE[family], linewidth=1.6, label=label)
            axes.fill_between(place, rows.min(0), rows.max(0), color=colour, alpha=0.15, linewidth=0)


def measured_against_closed_form(axes: Axes, evidence: Evidence) -> None:
    """Draws the measured response of every 3×3 layer of every net against its closed form."""
    for family in evidence.families():
        records = evidence.family(family)
        closed = [value for record in records for value in record.closed_form.values()]
        measured = [record.trained.responses[name] for record in records for name in record.closed_form]
        axes.plot(
            closed, measured, MARK[family], color=COLOUR[family], alpha=0.4, markersize=3, markeredgewidth=0,
            label=WORDS[family],
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axline((1, 1), (2, 2), color="black", linewidth=0.8)
    for axis in (axes.xaxis, axes.yaxis):
        logarithmic(axis)
    axes.set_xlabel("closed form, from γ and β")
    axes.set_ylabel("measured on test images")
    axes.legend()


def ratios_by_block(axes: Axes, records: Sequence[Record]) -> None:
    """Draws bars of the trained ratio, points for the nets, and a step line of the untrained ratio."""
    names = list(records[0].trained.ratios)
    places = np.arange(len(names))
    trained = np.array([list(record.trained.ratios.values()) for record in records])
    untrained = np.array([list(record.untrained.ratios.values()) for record in records])
    axes.bar(places, trained.mean(0), width=0.7, color=BLUE, label="trained", alpha=0.85)
    for row in trained:
        axes.plot(places, row, ".", color="black", markersize=3)
    edges = np.arange(len(names) + 1) - 0.5
    axes.stairs(untrained.mean(0), edges, baseline=None, color=ORANGE, linewidth=1.8, label="untrained")
    axes.set_ylim(0, 1.25 * max(trained.max(), untrained.mean(0).max()))  # room for the legend
    name_blocks(axes, names)
    axes.set_ylabel("ratio  ‖F(x)‖ / ‖s(x)‖")
    axes.set_title(f"residual, {records[0].depth} layers", pad=18)
    axes.legend()


def ratios_by_depth(
    axes: Axes, evidence: Evidence, measures: Mapping[str, Measure], fits: Mapping[str, PowerLaw | None]
) -> None:
    """Draws the mean ratio against the number of blocks, both logarithmic, with the fits."""
    records = evidence.family("resnet")
    blocks = np.array([len(record.trained.ratios) for record in records], np.float64)
    for (name, measure), colour, mark in zip(measures.items(), (BLUE, ORANGE), ("o", "^"), strict=True):
        fit = fits[name]
        label = name if fit is None else f"{name}: a = {fit.exponent.value:.2f}"
        axes.plot(blocks, [measure(record) for record in records], mark, color=colour, alpha=0.8, label=label)
        if fit is not None:
            ends = np.array([blocks.min(), blocks.max()])
            axes.plot(ends, fit(ends), color=colour, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    set_ticks(axes.xaxis, sorted(set(blocks)))
    logarithmic(axes.yaxis)
    axes.set_xlabel("number of blocks")
    axes.set_ylabel("mean ratio over blocks")
    axes.legend(title="mean ratio ~ (number of blocks)$^{-a}$")


def lost_by_block(axes: Axes, names: Sequence[str], lost: Sequence[float]) -> None:
    """Draws bars of the accuracy lost without each block."""
    axes.bar(range(len(names)), lost, width=0.7, color=BLUE, alpha=0.85)
    axes.axhline(0, color="black", linewidth=0.8)
    name_blocks(axes, names)
    axes.set_ylabel("accuracy lost, points")


def lost_by_ratio(axes: Axes, blocks: Sequence[tuple[float, float, bool]]) -> None:
    """Draws accuracy lost against ratio, a point for each block; blocks that change the shape are marked."""
    for changes, colour, mark, label in (
        (False, BLUE, "o", "keeps the shape"),
        (True, ORANGE, "D", "changes the shape"),
    ):
        chosen = [(ratio, lost) for ratio, lost, other in blocks if other == changes]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), mark, color=colour, label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("ratio  ‖F(x)‖ / ‖s(x)‖")
    axes.set_ylabel("accuracy lost, points")
    axes.legend(title="a block that")


def _points(axes: Axes, evidence: Evidence, family: Family, measure: Measure) -> None:
    records = evidence.family(family)
    axes.plot([record.depth for record in records], [measure(record) for record in records], MARK[family],
              color=COLOUR[family], alpha=0.35, markersize=4, markeredgewidth=0)  # fmt: skip


def _bars(means: Sequence[Estimate]) -> npt.NDArray[np.float64] | None:
    """Returns the lengths of error bars below and above, [2, n]. If None, a mean has no interval."""
    ends = [
        (one.value - one.low, one.high - one.value) for one in means if one.low is not None and one.high is not None
    ]
    return np.array(ends).T if len(ends) == len(means) else None
