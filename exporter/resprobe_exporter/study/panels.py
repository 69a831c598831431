"""Panels and colours of a study's figures: plain nets are orange and dashed, residual nets blue and solid."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from resprobe.plots import COLOURS

from resprobe_exporter.study.plan import Family

BLUE, ORANGE = COLOURS[:2]
COLOUR: dict[Family, str] = {"plain": ORANGE, "resnet": BLUE}
PALE: dict[Family, str] = {"plain": "#E69F00", "resnet": "#56B4E9"}  # Okabe and Ito's, for the shallow nets
LINE: dict[Family, str] = {"plain": "--", "resnet": "-"}
MARK: dict[Family, str] = {"plain": "s", "resnet": "o"}
GREY = "#777777"


def grid(rows: int, columns: int, sharey: bool = False) -> tuple[Figure, npt.NDArray[Any]]:
    """Returns a figure as wide as the page, and its axes [rows, columns]."""
    figure = Figure(figsize=(10.5, 3.7 * rows), layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    for panel in axes.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(True, color="#eeeeee")
        panel.set_axisbelow(True)
    return figure, axes


def percent(axes: Axes, name: Literal["x", "y"], top: float) -> None:
    """Makes an axis of percentages up to `top` linear from 0 to 1 % and logarithmic above."""
    limit = min(110.0, max(2.0, 1.5 * top))
    if name == "x":
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-0.1, limit)
    else:
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-0.1, limit)
    set_ticks(axes.xaxis if name == "x" else axes.yaxis, (0, 0.5, 1, 2, 5, 10, 20, 50, 100))


def logarithmic(axis: Axis) -> None:
    """Puts ticks at 1, 2 and 5 times powers of ten on a logarithmic axis, and more where it spans less than that.

    Call it when everything is drawn.
    """
    low, high = axis.get_view_interval()
    factors = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high < 5 * low else (1, 2, 5)
    set_ticks(axis, [factor * 10.0**power for power in range(-3, 4) for factor in factors])


def set_ticks(axis: Axis, places: Sequence[float]) -> None:
    """Sets the ticks of an axis, and labels each with its number."""
    axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def name_blocks(axes: Axes, names: Sequence[str]) -> None:
    """Numbers the blocks within their stage and draws lines between stages."""
    parts = [name.removeprefix("stage").split(".block") for name in names]
    step = max(1, len(names) // 30)
    shown = [place for place, (_, index) in enumerate(parts) if int(index) % step == 0]
    axes.set_xticks(shown, [parts[place][1] for place in shown], fontsize=8)
    axes.set_xlabel("block within its stage")
    for place, (stage, index) in enumerate(parts):
        if index == "0":
            if place:
                axes.axvline(place - 0.5, color=GREY, linewidth=0.8)
            axes.annotate(f"stage {stage}", (place - 0.4, 1.01), xycoords=("data", "axes fraction"), fontsize=8,
                          va="bottom", color=GREY)  # fmt: skip
