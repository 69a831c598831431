"""Reads files of weights: .safetensors, and PyTorch's, of which only tensors are unpickled."""

import re
from pathlib import Path

import torch

from resprobe_exporter.errors import CheckpointError

PICKLED = (".th", ".pt", ".pth", ".ckpt", ".tar")
SUFFIXES = (*PICKLED, ".safetensors")
ALONE = (
    "save the weights alone, where you trust the file: torch.save(net.state_dict(), 'weights.pt'), or "
    "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pt')"
)


def read(path: Path) -> object:
    """Reads the content of a file: tensors in dicts and lists, and plain numbers and texts beside them.

    Raises:
        CheckpointError: The file is missing, damaged or of an unknown kind, or holds objects of other kinds, which are
            named and not created.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CheckpointError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        return _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle makes torch raise in many ways
        reason = str(error)
        if found := _object(reason):
            raise CheckpointError(
                f"{path} is not a checkpoint of tensors alone: it holds {found}, which may run code; {ALONE}"
            ) from error
        if "TorchScript" in reason:
            raise CheckpointError(f"{path} is a TorchScript archive, a whole net with its code; {ALONE}") from error
        damaged = "torch.save did not write it, or it is damaged"
        fault = reason.partition("\n")[0].partition(". ")[0] if isinstance(error, RuntimeError) else damaged
        raise CheckpointError(f"{path} is not a checkpoint of tensors that PyTorch can read: {fault}") from error


def _object(reason: str) -> str | None:
    """Returns the object that torch refused to create, from its error. If None, it refused something else."""
    found = re.search(r"(?:Unsupported global|Unsupported class|Unsupported type)\S*\s*(?:GLOBAL\s+)?([\w.]+)", reason)
    found = found or re.search(r"GLOBAL\s+([\w.]+)", reason)
    if found is None:
        return None
    name = found[1].rstrip(".")
    if re.fullmatch(r"numpy\.(_?core)\.multiarray\.\w+", name):
        return f"a NumPy value ({name})"
    module, _, kind = name.rpartition(".")
    return f"a whole net ({name})" if module.startswith("torch.nn.") else f"an object of {kind} ({name})"


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
