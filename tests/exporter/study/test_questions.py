"""Questions of a study: verdicts follow from the numbers, and every figure can be drawn."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure
from resprobe_exporter.study.evidence import Answer, Evidence
from resprobe_exporter.study.questions import (
    decisions,
    degradation,
    gradients,
    lesions,
    overfitting,
    proxies,
    ratios,
    responses,
)
from resprobe_exporter.study.results import QUESTIONS

from tests.support.study import Numbers, nets

SAME: Sequence[Numbers] = ({}, {})
WORSE: Sequence[Numbers] = ({"error": 0.01}, {"error": 0.4})
BETTER: Sequence[Numbers] = ({"error": 0.4}, {"error": 0.01})
PLAIN_RISES = "The training error of plain nets rises from 20 to 56 layers: "
VERDICTS = [
    (degradation.answer, nets(WORSE, SAME), "confirmed", f"{PLAIN_RISES}confirmed (+39.00 points [+38.98, +39.02], n"),
    (degradation.answer, nets(BETTER, SAME), "contradicted", f"{PLAIN_RISES}contradicted (-39.00 points [-39.02, "),
    (
        degradation.answer,
        nets(SAME, SAME),
        "cannot tell",
        f"{PLAIN_RISES}cannot tell (+0.00 points [-0.02, +0.02], n = ",
    ),
    (
        degradation.answer,
        nets(WORSE, WORSE),
        "cannot tell",
        "It rises more in plain nets than in residual ones: cannot",
    ),
    (degradation.answer, nets((), SAME), "unanswered", "cannot be answered"),
    (overfitting.answer, nets(WORSE, SAME), "confirmed", "Their training error rises too, so that it is not overfit"),
    (
        overfitting.answer,
        nets(({"error": 0.2}, {"error": 0.1, "gap": 0.5}), SAME),
        "contradicted",
        "so that it is not overfitting: contradicted (-10.00 points",
    ),
    (overfitting.answer, nets(SAME, SAME), "cannot tell", "So there may be nothing to explain"),
    (overfitting.answer, nets((), SAME), "unanswered", "cannot be answered for plain nets"),
    (
        gradients.answer,
        nets(SAME, SAME),
        "confirmed",
        "within a factor of 10 at initialisation: confirmed (1× [1, 1], n",
    ),
    (
        gradients.answer,
        nets(({}, {"slope": 1e-4}), SAME),
        "contradicted",
        "factor of 10 at the end: contradicted (0.00",
    ),
    (gradients.answer, nets(({}, {"slope": 1e4}), SAME), "contradicted", "at initialisation: contradicted (3.91e+03×"),
    (
        responses.answer,
        nets(SAME, ({"response": 0.8}, {"response": 0.4})),
        "confirmed",
        "Residual nets of 56 layers respond less than their plain twins: confirmed (-0.600 [-0.602, -0.598], n",
    ),
    (
        responses.answer,
        nets(SAME, ({"response": 0.4}, {"response": 0.8})),
        "contradicted",
        "Residual nets of 56 layers respond less than those of 20: contradicted (+0.400",
    ),
    (responses.answer, nets(SAME, SAME), "cannot tell", "than their plain twins: cannot tell (+0.000 [-0.002, +0.002]"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 0.2})), "confirmed", "its smallness is learned: confirmed (-0"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 2.0})), "contradicted", "on average over blocks: contradicted"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 0.05})), "confirmed", "0.1 times the shortcut: confirmed (0.0"),
    (ratios.answer, nets((), ({"untrained": 0.3}, {"untrained": 0.3})), "cannot tell", "is learned: contradicted (+0."),
    (
        lesions.answer,
        nets((), ({}, {"cost": 0.1})),
        "confirmed",
        "the more its removal costs: rho is above 0: confirmed",
    ),
    (lesions.answer, nets((), ({}, {"cost": -0.1})), "contradicted", "rho is above 0: contradicted (-1.00 [-1.00, -1."),
    (lesions.answer, nets((), ({}, {"cost": 9.0})), "contradicted", "for the one that costs most: contradicted (27."),
    (lesions.answer, nets((), ({}, {"cost": 0.0})), "cannot tell", "Too few blocks differ"),
    (decisions.answer, nets((), SAME), "confirmed", "right after an earlier block: confirmed (50 % [50, 50], n = 3)"),
    (
        decisions.answer,
        nets((), SAME),
        "confirmed",
        "the net's own head, which reads it in served models, reads as wel",
    ),
    (decisions.answer, nets((), ({}, {"own": 0.2})), "confirmed", "after stage3.block0 it is right for "),
    (
        decisions.answer,
        nets((), ({}, {"early": 0.9})),
        "contradicted",
        "after an earlier block: contradicted (90 % [90",
    ),
    (decisions.answer, nets((), ({}, {"early": None})), "cannot tell", "No answer is wrong, so that none was right"),
    (
        decisions.answer,
        nets((), ({}, {"rise": -0.5})),
        "contradicted",
        "accuracy and place is above 0: contradicted (-0",
    ),
    (
        decisions.answer,
        nets((), ({}, {"rise": None})),
        "cannot tell",
        "Too few blocks differ to say whether accuracy r",
    ),
    (decisions.answer, nets(SAME, ()), "unanswered", "there are no residual nets"),
    (proxies.answer, nets((), SAME), "contradicted", "below 0.7: contradicted (+0.90 [+0.90, +0.90], n = 3). Of the 4"),
    (proxies.answer, nets((), ({}, {"influence": 0.3})), "confirmed", "the influence has the largest rank correlation"),
    (proxies.answer, nets((), ({}, {"influence": 0.7})), "cannot tell", "The larger the influence, the more accuracy"),
    (
        proxies.answer,
        nets((), ({}, {"influence": None})),
        "cannot tell",
        "too few blocks differ for a rank correlation",
    ),
    (proxies.answer, nets(SAME, ()), "unanswered", "there are no residual nets"),
]


@pytest.mark.parametrize(("answer", "evidence", "outcome", "words"), VERDICTS)
def test_verdicts_follow_from_the_numbers(answer: object, evidence: Evidence, outcome: str, words: str) -> None:
    found: Answer = answer(evidence)  # type: ignore[operator]
    assert words in found.verdict
    assert found.outcome == outcome


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "evidence", [nets(WORSE, SAME), nets((), SAME), nets(WORSE, ())], ids=["both", "resnet", "plain"]
)
def test_every_figure_can_be_drawn(question: object, evidence: Evidence) -> None:
    figure = question.draw(evidence)  # type: ignore[attr-defined]
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()


def test_a_single_net_has_the_intervals_of_its_images() -> None:
    one = Evidence(tuple(nets((), SAME).select("resnet", 56)[:1]), "digits")
    assert "confirmed (50 % [49, 51], n = 100)" in decisions.answer(one).verdict
    assert "contradicted (+0.90 [+0.89, +0.91], n = 100)" in proxies.answer(one).verdict


def test_gradients_that_vanish_in_the_middle_are_seen() -> None:
    names = [f"stage1.block{index}.conv1" for index in range(24)]
    norms = dict(zip(names, 10.0 ** -np.array([0] * 9 + [3] * 6 + [0] * 9), strict=True))
    assert gradients.departure(norms) == pytest.approx(-3)
