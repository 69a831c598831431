"""`exporter convert`: from a checkpoint to a new model version."""

import time
from dataclasses import dataclass
from pathlib import Path

from resprobe_exporter import progress
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.importing import class_names, state_dict
from resprobe_exporter.nets.blocks import Shortcut
from resprobe_exporter.nets.resnet import Architecture, Family, ResNet
from resprobe_exporter.versions import metadata, succession
from resprobe_exporter.versions.build import Built
from resprobe_exporter.versions.plausibility import doubt
from resprobe_exporter.versions.writer import LabelledImages, Preprocessing, publish

VARIANTS: dict[Shortcut, str] = {
    "A": "every second position, zero channels on both sides",
    "A-append": "every second position, zero channels after the others",
    "A-avgpool": "averages of 2×2 positions, zero channels on both sides",
    "A-append-avgpool": "averages of 2×2 positions, zero channels after the others",
}


@dataclass(frozen=True)
class Wanted:
    """What is said of a checkpoint; what is None is read off its names and shapes.

    Attributes:
        weights: Which weights in the file: see `states.choose`.
        family: A plain net is taken for a residual one if it is not given: names and shapes are the same.
        depth: Weighted layers.
        shortcut: Option or variant; A if it is not given and there are no projections.
        channels: Of an image.
        height: Of an image, in pixels.
        width: Of an image, in pixels.
    """

    weights: str | None = None
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
) -> Built:
    """Writes the weights of a checkpoint as the next version of a model.

    Args:
        weights: What `checkpoint.read` read.
        architecture: Of their net: what `architecture_of` said.
        preprocessing: That the net was trained with.
        names: Of the classes. If None, those of the test set, or else numbers.
        test_set: For the accuracy and the baseline; None leaves both out.
        root: The model repository.
        name: Of the model. If None, family and depth.

    Raises:
        CheckpointError: The weights do not fit; nothing is written.
        ExporterError: The preprocessing or the classes do not fit.
        InvalidRequest: The test set has classes that the model lacks.
    """
    begin = time.perf_counter()
    name = name or f"{architecture.family}{architecture.depth}"
    preprocessing.check(architecture.channels)
    data_set = (test_set.name, test_set.classes) if test_set is not None else None
    classes = class_names.choose(names, architecture.classes, str(weights.path), data_set)
    shape = architecture.height, architecture.width, architecture.channels
    succession.check(root, name, shape, classes)
    net = ResNet(architecture)
    state_dict.fill(net, weights)
    origin = metadata.Origin(weights.path.name, converted_as=_say(weights, architecture))
    description, directory = publish(net, preprocessing, classes, origin, test_set, root, name, progress.say)
    if test_set is not None:
        _doubt(description, architecture, test_set)
    return Built(description, directory, 0.0, time.perf_counter() - begin)


def architecture_of(weights: state_dict.Weights, wanted: Wanted) -> Architecture:
    """Builds the description of a checkpoint's net from what is said of it and what its names and shapes tell.

    Raises:
        CheckpointError: These contradict each other, or it is no net of ours.
    """
    found = state_dict.examine(weights)
    base = found.shortcut  # A for all its variants
    asked = {
        "depth": (wanted.depth, found.depth),
        "channels": (wanted.channels, found.channels),
        "shortcut": (wanted.shortcut and wanted.shortcut.partition("-")[0], base),
        "family": ("resnet" if wanted.family == "plain" and base == "A" else wanted.family, found.family),
    }
    for option, (said, there) in asked.items():
        if said is not None and said != there:
            raise CheckpointError(
                f"--{option} {getattr(wanted, option)}: {weights.path} holds a {found.family} of depth {found.depth} "
                f"with shortcut option {base}, for images of {found.channels} channels"
            )
    return Architecture(
        wanted.family or found.family,
        found.depth,
        wanted.shortcut or base,
        wanted.height,
        wanted.width,
        found.channels,
        found.classes,
    )


def _say(weights: state_dict.Weights, architecture: Architecture) -> dict[str, str]:
    """Says what the weights were read as, and returns it for the description."""
    shortcut = architecture.shortcut
    if shortcut in VARIANTS and architecture.family != "plain":
        shortcut_text = f"{shortcut}: {VARIANTS[shortcut]}; weights do not tell the variants of A apart"
    else:
        shortcut_text = shortcut
    if weights.state.left_out:
        progress.note(f"left out of {weights.path.name}, as no part of the net: {', '.join(weights.state.left_out)}")
    read_as = {
        "weights": str(weights.state),
        "family": architecture.family,
        "depth": str(architecture.depth),
        "shortcut": shortcut_text,
    }
    progress.note(f"{weights.path.name} is read as: " + ", ".join(f"{key} {value}" for key, value in read_as.items()))
    return read_as


def _doubt(description: metadata.Model, architecture: Architecture, test_set: LabelledImages) -> None:
    """Says so if the accuracy is one that wrongly read weights have."""
    hints = ["--mean and --std", "the order of --classes"]
    if architecture.family == "plain" or architecture.shortcut in VARIANTS:
        others = [option for option in VARIANTS if option != architecture.shortcut]
        hints.insert(0, f"--shortcut ({', '.join(others)}) and --family")
    doubt(description, len(test_set.classes), hints)
