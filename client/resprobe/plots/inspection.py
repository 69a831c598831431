"""Draws the inside of a net for one image: heat maps of every block over it, early answers, class activation maps."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from resprobe._results.inspection import Maps, Readouts
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult
from resprobe.plots.layout import COLOURS, empty_figure

ACROSS = 9  # heat maps in a row
TOP = 3  # classes with an activation map
CLASSES = 6  # lines of a path through classes
HEAT: dict[str, Any] = {"cmap": "inferno", "interpolation": "nearest"}
Pixels = npt.NDArray[np.uint8]


def plot_maps(pixels: Pixels, maps: Maps, model: Model, row: int = 0) -> Figure:
    """Draws the norm of F(x) at every position as a heat map over the image, for each block; each has its own scale.

    Args:
        pixels: Image as the model takes it, uint8 [height, width, channels].
        maps: Norms of n images.
        model: Model that they are of.
        row: Which of the images it is.
    """
    count = len(maps.names)
    rows = -(-count // ACROSS)
    figure = empty_figure(1.25 * min(ACROSS, count) + 0.3, 1.5 * rows + 0.2)
    draw_maps(figure, pixels, maps, model, row)
    return figure


def draw_maps(figure: FigureBase, pixels: Pixels, maps: Maps, model: Model, row: int = 0) -> None:
    """Draws what `plot_maps` describes into a figure or a part of one."""
    count = len(maps.names)
    grid = figure.subplots(-(-count // ACROSS), min(ACROSS, count), squeeze=False)
    for axes in grid.ravel()[count:]:
        axes.remove()
    for axes, block, heat in zip(grid.ravel(), model.blocks, maps.branch, strict=False):
        _overlay(axes, pixels, heat[row])
        colour = COLOURS[(block.stage - 1) % len(COLOURS)]
        axes.set_title(f"{block.stage}.{block.index}", fontsize=8, color=colour, pad=2)


def plot_activation(pixels: Pixels, cam: npt.NDArray[np.float32], labels: tuple[str, ...]) -> Figure:
    """Draws the image, and what each position adds to the score of each class over it, on one scale.

    Args:
        pixels: Image as the model takes it, uint8 [height, width, channels].
        cam: Class activation maps, [k, height, width].
        labels: Labels of the k classes.
    """
    figure = empty_figure(1.9 * (len(cam) + 1) + 0.6, 2.2)
    draw_activation(figure, pixels, cam, labels)
    return figure


def draw_activation(figure: FigureBase, pixels: Pixels, cam: npt.NDArray[np.float32], labels: tuple[str, ...]) -> None:
    """Draws what `plot_activation` describes into a figure or a part of one."""
    first, *others = figure.subplots(1, len(cam) + 1)
    _overlay(first, pixels, None)
    first.set_title("the image", fontsize=9)
    largest, shown = float(np.abs(cam).max()) or 1.0, None
    for axes, one, label in zip(others, cam, labels, strict=True):
        shown = _overlay(axes, pixels, one, cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.set_title(label, fontsize=9)
    if shown is not None:
        figure.colorbar(shown, ax=others, shrink=0.8, label="adds to the score")


def plot_readouts(readouts: Readouts, model: Model, row: int = 0) -> Figure:
    """Draws the probabilities of the classes that lead after some block, as lines through the blocks."""
    figure = empty_figure(8, 3.2)
    draw_readouts(figure, readouts, model, row)
    return figure


def draw_readouts(figure: FigureBase, readouts: Readouts, model: Model, row: int = 0) -> None:
    """Draws what `plot_readouts` describes into a figure or a part of one."""
    axes = figure.subplots()
    probabilities, best = readouts.probabilities[row], readouts.classes[row]
    order = np.argsort(-probabilities.max(axis=0))
    leading = list(dict.fromkeys([int(best[-1]), *best.tolist(), *order.tolist()]))[:CLASSES]
    places = np.arange(len(readouts.names))
    for index, colour in zip(leading, COLOURS, strict=False):
        axes.plot(places, probabilities[:, index], color=colour, marker="o", markersize=4, label=readouts.labels[index])
    depth = int(np.flatnonzero(readouts.places == readouts.prediction_depth[row])[0])
    axes.axvline(depth, color="#999999", linewidth=1, linestyle="--")
    axes.text(depth, 1.02, "decided", ha="center", va="bottom", fontsize=8, color="#555555")
    blocks = [model.blocks[place] for place in readouts.places]
    marks = ["" if head == "own" else "*" for head in readouts.heads]
    step = -(-len(blocks) // 30)
    ticks = places[::step]
    axes.set_xticks(ticks, [f"{blocks[at].stage}.{blocks[at].index}{marks[at]}" for at in ticks], fontsize=8)
    axes.set_xlabel("after block (stage.index" + ("; * fitted head)" if any(marks) else ")"))
    axes.set_ylabel("probability")
    axes.set_ylim(0, 1.04)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)


def _overlay(axes: Axes, pixels: Pixels, heat: npt.NDArray[np.float32] | None, **style: Any) -> Any:
    """Draws an image, and a heat map over the whole of it. Returns the heat map."""
    height, width = pixels.shape[:2]
    box = (0, width, height, 0)
    axes.imshow(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels, cmap="gray", extent=box, vmin=0, vmax=255)
    axes.set_axis_off()
    if heat is None:
        return None
    return axes.imshow(heat, extent=box, alpha=0.65, **{**HEAT, **style})


def plot_inspection(pixels: Pixels, result: ProbedResult, model: Model, source: str) -> Figure:
    """Draws all that is known of one image as one figure: activation maps, the path through classes, heat maps.

    Args:
        pixels: Image as the model takes it, uint8 [height, width, channels].
        result: Result of the image, with block statistics; its views may be missing.
        model: Model that answered.
        source: Name of the image, for the title.
    """
    heights = {"cam": 2.2, "readouts": 3.0, "maps": 0.3 + 1.45 * -(-len(model.blocks) // ACROSS)}
    shown = [view for view in heights if getattr(result, view) is not None]
    figure = empty_figure(11.5, sum(heights[view] for view in shown) + 0.4)
    figure.suptitle(f"{model.name} version {model.version}: {source}, {result.labels[0]}", fontsize=11)
    ratios = [heights[view] for view in shown]
    parts = dict(zip(shown, figure.subfigures(len(shown), 1, height_ratios=ratios, squeeze=False).ravel(), strict=True))
    if result.cam is not None:
        labels = tuple(result.class_labels[index] for index in result.classes[0, :TOP].tolist())
        draw_activation(parts["cam"], pixels, result.cam[0, :TOP], labels)
    if result.readouts is not None:
        draw_readouts(parts["readouts"], result.readouts, model)
    if result.maps is not None:
        parts["maps"].suptitle("‖F(x)‖ at each position of each block, each on its own scale", fontsize=9)
        draw_maps(parts["maps"], pixels, result.maps, model)
    return figure
