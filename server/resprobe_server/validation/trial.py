"""Runs the graphs of a version before it serves: a warm-up, which also shows whether they belong together.

The exporter has compared them with PyTorch. This finds mistakes made later: files of another version, half a copy, a
device that computes nonsense.
"""

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from resprobe_protos.contract import LOGITS

from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.session import Session
from resprobe_server.validation.samples import Sample

Call: TypeAlias = Callable[[Callable[[], Arrays]], Arrays]
TOLERANCE = 1e-2  # of the largest logit: another net is off by about 1, float16 and TensorFloat-32 by 1e-3


class CheckFailed(Exception):
    """The graphs of a version are not fit to be served; the text says why."""


@dataclass(frozen=True)
class Trial:
    """Result of running a graph.

    Attributes:
        seconds: Seconds of the first run of each batch size.
        outputs: Outputs of the largest batch, by name.
    """

    seconds: Mapping[int, float]
    outputs: Arrays


def run(session: Session, batch_sizes: Sequence[int], sample: Sample, call: Call = operator.call) -> Trial:
    """Runs a graph once for each batch size, in ascending order, on the same inputs each time.

    Args:
        session: Graph to run.
        batch_sizes: Batch sizes.
        sample: Kind of inputs.
        call: Calls a function, on the thread that is to run the graph.
    """
    seconds: dict[int, float] = {}
    outputs: Arrays = {}
    for rows in batch_sizes:
        inputs = sample.draw(session.inputs, rows)
        begin = time.perf_counter()
        outputs = call(partial(session.run, inputs))
        seconds[rows] = time.perf_counter() - begin
    return Trial(seconds, outputs)


def run_recorded(session: Session, batch_sizes: Sequence[int], sample: Sample, call: Call = operator.call) -> Trial:
    """Runs a graph as `run` does; one that CUDA cannot record runs again, and from then on, without CUDA graphs."""
    try:
        return run(session, batch_sizes, sample, call)
    except Exception as error:  # ONNX Runtime has no class of its own for this
        if not session.recorded:
            raise
        session.bind_unrecorded(error)
        return run(session, batch_sizes, sample, call)


def check(trials: Mapping[str, Trial], shapes: Mapping[str, Sequence[int]], batched: bool) -> None:
    """Checks that the outputs fit the description, and that all graphs return the same.

    Args:
        trials: Trials by the graph's file, on the same inputs; the first is that of the lean graph.
        shapes: Sizes that outputs have by the description, but for the first; outputs that are missing may have any.
        batched: Whether the first axis of the outputs is that of the inputs.

    Raises:
        CheckFailed: The outputs differ from the description or from those of another graph.
    """
    lean, *others = trials
    for file, trial in trials.items():
        rows = max(trial.seconds, default=0)
        for name, sizes in shapes.items():
            values = trial.outputs.get(name)
            if values is None:
                continue
            shape = (rows if batched else len(values), *sizes)
            if values.shape != shape:
                raise CheckFailed(f"{file} returns {name} {list(values.shape)}; its description says {list(shape)}")
            if not np.isfinite(values.astype(np.float64)).all():
                raise CheckFailed(f"{file} returns {name} that are not finite")
    for file in others:
        compare(lean, trials[lean].outputs, file, trials[file].outputs)


def compare(lean: str, expected: Arrays, file: str, found: Arrays) -> None:
    """Compares the logits, or for an imported net all outputs of its lean graph. Raises CheckFailed as `check` does."""
    if not expected or not expected.keys() <= found.keys():
        names = ", ".join(expected) or LOGITS
        raise CheckFailed(f"{lean} and {file} cannot be compared: both must take images and return {names}")
    for name, values in expected.items():
        if values.dtype.kind not in "fiub" or values.shape != found[name].shape:
            raise CheckFailed(f"{lean} and {file} cannot be compared: {name} is not numbers of one shape in both")
        one, two = values.astype(np.float64), found[name].astype(np.float64)
        largest, error = np.abs(one).max(), np.abs(one - two).max()
        if not error <= TOLERANCE * largest:
            raise CheckFailed(
                f"{file} is not of the same net as {lean}: on the same noise their {name}, up to {largest:.3g}, "
                f"differ by {error:.3g}"
            )
