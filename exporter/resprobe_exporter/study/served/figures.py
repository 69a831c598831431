"""Panels of a study of served models: a colour for each model, a marker for each kind of branch."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from resprobe.plots import COLOURS

from resprobe_exporter.study.evidence import Row
from resprobe_exporter.study.panels import BLUE, ORANGE, logarithmic
from resprobe_exporter.study.statistics import Estimate

MARKS = {"conv": "o", "attention": "^", "mlp": "s"}
OTHER_MARK = "D"


def by_depth(axes: Axes, rows: Sequence[Row]) -> None:
    """Draws the mean ratio of each block against relative depth, a line for each model and kind of branch."""
    models = [list(members) for _, members in groupby(rows, key=lambda row: (row["model"], row["version"]))]
    for number, blocks in enumerate(models):
        for place, kind in enumerate(dict.fromkeys(row["kind"] for row in blocks)):
            members = [row for row in blocks if row["kind"] == kind and row["ratio"]]
            ratio = np.array([row["ratio"] for row in members])
            ends = [[row[end] or row["ratio"] for row in members] for end in ("low", "high")]
            axes.errorbar(
                [row["depth"] for row in members], ratio, (ratio - ends[0], ends[1] - ratio),
                color=COLOURS[number % len(COLOURS)], marker=MARKS.get(kind, OTHER_MARK), markersize=4,
                linewidth=1, linestyle="--" if place else "-", label=f"{blocks[0]['model']}, {kind}",
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    axes.set_xlabel("relative depth of the block")
    axes.set_ylabel("mean ratio  ‖F‖ / ‖s‖")
    logarithmic(axes.yaxis)
    axes.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def by_kind(axes: Axes, found: Sequence[tuple[str, str, Estimate | None]]) -> None:
    """Draws typical ratios with their intervals, a row for each model and kind of branch, the first at the top."""
    names = list(dict.fromkeys(name for name, _, _ in found))
    for place, (name, kind, estimate) in enumerate(found):
        if estimate is None:
            continue
        low, high = estimate.low or estimate.value, estimate.high or estimate.value
        axes.errorbar(
            [estimate.value], [place], xerr=[[estimate.value - low], [high - estimate.value]], capsize=3,
            color=COLOURS[names.index(name) % len(COLOURS)], marker=MARKS.get(kind, OTHER_MARK),
        )  # fmt: skip
    axes.set_yticks(range(len(found)), [f"{name}, {kind}" for name, kind, _ in found], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("typical ratio  ‖F‖ / ‖s‖")
    logarithmic(axes.xaxis)


def tokens_by_depth(axes: Axes, name: str, rows: Sequence[Row]) -> None:
    """Draws ‖s‖ / ‖F‖ of the class token and of the other tokens of a net against relative depth."""
    for place, kind in enumerate(dict.fromkeys(row["kind"] for row in rows)):
        members = [row for row in rows if row["kind"] == kind]
        for column, label, colour in (("class_token", "class token", BLUE), ("other_tokens", "others", ORANGE)):
            shown = [row for row in members if row[column]]
            axes.plot(
                [row["depth"] for row in shown], [row[column] for row in shown], color=colour, markersize=4,
                marker=MARKS.get(kind, OTHER_MARK), linestyle="--" if place else "-", label=f"{label}, {kind}",
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    axes.set_title(name)
    axes.set_xlabel("relative depth of the block")
    axes.set_ylabel("‖s‖ / ‖F‖")
    logarithmic(axes.yaxis)
    axes.legend(fontsize=8)
