"""Fills our nets with weights from imported files, and tells from names and shapes which net they are of.

Names may be in our spelling (stage1.block0.conv1.weight) or in that of reimplementations of He et al.
(layer1.0.conv1.weight, fc, downsample). weights_file.py reads the file, wrappers.py finds the weights in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.importing import weights_file, wrappers
from resprobe_exporter.importing.wrappers import COUNTERS, WRAPPERS, State
from resprobe_exporter.nets.blocks import WIDTHS
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.resnet import ResNet

LISTED = 10  # keys of each kind in an error
SPELLINGS = (
    (r"^layer(\d+)\.(\d+)\.", r"stage\1.block\2."),
    (r"\.downsample\.", ".shortcut."),
    (r"\.shortcut\.0\.", ".shortcut.conv."),
    (r"\.shortcut\.1\.", ".shortcut.bn."),
    (r"^fc\.", "linear."),
)
EXPECTED = (
    f"expected three stages of as many blocks, with {WIDTHS[0]}, {WIDTHS[1]} and {WIDTHS[2]} channels and two 3×3 "
    "layers a block; other nets are written from their ONNX files, by exporter probe"
)


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one net in a file.

    Attributes:
        path: Path of the file.
        state: Weights as the file has them.
        keys: Keys of the file by our names: stage1.block0.conv1.weight.
    """

    path: Path
    state: State
    keys: Mapping[str, str]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Weights by our names."""
        return {name: self.state.tensors[key] for name, key in self.keys.items()}


@dataclass(frozen=True)
class ExaminedNet:
    """Properties of a net that names and shapes of its weights tell.

    Attributes:
        family: `preact` or `resnet`; a plain net has the names of a resnet with shortcut option A.
        depth: Weighted layers, 6n+2.
        shortcut: A, B or C; the variants of A have no weights, and cannot be told apart.
        channels: Channels of the images.
        classes: Outputs of the last layer.
    """

    family: Family
    depth: int
    shortcut: Shortcut
    channels: int
    classes: int


def read(path: Path, wanted: str | None = None) -> Weights:
    """Reads the weights of a net.

    Args:
        path: Path of the file.
        wanted: Which weights, where the file holds several; see `wrappers.choose`.

    Raises:
        CheckpointError: The file cannot be read, or does not hold exactly one such state.
    """
    state = wrappers.choose(wrappers.find(weights_file.read(path)), wanted, path)
    keys: dict[str, str] = {}
    for key in state.tensors:
        name = translate(key.removeprefix(state.prefix))
        if name in keys:
            raise CheckpointError(f"{path} holds {name} twice, as {keys[name]} and as {key}; expected one net")
        keys[name] = key
    return Weights(path, state, keys)


def translate(key: str) -> str:
    """Spells a name as our nets spell it, without the names of wrapping modules."""
    key = ".".join(word for word in key.split(".") if word not in WRAPPERS)
    for pattern, replacement in SPELLINGS:
        key = re.sub(pattern, replacement, key)
    return key


def examine(weights: Weights) -> ExaminedNet:
    """Tells from names and shapes which net the weights are of.

    Raises:
        CheckpointError: It is not one of our nets; the text says which net it is.
    """
    tensors, path = weights.tensors, weights.path
    depth = _depth(weights)
    if any(".conv3." in name for name in tensors):
        raise CheckpointError(f"{path} holds bottleneck blocks of three layers: {EXPECTED}")
    first = _shape(weights, "conv1.weight", 4)
    widths = [_shape(weights, f"stage{stage}.block0.conv2.weight", 4)[0] for stage in (1, 2, 3)]
    if (first[0], *first[2:], *widths) != (WIDTHS[0], 3, 3, *WIDTHS):
        kernel = "×".join(map(str, first[2:]))
        raise CheckpointError(
            f"{path} holds a {kernel} layer of {first[0]} channels and stages of {_listed(list(map(str, widths)))}: "
            f"{EXPECTED}"
        )
    preact = _shape(weights, "stage2.block0.bn1.weight", 1)[0] == WIDTHS[0]
    classes = _shape(weights, "linear.weight", 2)[0]
    return ExaminedNet("preact" if preact else "resnet", depth, _shortcut(weights), first[1], classes)


def _depth(weights: Weights) -> int:
    """Returns the number of weighted layers, 6n+2 for n blocks in each stage."""
    blocks: dict[int, set[int]] = {}
    for name in weights.keys:
        if found := re.match(r"stage(\d+)\.block(\d+)\.", name):
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    if not blocks:
        raise CheckpointError(f"{weights.path} holds no blocks: {EXPECTED}")
    counts = [len(blocks[stage]) for stage in sorted(blocks)]
    whole = all(indices == set(range(len(indices))) for indices in blocks.values())
    if sorted(blocks) != [1, 2, 3] or len(set(counts)) > 1 or not whole:
        each = " and ".join(filter(None, (", ".join(map(str, counts[:-1])), str(counts[-1]))))
        raise CheckpointError(f"{weights.path} holds {len(counts)} stages, of {each} blocks: {EXPECTED}")
    return 6 * counts[0] + 2


def _shortcut(weights: Weights) -> Shortcut:
    projected = {name.partition(".shortcut.")[0] for name in weights.keys if ".shortcut." in name}
    if not projected:
        return "A"
    return "B" if projected <= {"stage2.block0", "stage3.block0"} else "C"


def _shape(weights: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    tensor = weights.tensors.get(name)
    if tensor is None:
        raise CheckpointError(f"{weights.path} lacks {name}; it holds {_listed(sorted(weights.keys.values()))}")
    if tensor.ndim != dimensions:
        raise CheckpointError(f"{weights.path}: {weights.keys[name]} is {list(tensor.shape)}; {EXPECTED}")
    return tuple(tensor.shape)


def fill(net: ResNet, weights: Weights) -> None:
    """Fills a net with weights, as float32.

    Raises:
        CheckpointError: Names or shapes are not the net's: up to ten of each kind are listed, in the file's spelling.
            Or there are values that are not finite numbers. The net is unchanged.
    """
    found, keys = weights.tensors, weights.keys
    expected = {name: value for name, value in net.state_dict().items() if not name.endswith(COUNTERS)}
    wrong = sorted(
        f"{keys[name]} {list(value.shape)}, expected {list(expected[name].shape)}"
        for name, value in found.items()
        if name in expected and value.shape != expected[name].shape
    )
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(keys[name] for name in found.keys() - expected.keys())
    problems = [
        f"{len(names)} {kind}: {_listed(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if problems:
        depth, family = net.architecture.depth, net.architecture.family
        raise CheckpointError(f"{weights.path} does not fit {family} of depth {depth}; keys " + "; ".join(problems))
    net.load_state_dict({name: _as_float(weights, name) for name in found}, strict=False)


def _as_float(weights: Weights, name: str) -> Tensor:
    tensor, key = weights.state.tensors[weights.keys[name]], weights.keys[name]
    if not tensor.dtype.is_floating_point:
        raise CheckpointError(f"{weights.path}: {key} is {str(tensor.dtype).removeprefix('torch.')}; expected floats")
    values = tensor.detach().to(torch.float32)
    if count := int((~torch.isfinite(values)).sum()):
        raise CheckpointError(
            f"{weights.path}: {key} has {count} of {values.numel()} values that are not finite numbers (NaN or inf)"
        )
    return values


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
