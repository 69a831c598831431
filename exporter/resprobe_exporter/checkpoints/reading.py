"""How a checkpoint is read: what its weights tell, options for what they leave open, and the report of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resprobe_exporter.checkpoints.examine import ExaminedNet, examine
from resprobe_exporter.checkpoints.state_dict import Weights
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.architecture import CIFAR_SIZE, IMAGENET_SIZE, Architecture
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.layout import Activation, Layout, Pool, Strides

# Shortcut option A and its variants, which weights do not tell apart.
PADDED: Mapping[Shortcut, str] = {
    "A": "every second position, zero channels on both sides",
    "A-append": "every second position, zero channels after the others",
    "A-avgpool": "averages of 2×2 positions, zero channels on both sides",
    "A-append-avgpool": "averages of 2×2 positions, zero channels after the others",
}
OPEN = "; weights do not tell"


@dataclass(frozen=True)
class NetOptions:
    """Options that complete or confirm what names and shapes of a checkpoint tell of its net.

    Attributes:
        family: Kind of net. If None, that of the file; a plain net has the names and shapes of a residual one.
        depth: Weighted layers. If None, those of the file.
        shortcut: Shortcut option. If None, that of the file, or A without projections.
        channels: Channels of the images. If None, those of the file.
        height: Height of the images in pixels. If None, the width, or 224 for nets that shrink images at once, else 32.
        width: Width of the images in pixels. If None, the height.
        net: Name of the net, such as resnet50. If None, that of the file.
        strides: Place of the stride in bottlenecks. If None, v1.5.
        pool: Pool after the stem. If None, a max pool unless the stem is a single 3×3 layer.
        activation: Non-linearity. If None, ReLU.
    """

    family: Family | None = None
    depth: int | None = None
    shortcut: Shortcut | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    net: str | None = None
    strides: Strides | None = None
    pool: Pool | None = None
    activation: Activation | None = None


def architecture_of(weights: Weights, options: NetOptions) -> Architecture:
    """Returns the shape of a checkpoint's net, from the options and from its names and shapes.

    Raises:
        CheckpointError: An option contradicts the file, or it is not one of our nets.
    """
    found = examine(weights, options.depth)
    layout = _complete(found, options, weights.path)
    shrinks = layout is not None and layout.shrinks
    given = [side for side in (options.height, options.width) if side is not None]
    default = given[0] if given else IMAGENET_SIZE if shrinks else CIFAR_SIZE
    shape = Architecture(
        options.family or found.family,
        found.depth,
        options.shortcut or found.shortcut,
        default if options.height is None else options.height,
        default if options.width is None else options.width,
        found.channels,
        found.classes,
        layout,
    )
    _confirm(found, options, shape, weights.path)
    return shape


def _complete(found: ExaminedNet, options: NetOptions, path: Path) -> Layout | None:
    """Returns the layout with what weights do not tell. If None, it is that of a net for CIFAR."""
    pool = None if options.pool is None else options.pool == "max"
    open_values = {"strides": options.strides, "pool": pool, "activation": options.activation}
    given = {option: value for option, value in open_values.items() if value is not None}
    if not given:
        return found.layout
    layout = found.layout or Architecture(found.family, found.depth).stages
    if "strides" in given and not layout.bottleneck:
        raise CheckpointError(f"--strides {options.strides}: {path} holds basic blocks, which have one place for it")
    return replace(layout, **given)  # type: ignore[arg-type]  # each value is of its field's type


def _confirm(found: ExaminedNet, options: NetOptions, shape: Architecture, path: Path) -> None:
    """Raises CheckpointError for an option that contradicts the file."""
    base = found.shortcut  # A for all its variants
    given = "A" if options.shortcut in PADDED else options.shortcut
    averages = {"B", "B-avgpool"} if shape.stages.stem in ("deep", "tiered") else {base}
    asked = {
        "depth": (options.depth, found.depth),
        "channels": (options.channels, found.channels),
        "shortcut": (base if given in averages else given, base),
        "family": ("resnet" if options.family == "plain" and base == "A" else options.family, found.family),
        "net": (options.net, shape.name),
    }
    for option, (value, expected) in asked.items():
        if value is not None and value != expected:
            raise CheckpointError(
                f"--{option} {getattr(options, option)}: {path} holds a {found.family} of depth {found.depth} with "
                f"shortcut option {base}, for images of {found.channels} channels"
                + ("" if shape.layout is None else f": {shape.name}")
            )


def report(weights: Weights, architecture: Architecture) -> dict[str, str]:
    """Returns what weights were read as, and which of it they do not tell, for the description."""
    layout = architecture.stages
    read_as = {
        "weights": str(weights.state),
        "family": architecture.family,
        "depth": str(architecture.depth),
        "shortcut": _shortcut(architecture),
    }
    if architecture.layout is not None:
        read_as["net"] = architecture.name
        read_as["stem"] = _stem(layout)
        read_as["activation"] = f"{layout.activation}{OPEN}"
    if layout.bottleneck:
        place = "first 1×1" if layout.strides == "v1" else "3×3"
        read_as["strides"] = f"{layout.strides}: in the {place} layer of a bottleneck{OPEN}"
    if layout.bit:
        read_as["norms"] = f"Big Transfer's: group norms and standardised convolutions{OPEN}"
    read_as["size"] = f"{architecture.height}×{architecture.width}{OPEN}"
    return read_as


def sentence(read_as: Mapping[str, str]) -> str:
    """Returns a report in one sentence."""
    parts = ", ".join(f"{key} {value.removesuffix(OPEN)}" for key, value in read_as.items())
    return f"{parts}; weights do not tell {', '.join(key for key, value in read_as.items() if value.endswith(OPEN))}"


def _shortcut(architecture: Architecture) -> str:
    option = architecture.shortcut
    if option in PADDED and architecture.family != "plain":
        return f"{option}: {PADDED[option]}; weights do not tell the variants of A apart"
    return f"{option}: averages of 2×2 positions, then a projection" if option == "B-avgpool" else option


def _stem(layout: Layout) -> str:
    stride = 1 if layout.stem == "3x3" else 2
    return f"{layout.stem} of stride {stride}, {'a' if layout.pool else 'no'} max pool{OPEN}"


def hints(architecture: Architecture) -> Sequence[str]:
    """Returns what to check if the accuracy is one of wrongly read weights."""
    found = ["--mean and --std", "the order of --classes"]
    if architecture.family == "plain" or architecture.shortcut in PADDED:
        others = [option for option in PADDED if option != architecture.shortcut]
        found.insert(0, f"--shortcut ({', '.join(others)}) and --family")
    if architecture.layout is not None:
        options = ["--strides", *found] if architecture.stages.bottleneck else found
        found = [*options, "--activation", "--pool", "--height and --width"]
    return found
