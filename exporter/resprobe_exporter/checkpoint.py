"""Reads weights from files of other people's making into our nets.

Understood: PyTorch files (.th, .pt, .pth; only tensors are unpickled) and .safetensors; a state dict, or a dict that
holds one under `state_dict` or `model`; keys with or without `module.` in front, in our spelling
(stage1.block0.conv1.weight) or in that of He's many reimplementations (layer1.0.conv1.weight, fc, downsample).
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.resnet import ResNet

PICKLED = (".th", ".pt", ".pth")
COUNTER = "num_batches_tracked"  # of a batch norm; it does not matter once training is over
LISTED = 10  # keys of each kind in an error
SPELLINGS = (
    (r"^module\.", ""),
    (r"^layer(\d+)\.(\d+)\.", r"stage\1.block\2."),
    (r"\.downsample\.", ".shortcut."),
    (r"\.shortcut\.0\.", ".shortcut.conv."),
    (r"\.shortcut\.1\.", ".shortcut.bn."),
    (r"^fc\.", "linear."),
)


def fill(net: ResNet, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Puts the weights of a checkpoint into the net.

    Args:
        net: To fill.
        tensors: What `read` returned.
        path: Of the file, for the error.

    Raises:
        CheckpointError: Keys or shapes are not the net's: at most ten of each kind are listed, in the file's
            spelling. The net is unchanged.
    """
    found = {key: value for key, value in tensors.items() if not key.endswith(COUNTER)}
    expected = {key: value for key, value in net.state_dict().items() if not key.endswith(COUNTER)}
    ours = {key: translate(key) for key in found}
    missing = sorted(expected.keys() - ours.values())
    unexpected = sorted(key for key in found if ours[key] not in expected)
    wrong = sorted(
        f"{key} {list(found[key].shape)}, expected {list(expected[name].shape)}"
        for key, name in ours.items()
        if name in expected and found[key].shape != expected[name].shape
    )
    problems = [
        f"{len(keys)} {kind}: {_listed(keys)}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if keys
    ]
    if problems:
        depth, family = net.architecture.depth, net.architecture.family
        raise CheckpointError(f"{path} does not fit {family} of depth {depth}; keys " + "; ".join(problems))
    net.load_state_dict({name: found[key] for key, name in ours.items()}, strict=False)


def read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint by the names that the file gives them.

    Raises:
        CheckpointError: The file is missing, is of an unknown kind, or holds something else.
    """
    if path.suffix not in (*PICKLED, ".safetensors"):
        raise CheckpointError(f"{path}: expected a file that ends in {', '.join((*PICKLED, '.safetensors'))}")
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no state dict: expected tensors by name, or such a dict in `state_dict`")
    return content


def class_count(tensors: Mapping[str, Tensor]) -> int | None:
    """How many classes the last layer has; None if there is none by a known name."""
    for key, value in tensors.items():
        if translate(key) == "linear.bias":
            return len(value)
    return None


def depth(tensors: Mapping[str, Tensor]) -> int | None:
    """Weighted layers of the net, 6n+2 for n blocks in its first stage; None if there are no blocks."""
    found = (re.match(r"stage1\.block(\d+)\.", translate(key)) for key in tensors)
    blocks = [int(match[1]) + 1 for match in found if match]
    return 6 * max(blocks) + 2 if blocks else None


def translate(key: str) -> str:
    """A key of a checkpoint, in any spelling, as our nets spell it."""
    for pattern, replacement in SPELLINGS:
        key = re.sub(pattern, replacement, key)
    return key


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is no checkpoint of tensors that PyTorch can read: {reason}") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file: {error}") from error


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
