"""Weights of a net in an imported file by our names, and how our nets are filled with them.

weights_file.py reads the file, wrappers.py finds the weights in it, spellings.py translates their names, and examine.py
tells which net they are of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resprobe_exporter.checkpoints import other_nets, spellings, weights_file, wrappers
from resprobe_exporter.checkpoints.spellings import Spelling
from resprobe_exporter.checkpoints.wrappers import COUNTERS, WRAPPERS, State
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.resnet import ResNet

LISTED = 10  # keys of each kind in an error


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one net in a file.

    Attributes:
        path: Path of the file.
        state: Weights as the file has them.
        spelling: Implementation whose names they have.
        keys: Keys of the file by our names: stage1.block0.conv1.weight.
    """

    path: Path
    state: State
    spelling: Spelling
    keys: Mapping[str, str]

    def __getitem__(self, name: str) -> Tensor:
        """Returns the weight of this name of ours; the last layer as a matrix, where it is a 1×1 convolution."""
        tensor = self.state.tensors[self.keys[name]]
        is_pointwise = name == "linear.weight" and tensor.ndim == 4 and tuple(tensor.shape[2:]) == (1, 1)
        return tensor.flatten(1) if is_pointwise else tensor

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Returns the shape of a weight.

        Raises:
            CheckpointError: There is none, or it has another number of dimensions.
        """
        if name not in self.keys:
            raise CheckpointError(f"{self.path} lacks {name}; it holds {listed(sorted(self.keys.values()))}")
        if self[name].ndim != dimensions:
            raise CheckpointError(
                f"{self.path}: {self.keys[name]} is {list(self[name].shape)}; expected {dimensions} dimensions"
            )
        return tuple(self[name].shape)


def read(path: Path, wanted: str | None = None) -> Weights:
    """Reads the weights of a net.

    Args:
        path: Path of the file.
        wanted: Which weights, where the file holds several; see `wrappers.choose`.

    Raises:
        CheckpointError: The file cannot be read, or does not hold exactly one such state.
    """
    states = wrappers.find(weights_file.read(path))
    if wanted is None:
        other_nets.refuse([key for state in states for key in state.tensors], path)
    state = wrappers.choose(states, wanted, path)
    other_nets.refuse(list(state.tensors), path)
    own = {key: _unwrapped(key.removeprefix(state.prefix)) for key in state.tensors}
    spelling, keys = spellings.recognise(own.values()), dict[str, str]()
    for key, plain in own.items():
        name = spelling.translate(plain)
        if name in keys:
            raise CheckpointError(f"{path} holds {name} twice, as {keys[name]} and as {key}; expected one net")
        keys[name] = key
    return Weights(path, state, spelling, keys)


def _unwrapped(key: str) -> str:
    """Returns a name without the names of wrapping modules."""
    return ".".join(word for word in key.split(".") if word not in WRAPPERS)


def fill(net: ResNet, weights: Weights) -> None:
    """Fills a net with weights, as float32.

    Raises:
        CheckpointError: Names or shapes are not the net's: up to ten of each kind are listed, in the file's spelling.
            Or there are values that are not finite numbers. The net is unchanged.
    """
    keys = weights.keys
    expected = {name: value for name, value in net.state_dict().items() if not name.endswith(COUNTERS)}
    wrong = sorted(
        f"{keys[name]} {list(value.shape)}, expected {list(expected[name].shape)}"
        for name in keys
        if name in expected and (value := weights[name]).shape != expected[name].shape
    )
    missing = sorted(expected.keys() - keys.keys())
    unexpected = sorted(keys[name] for name in keys.keys() - expected.keys())
    problems = [
        f"{len(names)} {kind}: {listed(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if problems:
        depth, family = net.architecture.depth, net.architecture.family
        raise CheckpointError(f"{weights.path} does not fit {family} of depth {depth}; keys " + "; ".join(problems))
    net.load_state_dict({name: _as_float(weights, name) for name in keys}, strict=False)


def _as_float(weights: Weights, name: str) -> Tensor:
    tensor, key = weights[name], weights.keys[name]
    if not tensor.dtype.is_floating_point:
        raise CheckpointError(f"{weights.path}: {key} is {str(tensor.dtype).removeprefix('torch.')}; expected floats")
    values = tensor.detach().to(torch.float32)
    if count := int((~torch.isfinite(values)).sum()):
        raise CheckpointError(
            f"{weights.path}: {key} has {count} of {values.numel()} values that are not finite numbers (NaN or inf)"
        )
    return values


def listed(keys: list[str], maximum: int = LISTED) -> str:
    """Returns the first few of some keys, and how many there are besides."""
    more = f" and {len(keys) - maximum} more" if len(keys) > maximum else ""
    return ", ".join(keys[:maximum]) + more
