"""The page of a study: question, expectation, experiment and result, to be read from top to bottom."""

from collections.abc import Iterator, Sequence
from importlib import metadata

from markupsafe import Markup
from matplotlib.figure import Figure
from resprobe.report import page

from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome
from resprobe_exporter.study.plan import Plan
from resprobe_exporter.study.statistics import Estimate
from resprobe_exporter.study.verdict import RULE

OUTCOMES: dict[Outcome, str] = {
    "confirmed": "confirmed",
    "contradicted": "contradicted",
    "cannot tell": "cannot be told from these nets",
    "unanswered": "cannot be answered from these weights",
}
PACKAGES = ("resprobe", "torch", "numpy", "scipy")


def render(plan: Plan, evidence: Evidence, answers: Sequence[Answer], drawings: Sequence[Figure]) -> str:
    """The page as HTML.

    Args:
        plan: What was studied.
        evidence: What was measured.
        answers: In their order.
        drawings: The figure of each.
    """
    sections = [
        page.Section("In short", list(_summary(answers))),
        page.Section("The nets", list(_nets(plan, evidence))),
    ]
    sections += [_section(*both) for both in zip(answers, drawings, strict=True)]
    return page.render(
        f"Why deep residual nets can be trained: a study on {plan.dataset}",
        "He et al. (2015) saw plain nets get worse with depth, ruled out overfitting and vanishing gradients, and "
        "proposed that layers find it hard to keep what they get: with a shortcut, H(x) = F(x) + x, they need only "
        "learn the difference F(x). This page repeats their argument on nets measured here, and asks the question "
        "that is left: is F(x) close to zero, and does it matter?",
        sections,
        list(_notes()),
    )


def _summary(answers: Sequence[Answer]) -> Iterator[str | page.Table]:
    yield page.Table(
        ("", "question", "what is expected is"),
        [(str(place), answer.question, OUTCOMES[answer.outcome]) for place, answer in enumerate(answers, 1)],
        "The questions in order, and what the numbers say of what the paper or later work lets expect.",
        left=3,
    )
    yield RULE
    for place, answer in enumerate(answers, 1):
        yield Markup("<b>{}.</b> {}").format(place, answer.verdict)


def _nets(plan: Plan, evidence: Evidence) -> Iterator[str]:
    groups = [
        f"{WORDS[family]} nets of {_listed(evidence.depths(family))} layers ({len(evidence.family(family))} in all)"
        for family in evidence.families()
    ]
    yield f"{' and '.join(groups).capitalize()}, with shortcut option {plan.shortcut}, on {plan.dataset}."
    if plan.taken is None:
        recipe = plan.recipe
        momentum = f"{'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum}"
        shape = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in vars(recipe.schedule).items())
        yield (
            f"All are trained from He initialisation by one recipe, {plan.seeds} seeds each: {recipe.epochs} epochs, "
            f"batches of {recipe.batch_size}, SGD with {momentum} and weight decay {recipe.weight_decay}, a learning "
            f"rate of {recipe.learning_rate} at its highest ({type(recipe.schedule).__name__}: {shape}). That is short "
            "and small beside the paper's 64,000 steps on CIFAR-10: what follows holds for this training."
        )
    else:
        yield (
            "Their weights were published by others; nothing was trained here. Untrained twins of the same shape, "
            "their batch norms set from training images, stand beside them. Questions that need training, plain twins "
            "or several seeds are answered as far as the weights allow."
        )
    seconds = [record.seconds for record in evidence.records]
    yield (
        f"Budget: {sum(seconds) / 60:.1f} minutes of computing for {len(seconds)} nets, training and measurement "
        f"together; the longest took {max(seconds):.0f} s. Several are measured at a time: the clock shows less."
    )


def _section(answer: Answer, drawing: Figure) -> page.Section:
    parts: list[str | page.Figure | page.Gallery | page.Table] = [
        Markup("<b>Expected.</b> {}").format(answer.expectation),
        Markup("<b>Experiment.</b> {}").format(answer.experiment),
        Markup("<b>Result: {}.</b> {}").format(OUTCOMES[answer.outcome], answer.verdict),
        page.Figure(page.figure_svg(drawing), answer.caption),
    ]
    if answer.numbers:
        parts.append(_table(answer.numbers))
    return page.Section(answer.question, parts)


def _table(numbers: Sequence[Number]) -> page.Table:
    paper = any(number.paper for number in numbers)
    rows = [
        (
            one.label,
            _text(one.estimate, one.unit),
            _interval(one.estimate),
            one.estimate.count,
            *((one.paper or "–",) if paper else ()),
        )
        for one in numbers
    ]
    columns = ("", "mean", "95 % interval", "n", *(("paper",) if paper else ()))
    return page.Table(columns, rows, "The numbers. An interval needs at least two nets of a kind.")


def _text(estimate: Estimate, unit: str) -> str:
    return f"{_number(estimate.value)} {unit}".rstrip()


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{_number(estimate.low)} to {_number(estimate.high)}"


def _number(value: float) -> str:
    """Three decimals near zero, three digits elsewhere."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}" if abs(value) < 1e4 else f"{value:.1e}"


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths))


def _notes() -> Iterator[str]:
    yield (
        "Intervals are 95 %: of means Student's and of differences Welch's over nets (seeds), of exponents from the "
        "least-squares fit, of rank correlations from a bootstrap over blocks. n counts nets, of rank correlations "
        "blocks. Every sentence called a result follows by the rule from the number that it shows."
    )
    yield (
        "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, arXiv 1512.03385. A. Veit, "
        "M. Wilber, S. Belongie: arXiv 1605.06431. B. Chang et al.: Multi-level Residual Networks from Dynamical "
        "Systems View, 2018. M. Hauser: arXiv 1902.04106. S. De, S. Smith: arXiv 2002.10444."
    )
    yield "Made with " + ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES) + "."
