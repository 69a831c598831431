"""Draws the ratio ‖F(x)‖ / ‖s(x)‖ of every block, in layer order, as SVG or PNG. Needs matplotlib."""

from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from resprobe import _files
from resprobe._results.model import Model
from resprobe._results.statistics import HIGH, LOW, BlockStatistics, summarise

SUFFIXES = (".svg", ".png")
# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#d4d4d4"
FEW = 120  # blocks; more are too narrow for a line each


def check_path(path: Path | None) -> None:
    """Raises Error if no plot can be written there; to be called before the images are sent."""
    _files.check(path, SUFFIXES, "a plot")


def plot_ratios(blocks: BlockStatistics, model: Model, source: str, path: Path) -> None:
    """Writes `ratios` to a file, .svg or .png. `source` is what the images are, for the title.

    Raises:
        Error: It ends in something else, or cannot be written.
    """
    figure = ratios(blocks, model)
    figure.axes[0].set_title(f"{model.name} version {model.version}: {source}", loc="left", fontsize=10, pad=30)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure. Raises Error as `check_path` does, or if it cannot be written."""
    check_path(path)
    with _files.replacing(path) as part:
        figure.savefig(part, dpi=150, format=path.suffix[1:].lower())


def ratios(blocks: BlockStatistics, model: Model) -> Figure:
    """Bars of the mean ratio over images, the spread over images, and the model's baseline behind them.

    Args:
        blocks: Of n images.
        model: That they were measured with.
    """
    figure, axes = layers(model)
    handles = [*_draw_baseline(axes, model), *_draw_ratios(axes, blocks, model)]
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ratio  ‖F(x)‖ / ‖s(x)‖")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def layers(model: Model, height: float = 4.2) -> tuple[Figure, Axes]:
    """An empty figure whose x axis is the model's blocks, in layer order with their stages. Sizes are in inches."""
    figure = Figure(figsize=(width_for(len(model.blocks)), height), layout="constrained")
    axes = figure.add_subplot()
    label_stages(axes, model)
    tidy(axes)
    return figure, axes


def width_for(blocks: int) -> float:
    """Inches for a place each."""
    return float(np.clip(3 + 0.16 * blocks, 7, 11))


def stage_colours(model: Model) -> list[str]:
    """The colour of every block: one for each stage."""
    return [COLOURS[(block.stage - 1) % len(COLOURS)] for block in model.blocks]


def tidy(axes: Axes) -> None:
    """No frame, and lines to read heights by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#eeeeee")
    axes.set_axisbelow(True)


def _draw_baseline(axes: Axes, model: Model) -> list[Patch]:
    """Wider than the bars, so that it can be seen behind them; in front of them where there are many."""
    known = [(place, block.baseline["ratio"]) for place, block in enumerate(model.blocks) if "ratio" in block.baseline]
    if not known:
        return []
    places = np.array([place for place, _ in known])
    low, high = (np.array([one.quantiles[probability] for _, one in known]) for probability in (LOW, HIGH))
    if len(model.blocks) <= FEW:
        axes.bar(places, high - low, bottom=low, width=1, color=GREY, linewidth=0)
    else:  # bars without gaps would hide it
        axes.fill_between(places, low, high, step="mid", color=GREY, alpha=0.7, linewidth=0, zorder=3)
    return [Patch(color=GREY, label=f"baseline on {model.dataset}, {LOW:.0%} to {HIGH:.0%}")]


def _draw_ratios(axes: Axes, blocks: BlockStatistics, model: Model) -> list[Patch]:
    """One colour for each stage; the spread is left out for a single image."""
    places = np.arange(len(blocks.names))
    width = 0.6 if len(places) <= FEW else 1.0
    over = summarise(blocks.ratio)
    axes.bar(places, over.mean, width=width, color=stage_colours(model), linewidth=0, alpha=0.9)
    handles = [Patch(color=COLOURS[0], label="mean over images" if len(blocks) > 1 else "this image")]
    if len(blocks) > 1:
        if len(places) <= FEW:
            axes.vlines(places, over.low, over.high, color="black", linewidth=1.2)
        else:
            axes.step(places, over.low, where="mid", color="black", linewidth=0.5, zorder=4)
            axes.step(places, over.high, where="mid", color="black", linewidth=0.5, zorder=4)
        handles.append(Patch(color="black", label=f"{LOW:.0%} to {HIGH:.0%} of images"))
    return handles


def label_stages(axes: Axes, model: Model) -> None:
    """Numbers the blocks within their stage, draws lines between stages, and names them above."""
    blocks = list(enumerate(model.blocks))
    axes.set_xlim(-0.7, len(blocks) - 0.3)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if len(blocks) / step <= 40)
    shown = [(place, block) for place, block in blocks if block.index % step == 0]
    axes.set_xticks([place for place, _ in shown], [str(block.index) for _, block in shown], fontsize=8)
    axes.set_xlabel("block within its stage")
    for stage, members in groupby(blocks, key=lambda one: one[1].stage):
        places = [(place, block) for place, block in members]
        first, block = places[0]
        if first:
            axes.axvline(first - 0.5, color="#999999", linewidth=0.8)
        text = f"stage {stage}\n{block.channels}×{block.height}×{block.width}"
        colour = COLOURS[(stage - 1) % len(COLOURS)]
        at = (first + places[-1][0]) / 2
        axes.text(
            at, 1.01, text, ha="center", va="bottom", fontsize=8, color=colour, transform=axes.get_xaxis_transform()
        )
