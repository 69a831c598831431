"""Page of a study: question, expectation, experiment and result, to be read from top to bottom."""

from collections.abc import Iterator, Sequence
from importlib import metadata

from markupsafe import Markup
from matplotlib.figure import Figure
from resprobe.report import page

from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome
from resprobe_exporter.study.plan import StudyPlan
from resprobe_exporter.study.statistics import Estimate
from resprobe_exporter.study.verdict import RULE
from resprobe_exporter.training.recipes import OneCycle, StepDecay

OUTCOMES: dict[Outcome, str] = {
    "confirmed": "confirmed",
    "contradicted": "contradicted",
    "cannot tell": "cannot tell",
    "unanswered": "cannot be answered with these nets",
}
NUMBERS = "The numbers. Means of two nets or more have an interval; of a single net, what was resampled over images."
PACKAGES = ("resprobe", "torch", "numpy", "scipy")


def render(plan: StudyPlan, evidence: Evidence, answers: Sequence[Answer], drawings: Sequence[Figure]) -> str:
    """Returns the page as HTML.

    Args:
        plan: Plan of the study.
        evidence: Measurements of all nets.
        answers: Answers in the order of the page.
        drawings: Figure of each answer.
    """
    sections = [
        page.Section("In short", list(summary(answers))),
        page.Section("The nets", list(_nets(plan, evidence))),
    ]
    sections += [section(place, *both) for place, both in enumerate(zip(answers, drawings, strict=True), 1)]
    return page.render(
        f"Why deep residual nets can be trained: a study on {plan.dataset}",
        "He et al. (2015) saw plain nets get worse with depth, ruled out overfitting and vanishing gradients, and "
        "proposed that layers find it hard to pass on their input: with a shortcut, H(x) = F(x) + x, they need only "
        "learn the difference F(x). This page repeats their argument on nets measured here, and asks the question "
        "that is left: is F(x) close to zero, and does it matter? Then it looks inside: when does a net decide, and "
        "what tells cheaply which blocks it needs?",
        sections,
        list(_notes()),
    )


def summary(answers: Sequence[Answer]) -> Iterator[str | page.Table]:
    """Yields the parts of a summary: a table of questions, the rule of verdicts, and the verdicts."""
    yield page.Table(
        ("", "question", "expectation"),
        [(str(place), answer.question, OUTCOMES[answer.outcome]) for place, answer in enumerate(answers, 1)],
        "The questions in order, and whether the numbers confirm what the paper or later work leads one to expect.",
        left=3,
    )
    yield RULE
    for place, answer in enumerate(answers, 1):
        yield Markup("<b>{}.</b> {}").format(place, answer.verdict)


def _nets(plan: StudyPlan, evidence: Evidence) -> Iterator[str]:
    groups = [
        f"{WORDS[family]} nets of {_listed(evidence.depths(family))} layers ({len(evidence.family(family))} in all)"
        for family in evidence.families()
    ]
    yield f"{' and '.join(groups).capitalize()}, with shortcut option {plan.shortcut}, on {plan.dataset}."
    if plan.imported is None:
        yield _training(plan)
    else:
        yield (
            "Their weights are imported; nothing was trained here. They are compared with untrained twins of the same "
            "shape, whose batch norms are calibrated on training images. Questions that need training, plain twins or "
            "several seeds are answered as far as the imported nets allow."
        )
    seconds = [record.seconds for record in evidence.records]
    yield (
        f"Computing took {sum(seconds) / 60:.1f} minutes for {_counted(len(seconds), 'net')}, training and measurement "
        f"together, and at most {max(seconds):.0f} s for one net. With several workers, less time passed."
    )


def _training(plan: StudyPlan) -> str:
    """Describes the recipe."""
    recipe = plan.recipe
    momentum = f"{'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum}"
    return (
        f"All are trained from He initialisation by one recipe, {_counted(plan.seeds, 'seed')} for each family and "
        f"depth: {_counted(recipe.epochs, 'epoch')}, batches of {recipe.batch_size} images, SGD with {momentum} and "
        f"weight decay {recipe.weight_decay}, and a maximum learning rate of {recipe.learning_rate}, which "
        f"{_schedule(recipe.schedule)}. That is little beside the paper's 64,000 steps on CIFAR-10: the results hold "
        "for this training."
    )


def _schedule(schedule: OneCycle | StepDecay) -> str:
    """Describes a learning rate's schedule: what the learning rate does."""
    if isinstance(schedule, OneCycle):
        return f"rises linearly in the first {schedule.warmup:.0%} of the steps and then falls to 0 along a cosine"
    milestones = " and ".join(f"{milestone:.0%}" for milestone in schedule.milestones)
    return f"is multiplied by {schedule.gamma} after {milestones} of the steps"


def _counted(count: int, what: str) -> str:
    """Returns a number with its noun: 1 seed, 3 seeds."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def section(place: int, answer: Answer, drawing: Figure, caption: str = NUMBERS) -> page.Section:
    """Returns the section of a question.

    Args:
        place: Number of the question.
        answer: Its answer.
        drawing: Its figure.
        caption: Caption of the table of numbers.
    """
    parts: list[str | page.Figure | page.Gallery | page.Table] = [
        Markup("<b>Expected.</b> {}").format(answer.expectation),
        Markup("<b>Experiment.</b> {}").format(answer.experiment),
        Markup("<b>Result: {}.</b> {}").format(OUTCOMES[answer.outcome], answer.verdict),
        page.Figure(page.figure_svg(drawing), answer.caption),
    ]
    if answer.numbers:
        parts.append(_table(answer.numbers, caption))
    return page.Section(f"{place}. {answer.question}", parts)


def _table(numbers: Sequence[Number], caption: str) -> page.Table:
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
    return page.Table(columns, rows, caption)


def _text(estimate: Estimate, unit: str) -> str:
    return f"{_number(estimate.value)} {unit}".rstrip()


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{_number(estimate.low)} to {_number(estimate.high)}"


def _number(value: float) -> str:
    """Returns a number as text: with three decimals below 10, with three digits above."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}" if abs(value) < 1e4 else f"{value:.1e}"


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths))


def _notes() -> Iterator[str]:
    yield (
        "All intervals are 95 % intervals: Student's for means and Welch's for differences, over nets (seeds); of the "
        "least-squares fit for exponents; and of a bootstrap over blocks for the rank correlations of question 6. "
        "Questions 7 and 8 give Student's interval over nets where there are several; for a single net the interval is "
        "over its images, by a bootstrap or, for a share, Wilson's: it says how well that net is known, and nothing "
        "of other nets. n counts nets, blocks or images accordingly. Each verdict follows by the rule from the number "
        "beside it."
    )
    yield (
        "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, arXiv 1512.03385. A. Veit, "
        "M. Wilber, S. Belongie: arXiv 1605.06431. B. Chang et al.: Multi-level Residual Networks from Dynamical "
        "Systems View, 2018. M. Hauser: arXiv 1902.04106. S. De, S. Smith: arXiv 2002.10444. G. Alain, Y. Bengio: "
        "arXiv 1610.01644. Y. Kaya, S. Hong, T. Dumitraș: arXiv 1810.07052. R. Baldock, H. Maennel, B. Neyshabur: "
        "arXiv 2106.09647. X. Men et al.: arXiv 2403.03853. C. Hinostroza et al.: arXiv 2605.14075."
    )
    yield "Made with " + ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES) + "."
