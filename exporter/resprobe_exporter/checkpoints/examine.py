"""Tells from names and shapes of weights which net they are of.

What they do not tell is left to options: variants of shortcut option A, places of strides and the pool, the activation,
and the size of images.
"""

import re
from dataclasses import dataclass

from resprobe_exporter.checkpoints.other_nets import SUPPORTED
from resprobe_exporter.checkpoints.state_dict import Weights, listed
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.layout import CIFAR, EXPANSION, Layout, Stem

# Blocks in each stage that published nets have; a file that lacks whole blocks has others.
KNOWN = frozenset({(1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3), (3, 24, 36, 3)})


@dataclass(frozen=True)
class ExaminedNet:
    """Properties of a net that names and shapes of its weights tell.

    Attributes:
        family: `preact` or `resnet`; a plain net has the names of a resnet with shortcut option A.
        depth: Weighted layers.
        shortcut: A, B, B-avgpool or C; the variants of A have no weights, and cannot be told apart.
        channels: Channels of the images.
        classes: Outputs of the last layer.
        layout: Stem, stages and blocks, with the defaults of what weights do not tell. If None, it is a net for CIFAR.
    """

    family: Family
    depth: int
    shortcut: Shortcut
    channels: int
    classes: int
    layout: Layout | None = None


def examine(weights: Weights, depth: int | None = None) -> ExaminedNet:
    """Tells from names and shapes which net the weights are of.

    Args:
        weights: Weights that `state_dict.read` read.
        depth: Depth that the net is known to have, which confirms unusual numbers of blocks. If None, none is known.

    Raises:
        CheckpointError: It is not one of our nets; the text says which net it is.
    """
    blocks = _blocks(weights)
    family: Family = "preact" if "bn.weight" in weights.keys and "bn1.weight" not in weights.keys else "resnet"
    layout = _layout(weights, blocks, family)
    _check_count(weights, layout, depth)
    _check_norms(weights, layout)
    classes, inputs = weights.shape("linear.weight", 2)
    if inputs != (outputs := layout.outputs(len(blocks) - 1)):
        raise CheckpointError(
            f"{weights.path}: the last layer takes {inputs} channels, and the last of {len(blocks)} stages has "
            f"{outputs}; the file may be incomplete"
        )
    is_cifar = layout == CIFAR.of(blocks) and len({*blocks}) == 1
    channels = weights.shape("stem.layer0.conv.weight" if len(layout.stem_widths) > 1 else "conv1.weight", 4)[1]
    shortcut = _shortcut(weights, layout)
    return ExaminedNet(family, layout.depth, shortcut, channels, classes, None if is_cifar else layout)


def _blocks(weights: Weights) -> tuple[int, ...]:
    """Returns the number of blocks in each stage."""
    found: dict[int, set[int]] = {}
    for name in weights.keys:
        if place := re.match(r"stage(\d+)\.block(\d+)\.", name):
            found.setdefault(int(place[1]), set()).add(int(place[2]))
    if not found:
        held = listed(sorted(weights.keys.values()), 3)
        raise CheckpointError(
            f"{weights.path} holds no blocks such as layer1.0 or stages.0.blocks.0, but {held}: {SUPPORTED}"
        )
    counts = tuple(len(found.get(stage, ())) for stage in range(1, max(found) + 1))
    if any(found.get(stage) != set(range(count)) for stage, count in enumerate(counts, 1)):
        raise CheckpointError(f"{weights.path} lacks blocks between others: it holds {_counted(counts)}")
    return counts


def _layout(weights: Weights, blocks: tuple[int, ...], family: Family) -> Layout:
    """Returns stem, stages and blocks, with the defaults of what weights do not tell."""
    bottleneck = "stage1.block0.conv3.weight" in weights.keys
    stem, width = _stem(weights)
    inner, each = weights.shape("stage1.block0.conv2.weight", 4)[:2]
    groups = inner // each if bottleneck else 1
    per_group = inner * 64 // (width * groups) if bottleneck else 64
    bit = family == "preact" and not any(name.endswith(".running_mean") for name in weights.keys) and stem == "7x7"
    layout = Layout(
        blocks,
        bottleneck,
        width,
        stem,
        pool=stem != "3x3",
        groups=groups,
        width_per_group=per_group,
        bit=bit and weights.spelling.first_stage == 0,
    )
    last = f"conv{3 if bottleneck else 2}.weight"
    sums = [weights.shape(f"stage{stage + 1}.block0.{last}", 4)[0] for stage in range(len(blocks))]
    is_whole = not bottleneck or layout.inner(width * EXPANSION) == inner
    if not is_whole or sums != [layout.outputs(stage) for stage in range(len(blocks))]:
        raise CheckpointError(
            f"{weights.path} holds a {stem} stem of {width} channels and stages of {listed(list(map(str, sums)))} "
            f"channels; expected stages of {width}, each with twice as many as the one before, and with bottlenecks 4 "
            "times as many"
        )
    return layout


def _stem(weights: Weights) -> tuple[Stem, int]:
    """Returns the kind of the first layers, and the channels of the last of them."""
    width, _, kernel, other = weights.shape("conv1.weight", 4)
    if "stem.layer0.conv.weight" in weights.keys:
        first = weights.shape("stem.layer0.conv.weight", 4)[0]
        return ("deep" if first * 2 == width else "tiered"), width
    if (kernel, other) == (7, 7):
        return "7x7", width
    if (kernel, other) == (3, 3):
        return "3x3", width
    raise CheckpointError(f"{weights.path} begins with a {kernel}×{other} layer, not 7×7 or 3×3: {SUPPORTED}")


def _check_count(weights: Weights, layout: Layout, depth: int | None) -> None:
    """Raises CheckpointError for a number of blocks that no published net has, unless the depth confirms it."""
    blocks = layout.blocks
    equal = len(blocks) == 3 and len({*blocks}) == 1
    if depth != layout.depth and not equal and blocks not in KNOWN:
        raise CheckpointError(
            f"{weights.path} holds {_counted(blocks)}, which no published net has; if none is missing, confirm them by "
            f"--depth {layout.depth}"
        )


def _check_norms(weights: Weights, layout: Layout) -> None:
    """Raises CheckpointError if no batch norm has statistics."""
    if not layout.bit and not any(name.endswith(".running_mean") for name in weights.keys):
        norm = next((key for name, key in weights.keys.items() if re.search(r"bn\d?\.weight$", name)), "no norm")
        raise CheckpointError(
            f"{weights.path} holds {norm} and no running_mean or running_var of any norm: save net.state_dict(), which "
            "has these statistics; nets with group norms, but for Big Transfer's, are read by exporter probe"
        )


def _shortcut(weights: Weights, layout: Layout) -> Shortcut:
    """Returns the shortcut option: A if no shortcut has weights."""
    projected = {name.partition(".shortcut.")[0] for name in weights.keys if ".shortcut." in name}
    if not projected:
        return "A"
    growing = {f"stage{stage}.block0" for stage in range(1 if layout.bottleneck else 2, len(layout.blocks) + 1)}
    if not projected <= growing:
        return "C"
    averaged = weights.spelling.averaged
    return "B-avgpool" if averaged or (averaged is None and layout.stem in ("deep", "tiered")) else "B"


def _counted(blocks: tuple[int, ...]) -> str:
    each = " and ".join(filter(None, (", ".join(map(str, blocks[:-1])), str(blocks[-1]))))
    return f"{len(blocks)} stages of {each} blocks"
