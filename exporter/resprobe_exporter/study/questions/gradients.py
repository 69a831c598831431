"""Do gradients vanish? The norm of each layer's gradient at initialisation, early in training and at its end."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, mean
from resprobe_exporter.study.verdict import Claim, conclude

MOMENTS = {"initial": "at initialisation", "early": "after a tenth of the steps", "late": "at the end"}
LIMIT = 10.0  # times smaller than in the last layers is vanishing, times larger is exploding
GROUPS = 8

QUESTION = Question(
    key="gradients",
    text="Do gradients vanish?",
    expectation=(
        "If gradients shrank on their way back, the first layers of a deep net would not learn. He et al. (§4.1) "
        "say that with batch norm they “exhibit healthy norms”, and give no number. Expected here is that they stay "
        f"within a factor of {LIMIT:.0f} in plain nets too, at every moment."
    ),
    experiment=(
        "L2 norm of the gradient of each layer's weight, of the mean loss on the same training images, with batch "
        f"statistics as in training. The 3×3 layers form {GROUPS} successive groups; the number is the gradient of "
        "the group that is furthest from the last group, over that of the last (geometric means). Below "
        f"1/{LIMIT:.0f} gradients vanish, above {LIMIT:.0f} they explode."
    ),
    caption=("L2 norm of the gradient of each 3×3 layer's weight: lines are means, bands span the seeds."),
)


def profile(norms: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Returns the norms of the 3×3 layers, from input to output, [depth - 1]."""
    return np.array([norm for name, norm in norms.items() if name.rpartition(".")[2] in ("conv1", "conv2")])


def departure(norms: Mapping[str, float]) -> float:
    """Returns log10 of the gradient of the group of layers furthest from the last group, over that of the last group.

    The 3×3 layers form eight successive groups, each with the geometric mean of its layers.
    """
    logs = np.log10(np.maximum(profile(norms), np.finfo(np.float64).tiny))
    groups = np.array([group.mean() for group in np.array_split(logs, min(GROUPS, len(logs)))])
    distances = groups - groups[-1]
    return float(distances[np.abs(distances).argmax()])


def furthest_to_last(evidence: Evidence, family: Family, depth: int, moment: str) -> Estimate | None:
    """Returns `departure` as a factor, geometric mean over seeds. If None, it was not measured."""
    records = [record for record in evidence.select(family, depth) if moment in record.gradients]
    if not records:
        return None
    logs = mean([departure(record.gradients[moment]) for record in records])
    if logs.low is None or logs.high is None:
        return Estimate(10**logs.value, n=logs.n)
    return Estimate(10**logs.value, 10**logs.low, 10**logs.high, logs.n)


def answer(evidence: Evidence) -> Answer:
    """Answers from the gradients of the shallow and the deep nets of each family."""
    found: dict[tuple[Family, int, str], Estimate] = {}
    for family in evidence.families():
        for depth in evidence.compared_depths(family):
            for moment in MOMENTS:
                if (estimate := furthest_to_last(evidence, family, depth, moment)) is not None:
                    found[family, depth, moment] = estimate
    outcome, verdict = _verdict(evidence, found)
    return QUESTION.answered(
        outcome,
        verdict,
        tuple(
            Number(f"furthest group over last, {WORDS[family]}, {depth} layers, {MOMENTS[moment]}", estimate, "×")
            for (family, depth, moment), estimate in found.items()
        ),
        _rows(evidence),
    )


def _rows(evidence: Evidence) -> Iterator[Row]:
    yield from (
        {"family": record.family, "depth": record.depth, "seed": record.seed, "moment": moment}
        | {"layer": layer, "position": position, "norm": norm}
        for record in evidence.records
        for moment, norms in record.gradients.items()
        for position, (layer, norm) in enumerate(norms.items())
    )


def _verdict(evidence: Evidence, found: Mapping[tuple[Family, int, str], Estimate]) -> tuple[Outcome, str]:
    claims: dict[Family, list[Claim]] = {
        family: [
            _stays(family, depth, moment, found[key]) for moment in MOMENTS if (key := (family, depth, moment)) in found
        ]
        for family in evidence.families()
        for depth in evidence.depths(family)[-1:]
    }
    said = [str(claim) for group in claims.values() for claim in group]
    if any(len(group) < len(MOMENTS) for group in claims.values()):
        said.append("Gradients early in training are not known: these nets were trained elsewhere.")
    if "plain" not in claims:
        return "unanswered", " ".join(["This cannot be answered for plain nets: there are no plain nets here.", *said])
    return conclude(claims["plain"]), " ".join(said)


def _stays(family: Family, depth: int, moment: str, factor: Estimate) -> Claim:
    """Returns the claim that gradients neither vanish nor explode."""
    text = f"Gradients of {WORDS[family]} nets of {depth} layers stay within a factor of {LIMIT:.0f} {MOMENTS[moment]}"
    return Claim(text, factor, 1 / LIMIT, LIMIT, ".3g", "×")


def _profile_at(moment: str, record: Record) -> npt.NDArray[np.float64]:
    return profile(record.gradients[moment])


def draw(evidence: Evidence) -> Figure:
    """Draws the norm against the layer, a panel for each moment."""
    moments = [moment for moment in MOMENTS if any(moment in record.gradients for record in evidence.records)]
    figure, axes = panels.grid(1, len(moments), sharey=True)
    for place, moment in enumerate(moments):
        panel = axes[0, place]
        figures.profiles(panel, evidence, partial(_profile_at, moment))
        panel.set_yscale("log")
        panel.set_title(MOMENTS[moment])
        panel.set_xlabel("3×3 layer, from input (0) to output (1)")
    axes[0, 0].set_ylabel("L2 norm of the layer's gradient")
    axes[0, 0].legend()
    return figure
