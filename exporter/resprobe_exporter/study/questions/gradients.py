"""Do gradients vanish? The norm of each layer's gradient at initialisation, early in training and at its end."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from resprobe_exporter.study import figures
from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.statistics import Estimate, mean

MOMENTS = {"initial": "at initialisation", "early": "after a tenth of the steps", "late": "at the end"}
LIMIT = 10.0  # times smaller or larger in front than at the end: that is what we call vanishing and exploding


def profile(norms: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Norms of the 3×3 layers, from input to output, [depth - 1]."""
    return np.array([norm for name, norm in norms.items() if name.rpartition(".")[2] in ("conv1", "conv2")])


def log_slope(norms: Mapping[str, float]) -> float:
    """log10 of how much larger the gradients of the first quarter of the layers are than those of the last."""
    logs = np.log10(np.maximum(profile(norms), np.finfo(np.float64).tiny))
    quarter = max(1, len(logs) // 4)
    return float(logs[:quarter].mean() - logs[-quarter:].mean())


def first_to_last(evidence: Evidence, family: Family, depth: int, moment: str) -> Estimate | None:
    """Geometric mean over seeds of the first quarter's gradient over the last quarter's; None: not measured."""
    records = [record for record in evidence.select(family, depth) if moment in record.gradients]
    if not records:
        return None
    logs = mean([log_slope(record.gradients[moment]) for record in records])
    return Estimate(*(None if one is None else 10**one for one in (logs.value, logs.low, logs.high)))  # type: ignore[arg-type]


def answer(evidence: Evidence) -> Answer:
    """From the gradients of the shallow and the deep nets of each family."""
    found: dict[tuple[Family, int, str], Estimate] = {}
    for family in evidence.families():
        for depth in dict.fromkeys(evidence.pair(family) or evidence.depths(family)):
            for moment in MOMENTS:
                if (estimate := first_to_last(evidence, family, depth, moment)) is not None:
                    found[family, depth, moment] = estimate
    outcome, verdict = _verdict(evidence, found)
    return Answer(
        key="gradients",
        question="Do gradients vanish?",
        expectation=(
            "If gradients shrank on their way back, the first layers of a deep net would not learn. He et al. (§4.1) "
            "say that with batch norm they “exhibit healthy norms”, and give no number. So we measure."
        ),
        experiment=(
            "L2 norm of the gradient of each layer's weight, of the mean loss on the same training images, with batch "
            "statistics as in training. The number is the gradient of the first quarter of the 3×3 layers over that "
            f"of the last quarter (geometric means); below 1/{LIMIT:.0f} we call it vanishing, above {LIMIT:.0f} "
            "exploding."
        ),
        outcome=outcome,
        verdict=verdict,
        numbers=tuple(
            Number(f"first over last layers, {WORDS[family]}, {depth} layers, {MOMENTS[moment]}", estimate, "×")
            for (family, depth, moment), estimate in found.items()
        ),
        caption=("L2 norm of the gradient of each 3×3 layer's weight: lines are means, bands span the seeds."),
        rows=tuple(
            {"family": record.family, "depth": record.depth, "seed": record.seed, "moment": moment}
            | {"layer": layer, "position": position, "norm": norm}
            for record in evidence.records
            for moment, norms in record.gradients.items()
            for position, (layer, norm) in enumerate(norms.items())
        ),
    )


def _verdict(evidence: Evidence, found: Mapping[tuple[Family, int, str], Estimate]) -> tuple[Outcome, str]:
    said = [
        _sentence(family, deep, {moment: found[key] for moment in MOMENTS if (key := (family, deep, moment)) in found})
        for family in evidence.families()
        for deep in evidence.depths(family)[-1:]
    ]
    plain = {
        moment: one.value for (family, depth, moment), one in found.items() if _is_deep_plain(evidence, family, depth)
    }
    if not plain:
        return "unanswered", "For plain nets this cannot be answered: there are none here. " + " ".join(said)
    if "early" not in plain:
        said.insert(0, "For lack of training, there is nothing to say about its early steps.")
    healthy = all(1 / LIMIT <= value <= LIMIT for value in plain.values())
    return "agrees" if healthy else "differs", " ".join(said)


def _is_deep_plain(evidence: Evidence, family: Family, depth: int) -> bool:
    return family == "plain" and depth == evidence.depths(family)[-1]


def _sentence(family: Family, depth: int, moments: Mapping[str, Estimate]) -> str:
    """One family: what its gradients do at each moment."""
    parts = [f"{_word(one.value)} {MOMENTS[moment]} ({one.value:.3g}×)" for moment, one in moments.items()]
    return f"In the {WORDS[family]} nets of {depth} layers the gradients are " + ", ".join(parts) + "."


def _word(value: float) -> str:
    if value < 1 / LIMIT:
        return "vanishing"
    return "exploding towards the input" if value > LIMIT else "healthy"


def draw(evidence: Evidence) -> Figure:
    """Norm against layer, a panel for each moment."""
    moments = [moment for moment in MOMENTS if any(moment in record.gradients for record in evidence.records)]
    figure, axes = figures.grid(1, len(moments), sharey=True)
    for place, moment in enumerate(moments):
        panel = axes[0, place]
        figures.profiles(panel, evidence, lambda record, at=moment: profile(record.gradients[at]))  # type: ignore[misc]
        panel.set_yscale("log")
        panel.set_title(MOMENTS[moment])
        panel.set_xlabel("3×3 layer, from input (0) to output (1)")
    axes[0, 0].set_ylabel("L2 norm of the layer's gradient")
    axes[0, 0].legend()
    return figure
