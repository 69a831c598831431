"""Is F(x) smaller beside s(x) in transformers than in convolutional nets? Their ratio by block, kind and model."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np
from matplotlib.figure import Figure
from resprobe.analysis import summarise
from resprobe.analysis.depth import positions

from resprobe_exporter.study import panels
from resprobe_exporter.study.evidence import Answer, Number, Outcome, Question, Row
from resprobe_exporter.study.served import figures
from resprobe_exporter.study.served.estimates import Floats, log_ratio, mean_of_finite, over_images, typical
from resprobe_exporter.study.served.measure import Measured
from resprobe_exporter.study.statistics import Estimate
from resprobe_exporter.study.verdict import Claim, conclude, shown

MOST = 8  # models that all pairs are shown of
QUESTION = Question(
    key="served_ratios",
    text="Is F(x) smaller beside s(x) in transformers than in convolutional nets?",
    expectation=(
        "Raghu et al. (2021, section on skip connections) found shortcuts more influential in ViTs than in ResNets. "
        "They measured ‖s(x)‖ / ‖F(x)‖ for single tokens of trained ViTs and compared it with ResNets, and they "
        "trained ViTs without some of the shortcuts. Expected is a smaller ‖F(x)‖ / ‖s(x)‖ in every transformer "
        "(a net with attention) than in every convolutional net."
    ),
    experiment=(
        "‖F(x)‖₂ / ‖s(x)‖₂ of every block and image, the norms over all tokens or positions together. The typical "
        "ratio is the geometric mean over blocks and images: that of ‖s‖ / ‖F‖, which Raghu et al. show, is its "
        "inverse. A claim compares the typical ratios of two models on the same images: its number is the first over "
        "the second, so that smaller means below 1, and its interval is over images. It speaks of these two sets of "
        "weights on these images, and of no architecture: another training, or none, can give other ratios. Norms are "
        "not the whole influence either: Raghu et al. also took shortcuts away."
    ),
    caption=(
        "Left: mean ratio of each block over images; block k of L is at depth (k + ½) / L. Bars are intervals over "
        "images. Right: typical ratio of each model and kind of branch."
    ),
)


def answer(measured: Sequence[Measured]) -> Answer:
    """Answers from the ratios of all models."""
    outcome, verdict = _verdict(measured)
    return QUESTION.answered(outcome, verdict, _numbers(measured), _rows(measured))


def draw(measured: Sequence[Measured]) -> Figure:
    """Draws the ratio by depth, and the typical ratio of each kind of branch."""
    figure, axes = panels.grid(1, 2)
    figures.by_depth(axes[0, 0], list(_rows(measured)))
    figures.by_kind(axes[0, 1], [(one.name, kind, of_kind(one, kind)) for one in measured for kind in one.kinds])
    return figure


def of_kind(one: Measured, kind: str | None = None) -> Estimate | None:
    """Returns the typical ratio of the blocks of a kind. If None is given, of all blocks; if None, none is finite."""
    return typical(_logarithms(one, kind))


def _logarithms(one: Measured, kind: str | None = None) -> Floats:
    """Returns the mean of log(‖F‖ / ‖s‖) over blocks for each image, [n]."""
    blocks = one.frame.blocks
    places = [place for place, block in enumerate(one.model.blocks) if kind in (None, block.branch)]
    return mean_of_finite(log_ratio(blocks.branch_l2[:, places], blocks.shortcut_l2[:, places]), (1,))


def _numbers(measured: Sequence[Measured]) -> Iterator[Number]:
    for one in measured:
        for kind in one.kinds:
            count = sum(block.branch == kind for block in one.model.blocks)
            if (found := of_kind(one, kind)) is not None:
                yield Number(f"{one.name}, {count} × {kind}, typical ratio", found)
    if len(measured) <= MOST:
        for a, b in combinations(measured, 2):
            if (found := _factor(a, b)) is not None:
                yield Number(f"{a.name} against {b.name}, all blocks", found, "×")


def _factor(a: Measured, b: Measured) -> Estimate | None:
    """Returns the typical ratio of A over that of B, paired by image. If None, no image has both."""
    return typical(_logarithms(a) - _logarithms(b))


def _verdict(measured: Sequence[Measured]) -> tuple[Outcome, str]:
    said = [_about(one) for one in measured]
    transformers = [one for one in measured if one.is_transformer and not one.guesses]
    convolutional = [one for one in measured if one.is_convolutional and not one.guesses]
    claims = [
        Claim(f"{a.name} has a smaller typical ratio than {b.name}", factor, high=1, form=".3g", unit=" ×")
        for a, b in product(transformers, convolutional)
        if (factor := _factor(a, b)) is not None
    ]
    if not claims:
        needed = "It needs a net with attention and one whose branches are convolutions, both better than guessing."
        return "unanswered", " ".join([*said, f"The comparison cannot be made with these models. {needed}"])
    return conclude(claims), " ".join([*said, *map(str, claims)])


def _about(one: Measured) -> str:
    found = of_kind(one)
    if found is None:
        return f"{one.name} has no finite ratio."
    text = f"{one.name}: typical ratio {shown(found, '.3g')}."
    if one.guesses:
        text += " It classifies these images no better than guessing, so it is left out of the comparison."
    elif one.frame.accuracy is None:
        text += f" Whether its weights are trained is not known from these images: {one.note}."
    return text


def _rows(measured: Sequence[Measured]) -> Iterator[Row]:
    for one in measured:
        blocks, depths = one.frame.blocks, positions(one.model, by_stage=False)
        with np.errstate(divide="ignore"):
            inverse = summarise(1 / blocks.ratio).mean
        for place, (block, depth) in enumerate(zip(one.model.blocks, depths.tolist(), strict=True)):
            found = over_images(blocks.ratio[:, place])
            yield {
                "model": one.model.name,
                "version": one.model.version,
                "block": block.name,
                "position": place,
                "depth": depth,
                "kind": block.branch,
                "shortcut": block.shortcut,
                "ratio": None if found is None else found.value,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
                "inverse_ratio": float(inverse[place]) if np.isfinite(inverse[place]) else None,
                "images": 0 if found is None else found.n[0],
            }
