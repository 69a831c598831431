"""`exporter convert`: writes the weights of a checkpoint as a new version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resprobe_exporter import progress
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.importing import class_names, state_dict
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.versions import succession
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import NewVersion, write_version

# Shortcut option A and its variants, which weights do not tell apart.
PADDED: Mapping[Shortcut, str] = {
    "A": "every second position, zero channels on both sides",
    "A-append": "every second position, zero channels after the others",
    "A-avgpool": "averages of 2×2 positions, zero channels on both sides",
    "A-append-avgpool": "averages of 2×2 positions, zero channels after the others",
}


@dataclass(frozen=True)
class NetOptions:
    """Options that complete or confirm what names and shapes of a checkpoint tell of its net.

    Attributes:
        family: Kind of net. If None, that of the file; a plain net has the names and shapes of a residual one.
        depth: Weighted layers. If None, those of the file.
        shortcut: Shortcut option. If None, that of the file, or A without projections.
        channels: Channels of the images. If None, those of the file.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
    """

    family: Family | None = None
    depth: int | None = None
    shortcut: Shortcut | None = None
    channels: int | None = None
    height: int = 32
    width: int = 32


def convert(
    weights: state_dict.Weights,
    architecture: Architecture,
    preprocessing: Preprocessing,
    names: tuple[str, ...] | None,
    test_set: LabelledImages | None,
    root: Path,
    name: str | None = None,
    readouts: TrainingImages | None = None,
) -> NewVersion:
    """Writes the weights of a checkpoint as the next version of a model.

    Args:
        weights: Weights that `state_dict.read` read.
        architecture: Shape of their net, as `architecture_of` returned it.
        preprocessing: Normalisation that the net was trained with.
        names: Names of the classes. If None, those of the test set or, without one, numbers.
        test_set: Images for the accuracy and the baseline. If None, both are left out.
        root: Model repository.
        name: Name of the model. If None, family and depth.
        readouts: Training images to fit heads on, for readouts before the last stage. If None, there are no heads.

    Raises:
        CheckpointError: The weights do not fit; nothing is written.
        ExporterError: The preprocessing or the classes do not fit, or the repository cannot be written.
        InvalidRequest: The test set has classes that the model lacks.
    """
    name = name or f"{architecture.family}{architecture.depth}"
    preprocessing.check(architecture.channels)
    data_set = (test_set.name, test_set.classes) if test_set is not None else None
    classes = class_names.choose(names, architecture.classes, str(weights.path), data_set)
    shape = architecture.height, architecture.width, architecture.channels
    succession.check(root, name, shape, classes)  # before the time is spent
    candidate = _candidate(weights, architecture, preprocessing, classes, test_set)
    return write_version(candidate, root, name, readouts=readouts)


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
    origin = Origin(weights.path.name, converted_as=_report(weights, architecture))
    return net_candidate(net, preprocessing, classes, origin, test_set, _hints(architecture))


def architecture_of(weights: state_dict.Weights, options: NetOptions) -> Architecture:
    """Returns the shape of a checkpoint's net, from the options and from its names and shapes.

    Raises:
        CheckpointError: An option contradicts the file, or it is not one of our nets.
    """
    found = state_dict.examine(weights)
    base = found.shortcut  # A for all its variants
    asked = {
        "depth": (options.depth, found.depth),
        "channels": (options.channels, found.channels),
        "shortcut": ("A" if options.shortcut in PADDED else options.shortcut, base),
        "family": ("resnet" if options.family == "plain" and base == "A" else options.family, found.family),
    }
    for option, (given, expected) in asked.items():
        if given is not None and given != expected:
            raise CheckpointError(
                f"--{option} {getattr(options, option)}: {weights.path} holds a {found.family} of depth {found.depth} "
                f"with shortcut option {base}, for images of {found.channels} channels"
            )
    return Architecture(
        options.family or found.family,
        found.depth,
        options.shortcut or base,
        options.height,
        options.width,
        found.channels,
        found.classes,
    )


def _report(weights: state_dict.Weights, architecture: Architecture) -> dict[str, str]:
    """Reports what the weights were read as, and returns it for the description."""
    shortcut = architecture.shortcut
    if shortcut in PADDED and architecture.family != "plain":
        shortcut_text = f"{shortcut}: {PADDED[shortcut]}; weights do not tell the variants of A apart"
    else:
        shortcut_text = shortcut
    if weights.state.left_out:
        progress.note(f"left out of {weights.path.name}, as not part of the net: {', '.join(weights.state.left_out)}")
    read_as = {
        "weights": str(weights.state),
        "family": architecture.family,
        "depth": str(architecture.depth),
        "shortcut": shortcut_text,
    }
    progress.note(f"{weights.path.name} is read as: " + ", ".join(f"{key} {value}" for key, value in read_as.items()))
    return read_as


def _hints(architecture: Architecture) -> Sequence[str]:
    """Returns what to check if the accuracy is one of wrongly read weights."""
    hints = ["--mean and --std", "the order of --classes"]
    if architecture.family == "plain" or architecture.shortcut in PADDED:
        others = [option for option in PADDED if option != architecture.shortcut]
        hints.insert(0, f"--shortcut ({', '.join(others)}) and --family")
    return hints
