"""Runs the graphs of a version before anybody is served by it: that warms them, and shows whether they belong together.

The exporter has compared them with PyTorch; what is looked for here is what can go wrong afterwards: files of another
version, half a copy, a device that computes nonsense.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe_server.repository import BLOCKS, LOGITS
from resprobe_server.session import Arrays, Session, Tensor

TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
TOLERANCE = 1e-2  # of the largest logit: another net is off by about 1, float16 and TensorFloat-32 by 1e-3


class CheckFailed(Exception):
    """The graphs of a version are not fit to be served; the text says why."""


@dataclass(frozen=True)
class Trial:
    """What came of running a graph.

    Attributes:
        seconds: Of the first run of each batch size.
        outputs: Of the largest batch, by name; empty if the graph does not say what it takes.
    """

    seconds: Mapping[int, float]
    outputs: Arrays


def run(session: Session, batch_sizes: Sequence[int]) -> Trial:
    """Runs a graph once for each batch size, in ascending order, on the same images each time."""
    seconds: dict[int, float] = {}
    outputs: Arrays = {}
    for rows in batch_sizes:
        if (inputs := _inputs(session.inputs, rows)) is not None:
            begin = time.perf_counter()
            outputs = session.run(inputs)
            seconds[rows] = time.perf_counter() - begin
    return Trial(seconds, outputs)


def check(trials: Mapping[str, Trial], classes: int, blocks: tuple[int, int], described: bool = True) -> None:
    """Sees that what came out is what the description says, and that all graphs return the same.

    Args:
        trials: By the graph's file, on the same images; the first is the lean graph.
        classes: How many the description names; 0 if it does not say.
        blocks: How many blocks and statistics it names.
        described: Whether there is a description; if not, nobody asks for what it would name.

    Raises:
        CheckFailed: They are not.
    """
    lean, *others = trials
    for file, trial in trials.items():
        rows = max(trial.seconds, default=0)
        for name, shape in ((LOGITS, (rows, classes)), (BLOCKS, (rows, *blocks))):
            values = trial.outputs.get(name)
            if values is None or not (described or shape[-1]):
                continue
            if values.shape != shape:
                raise CheckFailed(f"{file} returns {name} {list(values.shape)}; its description says {list(shape)}")
            if not np.isfinite(values.astype(np.float64)).all():
                raise CheckFailed(f"{file} returns {name} that are not finite")
    for file in others:
        _compare(lean, trials[lean].outputs, file, trials[file].outputs)


def _compare(lean: str, expected: Arrays, file: str, found: Arrays) -> None:
    """Logits, or in a net of somebody else's all that its lean graph returns."""
    if not expected or not expected.keys() <= found.keys():
        names = ", ".join(expected) or LOGITS
        raise CheckFailed(f"{lean} and {file} cannot be compared: both must take images and return {names}")
    for name, values in expected.items():
        one, two = values.astype(np.float64), found[name].astype(np.float64)
        largest, error = np.abs(one).max(), np.abs(one - two).max()
        if not error <= TOLERANCE * largest:
            raise CheckFailed(
                f"{file} is not of the same net as {lean}: on the same noise their {name}, up to {largest:.3g}, "
                f"differ by {error:.3g}"
            )


def _inputs(tensors: Sequence[Tensor], rows: int) -> Arrays | None:
    """Noise for bytes and ones for all else, the same for every graph; None for a shape or type that is not known."""
    inputs: dict[str, npt.NDArray[np.generic]] = {}
    for tensor in tensors:
        first, *rest = tensor.shape or (0,)
        if first not in (None, rows) or None in rest or tensor.dtype not in TYPES:
            return None
        shape = (rows, *(size for size in rest if size is not None))
        if tensor.dtype == "tensor(uint8)":
            inputs[tensor.name] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        else:
            inputs[tensor.name] = np.ones(shape, TYPES[tensor.dtype])
    return inputs
