"""Page of `resprobe inspect`: one image, and what each block of a net did with it."""

import numpy as np
import numpy.typing as npt

from resprobe import plots
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult
from resprobe.report.page import Figure, Gallery, Section, Table, figure_svg, picture, render

NOTES = (
    "A block computes F(x) + s(x): F is its branch, s its shortcut (He et al. 2015, arXiv 1512.03385). Blocks are "
    "named stage.index; stages count from 1, blocks within a stage from 0.",
    "A class activation map (Zhou et al. 2016, arXiv 1512.04150) says what each position of the last block adds to the "
    "score of a class. Influence is 1 − cos(s, s + F): how far a block turns what passes through it (Men et al. 2024, "
    "arXiv 2403.03853).",
)


def inspection_page(result: ProbedResult, model: Model, pixels: npt.NDArray[np.uint8], name: str) -> str:
    """Returns the page about one image, as HTML.

    Args:
        result: Result of the image, with block statistics and the views that the model answers.
        model: Model that answered.
        pixels: Image as the model takes it, uint8 [height, width, channels].
        name: Name of the image.
    """
    labels = tuple(result.class_labels[index] for index in result.classes[0].tolist())
    parts = [_answer(result, pixels, labels)]
    if result.readouts is not None:
        parts.append(_readouts(result, model))
    if result.maps is not None:
        caption = "√Σ F² over channels at each position, over the image; bright is much. Each block has its own scale."
        figure = Figure(figure_svg(plots.plot_maps(pixels, result.maps, model)), caption)
        parts.append(Section("Where each block works", [figure]))
    parts.append(_blocks(result, model))
    lead = f"{name}: {labels[0]}, probability {result.probabilities[0, 0]:.3f}."
    return render(f"{model.name} version {model.version} looks at {name}", lead, parts, NOTES)


def _answer(result: ProbedResult, pixels: npt.NDArray[np.uint8], labels: tuple[str, ...]) -> Section:
    height, width = pixels.shape[:2]
    rows = [[label, f"{value:.4f}"] for label, value in zip(labels, result.probabilities[0], strict=True)]
    parts: list[Figure | Gallery | Table] = [Table(("class", "probability"), rows, "Best classes.")]
    if result.cam is None:
        return Section("The answer", [Gallery([picture(pixels, "")], f"The image, {height}×{width} pixels."), *parts])
    figure = plots.plot_activation(pixels, result.cam[0, : plots.TOP], labels[: plots.TOP])
    caption = "Class activation maps of the best classes: red adds to the score of the class, blue takes from it."
    return Section("The answer", [Figure(figure_svg(figure), caption), *parts])


def _readouts(result: ProbedResult, model: Model) -> Section:
    readouts, depth = result.readouts, result.prediction_depth
    if readouts is None or depth is None:
        raise ValueError("the result has no readouts")
    block = model.blocks[int(depth[0])].name
    text = f"From {block} on, every readout gives the final answer: that is the prediction depth of this image."
    caption = (
        "Probabilities as if the net ended after a block, of the classes that lead somewhere. In the last stage the "
        "net's own head reads the block, which it was trained to do for the last block only: after the first blocks of "
        "that stage it may read badly, and the answer may have been there earlier. Before it, a fitted linear head."
    )
    return Section("When the net decides", [text, Figure(figure_svg(plots.plot_readouts(readouts, model)), caption)])


def _blocks(result: ProbedResult, model: Model) -> Section:
    figure = Figure(figure_svg(plots.plot_ratios(result.blocks, model)), "Ratio ‖F(x)‖ / ‖s(x)‖ of each block.")
    statistics, turned = result.blocks, result.blocks.influence
    entropy = None if result.maps is None else result.maps.entropy()
    headings = ["block", "‖F(x)‖", "‖s(x)‖", "ratio", "cosine", "influence", *([] if entropy is None else ["entropy"])]
    rows = [
        [
            block.name,
            f"{statistics.branch_l2[0, place]:.2f}",
            f"{statistics.shortcut_l2[0, place]:.2f}",
            f"{statistics.ratio[0, place]:.3f}",
            f"{statistics.cosine[0, place]:+.3f}",
            f"{turned[0, place]:.4f}",
            *([] if entropy is None else [f"{entropy[0, place]:.3f}"]),
        ]
        for place, block in enumerate(model.blocks)
    ]
    caption = "What each block did. Entropy is that of F² over the positions: 0 in one place, 1 everywhere alike."
    return Section("How much each block does", [figure, Table(headings, rows, caption)])
