"""Does the shortcut carry the class token early and the other tokens late? ‖s‖ / ‖F‖ of single tokens, by block."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from resprobe.analysis.depth import positions

from resprobe_exporter.study import panels
from resprobe_exporter.study.evidence import Answer, Number, Outcome, Question, Row
from resprobe_exporter.study.served import figures
from resprobe_exporter.study.served.estimates import Floats, log_ratio, mean_of_finite, typical
from resprobe_exporter.study.served.measure import TOKEN_IMAGES, Measured
from resprobe_exporter.study.statistics import Estimate
from resprobe_exporter.study.verdict import Claim, conclude

HALVES = {"first": (0.0, 0.5), "second": (0.5, 1.0)}  # relative depths
QUESTION = Question(
    key="tokens",
    text="Does the shortcut carry the class token first, and the other tokens later?",
    expectation=(
        "Raghu et al. (2021) found two phases in trained ViTs: in the first half of the net ‖s‖ / ‖F‖ is larger for "
        "the class token than for the other tokens, and in the second half it is smaller."
    ),
    experiment=(
        f"‖s‖ / ‖F‖ of each token for the first {TOKEN_IMAGES} images at most, from the norms over channels that a "
        "model's maps give. A net is taken to have a class token, its first, if all its sums are tokens, one more than "
        "the patches of a square. Numbers are geometric means over blocks, tokens and images; intervals are over "
        "images."
    ),
    caption="‖s‖ / ‖F‖ of the class token and of the other tokens in each block: geometric means over images.",
)


def answer(measured: Sequence[Measured]) -> Answer:
    """Answers from all nets with a class token."""
    known = _with_tokens(measured)
    claims = [claim for one in known if not one.guesses for claim in _claims(one)]
    if claims:
        outcome: Outcome = conclude(claims)
        verdict = " ".join(map(str, claims))
    else:
        outcome = "unanswered"
        verdict = "This cannot be answered: it needs a net with a class token that is better than guessing."
    return QUESTION.answered(outcome, verdict, _numbers(known), _rows(known))


def draw(measured: Sequence[Measured]) -> Figure:
    """Draws a panel for each net with a class token, at least one panel."""
    known = _with_tokens(measured)
    columns = min(2, max(1, len(known)))
    figure, axes = panels.grid(-(-max(1, len(known)) // columns), columns)
    for panel in axes.flat[len(known) :]:
        panel.set_visible(False)
    for panel, one in zip(axes.flat, known, strict=False):
        figures.tokens_by_depth(panel, one.name, list(_rows([one])))
    return figure


def is_asked(measured: Sequence[Measured]) -> bool:
    """Returns whether there is a net to ask about."""
    return bool(_with_tokens(measured))


def _with_tokens(measured: Sequence[Measured]) -> list[Measured]:
    return [one for one in measured if one.tokens is not None]


def _by_block(one: Measured) -> list[tuple[Floats, Floats]]:
    """Returns log(‖s‖ / ‖F‖) of each block for each image, of the class token and as mean over the others: [n]."""
    if one.tokens is None:
        return []
    pairs = zip(one.tokens.branch, one.tokens.shortcut, strict=True)
    logarithms = [-log_ratio(branch, shortcut) for branch, shortcut in pairs]
    return [(values[:, 0, 0], mean_of_finite(values[:, 1:], (1, 2))) for values in logarithms]


def _half(one: Measured, half: str) -> tuple[Floats, Floats]:
    """Returns log(‖s‖ / ‖F‖) as mean over the blocks of a half, of the class token and of the others: [n]."""
    low, high = HALVES[half]
    depths = positions(one.model, by_stage=False)
    pairs = [pair for depth, pair in zip(depths, _by_block(one), strict=True) if low < depth <= high]
    class_token, others = (np.mean(values, axis=0) for values in zip(*pairs, strict=True))
    return class_token, others


def _against(one: Measured, half: str) -> Estimate | None:
    class_token, others = _half(one, half)
    return typical(class_token - others)


def _claims(one: Measured) -> Iterator[Claim]:
    first, second = (_against(one, half) for half in HALVES)
    if first is not None:
        text = f"In the first half of {one.name}, ‖s‖ / ‖F‖ of the class token is above that of the others"
        yield Claim(text, first, low=1, form=".3g", unit=" ×")
    if second is not None:
        text = f"In the second half of {one.name}, it is below that of the others"
        yield Claim(text, second, high=1, form=".3g", unit=" ×")


def _numbers(known: Sequence[Measured]) -> Iterator[Number]:
    for one in known:
        for half in HALVES:
            for name, values in zip(("class token", "other tokens"), _half(one, half), strict=True):
                if (found := typical(values)) is not None:
                    yield Number(f"{one.name}, {half} half, {name}, ‖s‖ / ‖F‖", found)


def _rows(known: Sequence[Measured]) -> Iterator[Row]:
    for one in known:
        depths = positions(one.model, by_stage=False).tolist()
        blocks = zip(one.model.blocks, depths, _by_block(one), strict=True)
        for place, (block, depth, pair) in enumerate(blocks):
            class_token, others = map(typical, pair)
            yield {
                "model": one.model.name,
                "version": one.model.version,
                "block": block.name,
                "position": place,
                "depth": depth,
                "kind": block.branch,
                "class_token": None if class_token is None else class_token.value,
                "other_tokens": None if others is None else others.value,
                "images": 0 if class_token is None else class_token.n[0],
            }
