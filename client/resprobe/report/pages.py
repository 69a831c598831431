"""The pages of `resprobe report` and `resprobe compare`: what a frame or a comparison says, for a person to read."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resprobe._results.statistics import HIGH, LOW, Summary, summarise
from resprobe.analysis import outliers
from resprobe.analysis.compare import Comparison
from resprobe.analysis.dataset_result import Frame
from resprobe.datasets import Dataset
from resprobe.errors import StatisticsUnavailable
from resprobe.plots import figures, ratios
from resprobe.report.page import Figure, Section, Table, figure_svg, render

Z = 1.96  # of a 95 % interval
WORDS = (
    "A block computes F(x) + s(x): F is its branch, s its shortcut (He et al. 2015, arXiv 1512.03385). ‖·‖ is the "
    "Euclidean norm over the channels and positions of one image, in the units of the activations. The ratio "
    "‖F(x)‖ / ‖s(x)‖, the cosine ⟨F(x), s(x)⟩ / (‖F(x)‖ ‖s(x)‖) and relative differences have no unit. Blocks are "
    "numbered from 0 within their stage, stages from 1.",
    "An image whose shortcut is zero in a block has no finite ratio there. Means and quantiles are over the others; "
    "how many are left out is said where there are any.",
)


def report(frame: Frame, dataset: Dataset | None = None) -> str:
    """The page about one model on many images, as HTML.

    Args:
        frame: What to report.
        dataset: The data set that the frame's images are from, whole, to show some. If None, they are named only.

    Raises:
        DatasetError: The data set is another one.
        StatisticsUnavailable: The model has no residual blocks.
    """
    model = frame.model
    if not model.blocks:
        raise StatisticsUnavailable(f"model {model.name} has no residual blocks to report on")
    sections = [_ratios(frame), _classes(frame)]
    if frame.correct is not None:
        sections.append(_errors(frame, frame.correct))
    sections += [outliers.section(frame, dataset), _cosines(frame), _responses(frame)]
    accuracy = "" if frame.accuracy is None else f" Accuracy {frame.accuracy:.4f}."
    lead = f"{len(frame):,} images of {frame.dataset}, {len(model.blocks)} residual blocks.{accuracy}"
    notes = [*WORDS, *(f"Note: {note}." for note in frame.notes)]
    return render(f"{model.name} version {model.version}: what each block does", lead, sections, notes)


def comparison_page(compared: Comparison) -> str:
    """The page about two models on the same images, as HTML."""
    a, b = compared.a.model, compared.b.model
    rows = [
        [name, f"{depth:.3f}", f"{one:.4f}", f"{two:.4f}", f"{value:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        for name, depth, one, two, value, low, high in compared.rows()
    ]
    interval = f"{compared.confidence:.0%} bootstrap interval over images, for each depth by itself"
    columns = (
        "block",
        "relative\ndepth",
        f"A\n{a.name}",
        f"B\n{b.name}",
        "B − A",
        f"{compared.confidence:.0%} interval",
    )
    parts: list[str | Figure | Table] = [
        "Stage is compared with stage, the first block with the first and the last with the last, and between two "
        "blocks the deeper net's ratio is interpolated."
        if compared.by_stage
        else "Blocks are compared where they are equally deep in the whole net; between two blocks the deeper net's "
        "ratio is interpolated.",
        Figure(
            figure_svg(figures.comparison(compared)),
            f"Mean ratio against relative depth, and the difference with its {interval}. n = {compared.images:,}.",
        ),
        Table(columns, rows, f"Mean ratio at the blocks of the shallower net; {interval}. n = {compared.images:,}."),
    ]
    title = f"{a.name} version {a.version} and {b.name} version {b.version}"
    sections = [Section("Classes", compared.sentences()), Section("Ratio by relative depth", parts)]
    return render(title, f"{len(compared.a):,} images of {compared.a.dataset}, the same for both.", sections, WORDS)


def _ratios(frame: Frame) -> Section:
    """Ratio by block: mean and quantiles."""
    over = {name: summarise(getattr(frame.blocks, name)) for name in ("branch_l2", "shortcut_l2", "ratio")}
    ratio = over["ratio"]
    spread = (f"{LOW * 100:.0f} %", "median", f"{HIGH * 100:.0f} %")
    rows = [
        [
            block.name,
            f"{block.channels}×{block.height}×{block.width}",
            block.shortcut,
            f"{over['branch_l2'].mean[place]:.2f}",
            f"{over['shortcut_l2'].mean[place]:.2f}",
            *(f"{values[place]:.3f}" for values in (ratio.mean, ratio.low, ratio.median, ratio.high)),
            f"{block.baseline['ratio'].mean:.3f}" if "ratio" in block.baseline else "–",
            f"{ratio.count[place]:,}",
        ]
        for place, block in enumerate(frame.model.blocks)
    ]
    columns = ("block", "shape", "shortcut", "‖F(x)‖", "‖s(x)‖", "ratio", *spread, "baseline", "n")
    smallest, largest = int(np.nanargmin(ratio.mean)), int(np.nanargmax(ratio.mean))
    names = frame.blocks.names
    text = (
        f"Is F(x) close to zero? The mean ratio is smallest in {names[smallest]}, {ratio.mean[smallest]:.3f}, and "
        f"largest in {names[largest]}, {ratio.mean[largest]:.3f}; over all blocks it is {np.nanmean(ratio.mean):.3f}."
    )
    svg = figure_svg(ratios.ratios(frame.blocks, frame.model))
    caption = f"Ratio of every block in layer order. n = {len(frame):,} images."
    table = Table(columns, rows, "Means over images, and quantiles of the ratio; n: images with a finite ratio.", 3)
    return Section("Ratio by block", [text, *_left_out(frame, ratio), Figure(svg, caption), table])


def _left_out(frame: Frame, ratio: Summary) -> list[str]:
    """Says which images have no finite ratio, if there are any."""
    missing = len(frame) - ratio.count
    if not missing.any():
        return []
    worst = int(missing.argmax())
    images = int((~np.isfinite(frame.blocks.ratio)).any(axis=1).sum())
    return [
        f"{images:,} of {len(frame):,} images have a shortcut of zero in at least one of {int((missing > 0).sum())} "
        f"blocks, most often in {frame.blocks.names[worst]} ({missing[worst]:,} images); their ratio there is not "
        "finite and is left out."
    ]


def _classes(frame: Frame) -> Section:
    """Ratio by class: of the label, or of the prediction where labels are not known."""
    of = frame.predicted if frame.labels is None else frame.labels
    whole = summarise(frame.blocks.ratio).mean
    present = np.unique(of)
    means = np.stack([summarise(frame.blocks.ratio[of == one]).mean for one in present])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = means / whole - 1
    labels = [frame.model.classes[one] for one in present]
    rows = []
    for place, (one, label) in enumerate(zip(present, labels, strict=True)):
        most = int(np.nanargmax(np.abs(deviation[place])))
        members = of == one
        accuracy = "–" if frame.correct is None else f"{frame.correct[members].mean():.3f}"
        rows.append(
            [
                label,
                f"{int(members.sum()):,}",
                accuracy,
                f"{np.nanmean(means[place]):.3f}",
                f"{frame.blocks.names[most]}  {deviation[place, most]:+.1%}",
            ]
        )
    which = "predicted class" if frame.labels is None else "class"
    caption = f"Mean ratio of each {which} against that of all {len(frame):,} images, by block, in per cent."
    columns = (which, "n", "accuracy", "ratio, mean\nover blocks", "differs most from all images in")
    svg = figure_svg(figures.classes(deviation, labels, frame.model))
    return Section(f"Ratio by {which}", [Figure(svg, caption), Table(columns, rows, f"Each {which}.")])


def _errors(frame: Frame, correct: npt.NDArray[np.bool_]) -> Section:
    """Right against wrong answers: relative difference of mean ratios, with Welch's interval."""
    heading = "Right against wrong answers"
    right, wrong = int(correct.sum()), int((~correct).sum())
    if min(right, wrong) < 2:
        return Section(heading, [f"{right:,} answers are right and {wrong:,} wrong: too few to compare."])
    difference, margin = relative_difference(frame.blocks.ratio[~correct], frame.blocks.ratio[correct])
    clear = int((np.abs(difference) > margin).sum())
    most = int(np.nanargmax(np.abs(difference)))
    text = (
        f"{right:,} answers are right, {wrong:,} wrong. The mean ratio differs beyond its 95 % interval in {clear} of "
        f"{len(difference)} blocks (where there is no difference, about {0.05 * len(difference):.0f} would), most in "
        f"{frame.blocks.names[most]}: {difference[most]:+.1%} ± {margin[most]:.1%} where the answer is wrong."
    )
    caption = (
        "Mean ratio of wrongly classified images against that of rightly classified ones, with 95 % intervals "
        f"(Welch), for each block by itself. n = {wrong:,} wrong, {right:,} right."
    )
    svg = figure_svg(figures.errors(difference, margin, frame.model))
    return Section(heading, [text, Figure(svg, caption)])


