"""Concludes from the trial of a version's graphs which requests it can answer, and whether they can share a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resprobe_protos.contract import LEAN, LOGITS

from resprobe_server.execution.outputs import Scores, are_probabilities, are_scores
from resprobe_server.execution.session import Session
from resprobe_server.images.format import Format
from resprobe_server.validation import declarations, independence, trial
from resprobe_server.validation.triton_config import CONFIG

NO_IMAGES = "takes no input `image` of uint8 [n, height, width, channels]"
NO_SCORES = f"returns no {LOGITS}, float [n, classes]"
NO_BATCH = "its inputs and outputs share no first axis"


@dataclass(frozen=True)
class Findings:
    """Conclusions about a version.

    Attributes:
        trials: Trials of its graphs, by file; the first is that of the lean graph.
        batched: Whether requests can share a batch.
        max_batch: Maximum rows of a batch; 1 if requests are run one at a time.
        images: Format of its images. If None, it has no batches of images.
        scores: Scores that the trial returned. If None, it returned none.
        unclassified: Why it classifies no images; empty if it does.
        probabilities: Whether its scores are probabilities.
        notes: What its operator should know.
    """

    trials: Mapping[str, trial.Trial]
    batched: bool
    max_batch: int
    images: Format | None
    scores: Scores | None
    unclassified: str
    probabilities: bool
    notes: Sequence[str]


def conclude(
    lean: Session,
    examined: independence.Examined,
    trials: Mapping[str, trial.Trial],
    configured: int | None,
    max_batch: int,
) -> Findings:
    """Draws the conclusions from the trial of a version.

    Args:
        lean: Session of the lean graph.
        examined: Result of examining the lean graph.
        trials: Trials of all graphs, by file.
        configured: Maximum rows of a batch in config.pbtxt. If None, it does not say.
        max_batch: Maximum rows of a batch, if there are batches.
    """
    images, values = declarations.declared_images(lean), trials[LEAN].outputs.get(LOGITS)
    scores = values if values is not None and are_scores(values) else None
    alone = "" if examined.batched else _why_alone(lean, examined, configured)
    single = bool(alone) and images is not None and configured != 0 and _accepts_one(lean, trials[LEAN])
    batched = examined.batched or single
    if images is None:
        unclassified = NO_IMAGES
    elif not batched:
        unclassified = f"runs its requests one at a time, not in batches of images: {alone}"
    else:
        unclassified = "" if scores is not None else NO_SCORES
    probabilities = not unclassified and scores is not None and are_probabilities(scores)
    largest = min(max_batch, lean.fixed or max_batch) if examined.batched else 1
    notes = _notes(lean, examined, configured, alone, single)
    if images is not None and unclassified:
        notes.append(f"images are not classified: it {unclassified}")
    if probabilities:
        notes.append(f"its {LOGITS} are probabilities already, and are served as they are")
    served = images if batched else None
    return Findings(trials, batched, largest, served, scores, unclassified, probabilities, notes)


def _accepts_one(lean: Session, trial: trial.Trial) -> bool:
    """Returns whether a graph accepts one row by itself and returns one for it, whatever it does with several."""
    free = all(tensor.shape[:1] == (None,) for tensor in lean.inputs)
    return free and bool(trial.outputs) and all(array.shape[:1] == (1,) for array in trial.outputs.values())


def _why_alone(lean: Session, examined: independence.Examined, configured: int | None) -> str:
    if not lean.may_batch:
        return NO_BATCH
    return f"{CONFIG} says so" if configured == 0 else examined.reason


def _notes(
    lean: Session, examined: independence.Examined, configured: int | None, alone: str, single: bool
) -> list[str]:
    """Returns what an operator should know of the batches. `alone` is why requests run one at a time, or empty."""
    notes = {
        f"{CONFIG} says max_batch_size: {configured}": configured is not None,
        f"{'images' if single else 'requests'} are run one at a time: {alone}": alone,
        f"its rows are assumed to be independent, which no test has shown: {examined.reason}": (
            examined.batched and examined.reason
        ),
        f"it runs batches of {lean.fixed} only, and smaller ones are filled up": examined.batched and lean.fixed > 1,
    }
    return [note for note, applies in notes.items() if applies]
