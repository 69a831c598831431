"""`exporter convert`: writes the weights of a checkpoint as a new version."""

from collections.abc import Sequence
from pathlib import Path

from resprobe_exporter import progress
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.classes import class_names
from resprobe_exporter.exits.write import ExitOptions
from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.versions import succession
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import NewVersion, with_exits, write_version


def convert(
    weights: state_dict.Weights,
    architecture: Architecture,
    preprocessing: Preprocessing,
    names: tuple[str, ...] | None,
    test_set: LabelledImages | None,
    root: Path,
    name: str | None = None,
    readouts: TrainingImages | None = None,
    exits: ExitOptions | None = None,
) -> NewVersion:
    """Writes the weights of a checkpoint as the next version of a model.

    Args:
        weights: Weights that `state_dict.read` read.
        architecture: Shape of their net, as `reading.architecture_of` returned it.
        preprocessing: Normalisation that the net was trained with.
        names: Names of the classes. If None, those of the test set or, without one, numbers.
        test_set: Images for the accuracy and the baseline. If None, both are left out.
        root: Model repository.
        name: Name of the model. If None, that of the net.
        readouts: Training images to fit heads on, for readouts before the last stage. If None, there are no heads.
        exits: How the net is cut for early exits. If None, it is not.

    Raises:
        CheckpointError: The weights do not fit; nothing is written.
        ExporterError: The preprocessing or the classes do not fit, or the repository cannot be written.
        InvalidRequest: The test set has classes that the model lacks.
    """
    name = name or architecture.name
    preprocessing.check(architecture.channels)
    data_set = (test_set.name, test_set.classes) if test_set is not None else None
    is_imagenet = preprocessing.pictures is not None
    classes = class_names.choose(names, architecture.classes, str(weights.path), data_set, is_imagenet)
    shape = architecture.height, architecture.width, architecture.channels
    succession.check(root, name, shape, classes)  # before the time is spent
    candidate = _candidate(weights, architecture, preprocessing, classes, test_set)
    return write_version(candidate, root, name, with_exits(exits, test_set), readouts)


def _candidate(
    weights: state_dict.Weights,
    architecture: Architecture,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    test_set: LabelledImages | None,
) -> Candidate:
    """Makes a candidate of a checkpoint."""
    net = ResNet(architecture)
    state_dict.fill(net, weights)
    if weights.state.left_out:
        progress.note(f"left out of {weights.path.name}, as not part of the net: {', '.join(weights.state.left_out)}")
    read_as = reading.report(weights, architecture)
    progress.note(f"{weights.path.name} is read as: {reading.sentence(read_as)}")
    origin = Origin(weights.path.name, converted_as=read_as)
    return net_candidate(net, preprocessing, classes, origin, test_set, reading.hints(architecture))
