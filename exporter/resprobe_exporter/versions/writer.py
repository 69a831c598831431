"""Writes a candidate as the next version of a model: verified, measured, described, and renamed into place."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resprobe._classes import match
from resprobe_protos.contract import LEAN

from resprobe_exporter import progress
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.variants import write_graphs
from resprobe_exporter.readouts.fit import fit_heads
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.verification.reference import Oracle
from resprobe_exporter.verification.rows import check_rows
from resprobe_exporter.verification.verify import check
from resprobe_exporter.versions import evaluation, metadata, repository, succession
from resprobe_exporter.versions.candidate import Candidate
from resprobe_exporter.versions.test_set import LabelledImages

if TYPE_CHECKING:
    from resprobe_exporter.exits.write import ExitOptions

Annotate = Callable[[metadata.Model, Path], None]  # of a description and the directory of the files


@dataclass(frozen=True)
class NewVersion:
    """A version that was written.

    Attributes:
        description: Content of its model.json.
        directory: Directory of the version, NAME/VERSION in the repository.
        training_seconds: Seconds that the training took; 0 for an imported net.
    """

    description: metadata.Model
    directory: Path
    training_seconds: float = 0.0


def write_version(
    candidate: Candidate,
    root: Path,
    name: str,
    annotate: Annotate | None = None,
    readouts: TrainingImages | None = None,
) -> NewVersion:
    """Writes the next version of a model.

    Args:
        candidate: Net to write.
        root: Model repository.
        name: Name of the model.
        annotate: Adds to the description what the candidate does not say. If None, nothing is added.
        readouts: Training images to fit the candidate's heads on. If None, it keeps those that it has.

    Raises:
        CheckFailed: The graphs do not compute what the oracle says; nothing is left behind.
        ExporterError: The repository cannot be written, or the model has versions of another kind.
        InvalidRequest: The test set has classes that the net lacks.
    """
    image, classes, test_set = candidate.info.image, candidate.classes, candidate.test_set
    succession.check(root, name, image, classes)
    _say_pictures(candidate)
    if readouts is not None:
        heads = fit_heads(candidate.lean, candidate.info.blocks, classes, readouts)
        candidate = replace(candidate, heads=heads)
    with repository.new_version(root, name) as draft:
        progress.say(f"writing {len(candidate.info.blocks)} blocks")
        write_graphs(candidate.lean, draft.directory, candidate.info.blocks, candidate.heads.heads)
        progress.say(f"comparing with {candidate.oracle.source}")
        _verify(candidate.oracle, draft.directory)
        description = metadata.describe(candidate, draft, list(find(candidate.lean.graph)))
        if test_set is not None:
            progress.say(f"measuring on {test_set.name}")
            measured = evaluation.measure_version(draft.directory, description, test_set)
            evaluation.add_measurement(description, test_set.name, measured)
            if candidate.heads.heads:
                evaluation.measure_readouts(draft.directory, description, test_set)
        if annotate is not None:
            annotate(description, draft.directory)
        metadata.write(description, draft.directory)
        succession.check(root, name, image, classes)  # another version may have been written meanwhile
    if test_set is not None and candidate.hints:
        evaluation.doubt(description, len(test_set.classes), candidate.hints)
    return NewVersion(description, draft.target)


def with_exits(exits: "ExitOptions | None", test_set: LabelledImages | None) -> Annotate | None:
    """Returns what adds early exits to a version. If None, it gets none."""
    if exits is None:
        return None

    def annotate(description: metadata.Model, directory: Path) -> None:
        from resprobe_exporter.exits.write import Labelled, add_exits  # not before it is needed: it imports torch

        test = None
        if test_set is not None:
            classes = match(test_set.classes, description.classes, "the data set").indices
            test = Labelled(test_set.images, classes[test_set.labels])
        add_exits(description, directory, exits, test)

    return annotate


def _say_pictures(candidate: Candidate) -> None:
    """Says how pictures become images of the net, if that was given."""
    image, seen = candidate.info.image, candidate.preprocessing
    cut = None if image is None or seen is None else seen.resize_and_crop(*image[:2])
    if cut is not None and image is not None:
        progress.note(f"servers and clients preprocess pictures: {cut.describe(*image[:2])}")


def _verify(oracle: Oracle, directory: Path) -> None:
    """Checks that the graphs can be served and compute what the oracle says."""
    check_rows(directory / LEAN, oracle.inputs, oracle.source, oracle.tolerance)
    check(oracle.reference(directory), directory)