def relative_difference(
    values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean of some images over that of others, minus 1, and half its 95 % interval: each [L], over finite values."""
    means, squares = [], []
    for part in (values, reference):
        over = summarise(part)
        finite = np.where(np.isfinite(part), part, np.nan).astype(np.float64)
        means.append(over.mean)
        squares.append(np.nanmean((finite - over.mean) ** 2, axis=0) / np.maximum(over.count - 1, 1))
    return means[0] / means[1] - 1, Z * np.sqrt(squares[0] + squares[1]) / means[1]


def _cosines(frame: Frame) -> Section:
    mean = summarise(frame.blocks.cosine).mean
    text = (
        f"Does a block add to what its shortcut carries (cosine above 0) or take away from it (below)? The mean cosine "
        f"is above 0 in {int((mean > 0).sum())} of {len(mean)} blocks."
    )
    caption = f"Cosine of branch and shortcut by block. n = {len(frame):,} images."
    return Section("Cosine of branch and shortcut", [text, Figure(figure_svg(figures.cosines(frame)), caption)])


def _responses(frame: Frame) -> Section:
    """What Fig. 7 of the paper plots, against γ and β."""
    measured = frame.blocks.pooled_std()
    known = [block.response_std for block in frame.model.blocks]
    rows = [
        [name, f"{one:.3f}", "–" if form is None else f"{form:.3f}", "–" if not form else f"{one / form - 1:+.1%}"]
        for name, one, form in zip(frame.blocks.names, measured, known, strict=True)
    ]
    text = (
        "After a batch norm a channel has mean β and standard deviation |γ| over the training images, so the response "
        "of a branch that ends in one has sqrt(mean(γ²) + var(β)), without any data. Where measured and closed form "
        "differ, these images are not distributed like the training images."
        if any(form is not None for form in known)
        else "The branches do not end in a batch norm, so there is no closed form to compare with."
    )
    caption = (
        f"Standard deviation of F(x), pooled over n = {len(frame):,} images, channels and positions, in the units of "
        "the activations."
    )
    parts: Sequence[str | Figure | Table] = [
        text,
        Figure(figure_svg(figures.responses(frame)), caption),
        Table(("block", "measured", "closed form", "difference"), rows, caption),
    ]
    return Section("Response against the closed form", parts)
