"""Sections of the report on a dataset result: what each block did with the images, with figures and tables."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from resprobe import plots
from resprobe._results.statistics import HIGH, LOW, Summary, summarise
from resprobe.analysis.dataset_result import Frame
from resprobe.report.page import Figure, Section, Table, figure_svg

CONFIDENCE = 0.95
Floats = npt.NDArray[np.float64]


def ratios(frame: Frame) -> Section:
    """Returns the section on the ratio by block: its figure, means and quantiles."""
    ratio = summarise(frame.blocks.ratio)
    parts: list[str | Figure | Table] = [*_extremes(frame, ratio), *_left_out(frame, ratio)]
    caption = f"Ratio of every block, in layer order. n = {len(frame):,} images."
    parts.append(Figure(figure_svg(plots.plot_ratios(frame.blocks, frame.model)), caption))
    parts.append(_ratio_table(frame, ratio))
    return Section("Ratio by block", parts)


def classes(frame: Frame) -> Section:
    """Returns the section on the ratio by class: of the label, or of the prediction if there are no labels."""
    of = frame.predicted if frame.labels is None else frame.labels
    which = "predicted class" if frame.labels is None else "class"
    present = np.unique(of)
    means = np.stack([summarise(frame.blocks.ratio[of == one]).mean for one in present])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = means / summarise(frame.blocks.ratio).mean - 1
    labels = [frame.model.classes[one] for one in present]
    rows = [
        [label, *_class_cells(frame, of == one, means[place]), _most_different(frame, deviation[place])]
        for place, (one, label) in enumerate(zip(present, labels, strict=True))
    ]
    caption = f"Mean ratio of each {which} against that of all {len(frame):,} images, by block, in per cent."
    columns = (which, "n", "accuracy", "ratio, mean\nover blocks", "block that differs most\nfrom all images")
    svg = figure_svg(plots.plot_classes(deviation, labels, frame.model))
    table = Table(columns, rows, f"Images, accuracy and ratio of each {which}.")
    return Section(f"Ratio by {which}", [Figure(svg, caption), table])


def errors(frame: Frame, correct: npt.NDArray[np.bool_]) -> Section:
    """Returns the section on right against wrong predictions: relative differences of mean ratios by block."""
    heading = "Right against wrong predictions"
    right, wrong = int(correct.sum()), int((~correct).sum())
    counts = f"{right:,} predictions are right and {wrong:,} wrong"
    if min(right, wrong) < 2:
        return Section(heading, [f"{counts}: too few to compare."])
    difference, margin = relative_difference(frame.blocks.ratio[~correct], frame.blocks.ratio[correct])
    most = _largest(difference)
    text = [f"{counts}."]
    if most is not None:
        clear = int((np.abs(difference) > margin).sum())
        text.append(
            f"The mean ratio differs by more than its 95 % interval in {clear} of {len(difference)} blocks; by chance "
            f"alone it would in about {(1 - CONFIDENCE) * len(difference):.1f}. It differs most in "
            f"{frame.blocks.names[most]}, where it is {difference[most]:+.1%} ± {margin[most]:.1%} for wrongly "
            "classified images."
        )
    caption = (
        "Mean ratio of wrongly classified images minus that of rightly classified images, in per cent of the latter, "
        f"with Welch's 95 % interval for each block by itself. n = {wrong:,} wrong, {right:,} right."
    )
    svg = figure_svg(plots.plot_errors(difference, margin, frame.model))
    return Section(heading, [" ".join(text), Figure(svg, caption)])


def cosines(frame: Frame) -> Section:
    """Returns the section on the cosine of branch and shortcut."""
    mean = summarise(frame.blocks.cosine).mean
    text = (
        "Does a block add to what its shortcut carries (cosine above 0), or take away from it (below 0)? The mean "
        f"cosine is above 0 in {int((mean > 0).sum())} of {len(mean)} blocks."
    )
    caption = f"Cosine of branch and shortcut of every block, in layer order. n = {len(frame):,} images."
    return Section("Cosine of branch and shortcut", [text, Figure(figure_svg(plots.plot_cosines(frame)), caption)])


def responses(frame: Frame) -> Section:
    """Returns the section on the standard deviation of each branch, measured and in closed form."""
    measured = frame.blocks.pooled_std()
    known = [block.response_std for block in frame.model.blocks]
    rows = [
        [name, f"{one:.3f}", "–" if form is None else f"{form:.3f}", "–" if not form else f"{one / form - 1:+.1%}"]
        for name, one, form in zip(frame.blocks.names, measured, known, strict=True)
    ]
    text = (
        "After a batch norm, a channel has mean β and standard deviation |γ| over the training images. So a branch "
        "that ends in one has the standard deviation sqrt(mean(γ²) + var(β)), which needs no images. Where measured "
        "and closed form differ, the images here are distributed otherwise than the training images."
        if any(form is not None for form in known)
        else "The branches do not end in a batch norm, so there is no closed form to compare with."
    )
    caption = (
        f"Standard deviation of F(x), pooled over n = {len(frame):,} images, channels and positions, in the units of "
        "the activations."
    )
    parts: Sequence[str | Figure | Table] = [
        text,
        Figure(figure_svg(plots.plot_responses(frame)), caption),
        Table(("block", "measured", "closed form", "difference"), rows, "Numbers of the figure above."),
    ]
    return Section("Response against the closed form", parts)


def relative_difference(values: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Returns how far the mean of some images is from that of others, with half the width of Welch's 95 % interval.

    Args:
        values: [n, L]; values that are not finite are left out.
        reference: [m, L]; values that are not finite are left out.

    Returns:
        Difference and half the width of its interval, each [L] and relative to the reference's mean. The interval is
        nan where fewer than two values are left on either side.
    """
    finite = [np.where(np.isfinite(part), part, np.nan).astype(np.float64) for part in (values, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too few values, or equal ones: the interval says so
        test = stats.ttest_ind(*finite, axis=0, equal_var=False, nan_policy="omit")
        low, high = map(np.asarray, test.confidence_interval(CONFIDENCE))
    means = [summarise(part).mean for part in (values, reference)]
    return means[0] / means[1] - 1, (high - low) / 2 / means[1]


def _extremes(frame: Frame, ratio: Summary) -> list[str]:
    """Names the blocks with the smallest and the largest mean ratio; nothing if no image has a finite ratio."""
    finite = np.flatnonzero(np.isfinite(ratio.mean))
    if not finite.size:
        return []
    means, names = ratio.mean[finite], frame.blocks.names
    smallest, largest = finite[means.argmin()], finite[means.argmax()]
    return [
        f"Is F(x) close to zero? The mean ratio is smallest in {names[smallest]}, {means.min():.3f}, and largest in "
        f"{names[largest]}, {means.max():.3f}; its mean over all blocks is {means.mean():.3f}."
    ]


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


def _ratio_table(frame: Frame, ratio: Summary) -> Table:
    branch, shortcut = (summarise(values).mean for values in (frame.blocks.branch_l2, frame.blocks.shortcut_l2))
    rows = [
        [
            block.name,
            f"{block.channels}×{block.height}×{block.width}",
            block.shortcut,
            f"{branch[place]:.2f}",
            f"{shortcut[place]:.2f}",
            *(f"{values[place]:.3f}" for values in (ratio.mean, ratio.low, ratio.median, ratio.high)),
            f"{block.baseline['ratio'].mean:.3f}" if "ratio" in block.baseline else "–",
            f"{ratio.count[place]:,}",
        ]
        for place, block in enumerate(frame.model.blocks)
    ]
    spread = (f"{LOW * 100:.0f} %", "median", f"{HIGH * 100:.0f} %")
    columns = ("block", "shape", "shortcut", "‖F(x)‖", "‖s(x)‖", "ratio", *spread, "baseline", "n")
    caption = (
        "Means over images, and quantiles of the ratio. Baseline: mean ratio on "
        f"{frame.model.dataset or 'the test images'} when the model was exported. n: images with a finite ratio."
    )
    return Table(columns, rows, caption, 3)


def _class_cells(frame: Frame, members: npt.NDArray[np.bool_], means: Floats) -> list[str]:
    """Returns the number of a class's images, their accuracy, and their mean ratio over blocks, as text."""
    accuracy = "–" if frame.correct is None else f"{frame.correct[members].mean():.3f}"
    finite = means[np.isfinite(means)]
    return [f"{int(members.sum()):,}", accuracy, f"{finite.mean():.3f}" if finite.size else "–"]


def _most_different(frame: Frame, deviation: Floats) -> str:
    """Names the block whose ratio is furthest from that of all images."""
    most = _largest(deviation)
    return "–" if most is None else f"{frame.blocks.names[most]}  {deviation[most]:+.1%}"


def _largest(values: Floats) -> int | None:
    """Returns the place of the largest absolute value. If None, no value is finite."""
    finite = np.flatnonzero(np.isfinite(values))
    return int(finite[np.abs(values[finite]).argmax()]) if finite.size else None
