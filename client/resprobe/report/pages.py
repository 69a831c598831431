"""Pages of `resprobe report` and `resprobe compare`: a dataset result or a comparison, for a person to read."""

from resprobe import plots
from resprobe.analysis.compare import Comparison
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.noise import noise_of
from resprobe.datasets import Dataset
from resprobe.errors import StatisticsUnavailable
from resprobe.report import noise, sections, unusual
from resprobe.report.page import Figure, Section, Table, figure_svg, render

WORDS = (
    "A block computes F(x) + s(x): F is its branch, s its shortcut (He et al. 2015, arXiv 1512.03385). ‖·‖ is the "
    "Euclidean norm over the channels and positions of one image, in the units of the activations. The ratio "
    "‖F(x)‖ / ‖s(x)‖, the cosine ⟨F(x), s(x)⟩ / (‖F(x)‖ ‖s(x)‖) and relative differences have no unit. Blocks are "
    "numbered from 0 within their stage, stages from 1.",
    "An image whose shortcut is zero in a block has no finite ratio there. Means and quantiles are over the other "
    "images; the page says how many are left out.",
)


def report(frame: Frame, dataset: Dataset | None = None) -> str:
    """Returns the page about one model on many images, as HTML.

    Args:
        frame: Result to report.
        dataset: Whole data set that the images are from, to show some. If None, the images are only named.

    Raises:
        DatasetError: The images are not from the data set.
        StatisticsUnavailable: The model has no residual blocks.
    """
    model = frame.model
    if not model.blocks:
        raise StatisticsUnavailable(f"model {model.name} has no residual blocks to report on")
    parts = [sections.ratios(frame), sections.classes(frame)]
    if frame.correct is not None:
        parts.append(sections.errors(frame, frame.correct))
    parts += [unusual.section(frame, dataset), sections.cosines(frame), sections.responses(frame)]
    if (found := noise_of(model)) is not None:
        parts.append(noise.section(found))
    accuracy = "" if frame.accuracy is None else f" Accuracy {frame.accuracy:.4f}."
    precision = f" in {model.precision}" if model.precision else ""
    lead = f"{len(frame):,} images of {frame.dataset}, {len(model.blocks)} residual blocks{precision}.{accuracy}"
    notes = [*WORDS, *(f"Note: {note}." for note in frame.notes)]
    return render(f"{model.name} version {model.version}: what each block does", lead, parts, notes)


def comparison_page(compared: Comparison) -> str:
    """Returns the page about two models on the same images, as HTML."""
    a, b = compared.a.model, compared.b.model
    names = [f"{model.name} version {model.version}" for model in (a, b)]
    title = " and ".join(names)
    lead = (
        f"A is {names[0]}, B is {names[1]}. Both classified the same {len(compared.a):,} images of "
        f"{compared.a.dataset}."
    )
    depth = Section("Ratio by relative depth", _by_depth(compared))
    more = [] if compared.noise is None else [noise.section(compared.noise)]
    return render(title, lead, [Section("Classes", compared.sentences()), depth, *more], WORDS)


def _by_depth(compared: Comparison) -> list[str | Figure | Table]:
    """Returns the figure and the table of both models' ratios against relative depth."""
    by_stage = (
        "Each stage of one model is compared with the same stage of the other: the first block with the first and the "
        "last with the last. Between two blocks, the deeper net's ratio is interpolated."
    )
    by_net = (
        "Blocks are compared where they are equally deep in the whole net. Between two blocks, the deeper net's ratio "
        "is interpolated."
    )
    note = f"{compared.confidence:.0%} bootstrap interval over images, for each depth by itself"
    rows = [
        [name, f"{depth:.3f}", f"{one:.4f}", f"{two:.4f}", f"{value:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        for name, depth, one, two, value, low, high in compared.rows()
    ]
    a, b = compared.a.model.name, compared.b.model.name
    interval = f"{compared.confidence:.0%} interval"
    columns = ("block", "relative\ndepth", f"A\n{a}", f"B\n{b}", "B − A", interval)
    caption = f"Mean ratio against relative depth, and the difference with its {note}. n = {compared.images:,} images."
    return [
        by_stage if compared.by_stage else by_net,
        Figure(figure_svg(plots.plot_comparison(compared)), caption),
        Table(columns, rows, f"Mean ratio at the blocks of the shallower net; {note}. n = {compared.images:,} images."),
    ]
