"""Layout that all figures share: colours, axes of blocks in layer order, and a figure that a notebook shows."""

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from resprobe._results.model import Model

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PALE = "#d4d4d4"
GREY = "#555555"
FEW = 120  # blocks; more are too narrow for a line or a marker each
KIND_LETTERS = {"attention": "a", "mlp": "m"}  # above the number of a block
LIGHTER = 0.5  # share of white in the colour of an MLP beside attention or convolutions
LABELS = 40  # maximum number of labels on an axis


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows even if pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        """Returns the figure as PNG, which IPython asks for."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def empty_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of this size in inches, whose parts do not overlap."""
    return NotebookFigure(figsize=(width, height), layout="constrained")


def block_figure(model: Model, height: float = 4.2) -> tuple[Figure, Axes]:
    """Returns an empty figure of this height in inches whose x axis is the model's blocks, in layer order."""
    figure = empty_figure(width_for(len(model.blocks)), height)
    axes = figure.add_subplot()
    label_stages(axes, model)
    tidy(axes)
    return figure, axes


def width_for(blocks: int) -> float:
    """Returns the width of an axis of so many blocks, in inches."""
    return float(np.clip(3 + 0.16 * blocks, 7, 11))


def title_for(axes: Axes, model: Model, source: str | None) -> None:
    """Sets a title above the names of the stages: the model, and what its images are. If None, it has no title."""
    if source is not None:
        axes.set_title(f"{model.name} version {model.version}: {source}", loc="left", fontsize=10, pad=30)


def stage_colours(model: Model) -> list[str]:
    """Returns the colour of every block: one for each stage, and lighter for MLPs if there are other branches too."""
    colours = [COLOURS[(block.stage - 1) % len(COLOURS)] for block in model.blocks]
    if not _has_lighter(model):
        return colours
    pairs = zip(colours, model.blocks, strict=True)
    return [_lighter(colour) if block.branch == "mlp" else colour for colour, block in pairs]


def _has_lighter(model: Model) -> bool:
    kinds = {block.branch for block in model.blocks}
    return "mlp" in kinds and len(kinds) > 1


def _lighter(colour: str) -> str:
    red, green, blue = (LIGHTER + (1 - LIGHTER) * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


def markers(model: Model) -> dict[str, Any]:
    """Returns the style of a line over blocks: with markers where there is room for them."""
    return {"marker": "o", "markersize": 4} if len(model.blocks) <= FEW else {}


def tidy(axes: Axes) -> None:
    """Removes the frame at the top and right, and draws horizontal grid lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#eeeeee")
    axes.set_axisbelow(True)


def draw_band(axes: Axes, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], **style: Any) -> PolyCollection:
    """Fills the range between two values of every block, over the whole width of each block."""
    edges = np.arange(len(low) + 1) - 0.5
    low, high = np.append(low, low[-1:]), np.append(high, high[-1:])
    return axes.fill_between(edges, low, high, step="post", linewidth=0, **style)


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str] | None = None) -> None:
    """Puts a legend of one row below the axes."""
    names = [handle.get_label() for handle in handles] if labels is None else labels
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)


def patch(colour: str, label: str) -> Patch:
    """Returns a legend entry with a filled rectangle."""
    return Patch(color=colour, label=label)


def label_stages(axes: Axes, model: Model) -> None:
    """Numbers the blocks within their stage, draws lines between stages, and names them above."""
    blocks = list(enumerate(model.blocks))
    axes.set_xlim(-0.7, len(blocks) - 0.3)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if len(blocks) / step <= LABELS)
    shown = [(place, block) for place, block in blocks if block.index % step == 0]
    kinds = [kind for kind in KIND_LETTERS if any(kind == one.branch for one in model.blocks)]
    above = [f"{KIND_LETTERS.get(block.branch, '')}\n" if kinds else "" for _, block in shown]
    labels = [f"{kind}{block.index}" for kind, (_, block) in zip(above, shown, strict=True)]
    axes.set_xticks([place for place, _ in shown], labels, fontsize=8)
    words = [f"{KIND_LETTERS[kind]} {kind}" for kind in kinds]
    axes.set_xlabel("block within its stage" + (f" ({', '.join(words)})" if words else ""))
    for stage, members in groupby(blocks, key=lambda one: one[1].stage):
        places = [(place, block) for place, block in members]
        first, block = places[0]
        if first:
            axes.axvline(first - 0.5, color="#999999", linewidth=0.8)
        text = f"stage {stage}\n{block.shape}"
        colour = COLOURS[(stage - 1) % len(COLOURS)]
        at = (first + places[-1][0]) / 2
        axes.text(
            at, 1.01, text, ha="center", va="bottom", fontsize=8, color=colour, transform=axes.get_xaxis_transform()
        )
