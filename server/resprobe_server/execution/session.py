"""One ONNX graph on one device. With providers.py the only file that knows ONNX Runtime."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as state

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.providers import CPU, Provider, open_session
from resprobe_server.execution.tensors import BY_ONNX

# What ONNX Runtime raises for inputs that a graph cannot work with, which have been checked against what it declares.
REFUSED = (state.Fail, state.InvalidArgument, state.NotImplemented, state.RuntimeException)
DEVICE_FAILED = re.compile(r"CUDA|CUDNN|CUBLAS|TensorRT|allocate|bad_alloc", re.IGNORECASE)  # no fault of the inputs
PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
PATH = re.compile(r"\S*/\S*\.(?:cc|cpp|cu|h|hpp|cuh|onnx|bin)\b(?::\d+)?")
LONGEST_REASON = 300  # characters
log = structlog.get_logger()
Arrays = Mapping[str, npt.NDArray[np.generic]]


class Graph(Protocol):
    """What runs batches: a session, or something around one."""

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph. A dimension that is free is None; `dtype` is ONNX Runtime's name."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def of_any_rows(self) -> "Tensor":
        """Returns the tensor with a free first axis."""
        return replace(self, shape=(None, *self.shape[1:]))


class Session:
    """Runs a graph.

    Attributes:
        provider: The one that is really used.
        inputs: Of the graph.
        outputs: Of the graph.
        may_batch: Whether what it declares leaves room for a batch: all inputs share a first axis, which is free or
            `fixed`, and each output has one that can be the same. Whether it is a batch is for
            validation/independence.py to find out.
        fixed: The size of that axis, if it is not free; else 0.
    """

    def __init__(self, path: Path, provider: Provider) -> None:
        """Loads a graph. On a device other than the CPU its tensors travel with each batch until `bind`.

        Raises:
            Exception: Whatever ONNX Runtime raises for a file that it cannot run.
            RuntimeError: It took another provider.
        """
        self._path, self._wanted = path, provider
        self._session = open_session(path, replace(provider, cuda_graphs=False))
        self.provider: str = self._session.get_providers()[0]
        if self.provider != provider.name:
            raise RuntimeError(f"{path} does not run on {provider.name}; ONNX Runtime took {self.provider}")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = [_describe(value) for value in inputs]
        self.outputs = [_describe(value) for value in outputs]
        taken, returned = ([value.shape[0] if value.shape else 0 for value in some] for some in (inputs, outputs))
        self.fixed: int = taken[0] if taken and isinstance(taken[0], int) else 0
        sizes = {size for size in taken + returned if isinstance(size, int)}
        self.may_batch = len(set(taken)) == 1 and sizes == ({self.fixed} if self.fixed else set())
        self._names = [output.name for output in self.outputs]
        self._bound: Bound | None = None
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = 4  # what it raises says the same, and is the caller's business

    def bind(self) -> bool:
        """Keeps its tensors on the device from now on, if it runs on one: for graphs whose first axis is a batch.

        Returns:
            Whether anything has changed, so that it is to be warmed again.
        """
        if self.provider == CPU or not all(map(_can_be_bound, (*self.inputs, *self.outputs))):
            return False
        recorded = self._wanted.cuda_graphs and self._record()
        self._bound = Bound(self._session, self.inputs, self.outputs, "cuda", recorded)
        return True

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Args:
            inputs: By name, each with the images as its first axis.

        Returns:
            All outputs by name, each with the same first axis.

        Raises:
            InvalidRequest: The graph cannot work with these values or sizes.
        """
        try:
            if self._bound is not None:
                return self._bound.run(inputs)
            found = self._session.run(self._names, dict(inputs), self._quiet)
        except REFUSED as error:
            if DEVICE_FAILED.search(str(error)):
                raise
            raise InvalidRequest(f"the model cannot work with these inputs: {shorten(str(error))}") from error
        return dict(zip(self._names, found, strict=True))

    def _record(self) -> bool:
        """Opens the graph once more, as a CUDA graph, if it can be one."""
        try:
            self._session = open_session(self._path, self._wanted)
        except Exception as error:  # ONNX Runtime has no class of its own for this
            log.warning("runs without CUDA graphs", graph=str(self._path), reason=str(error))
            return False
        return True


class Bound:
    """A graph whose inputs and outputs stay on the device, in the same place for each batch size.

    https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        device: str,
        recorded: bool,
    ) -> None:
        """Makes it.

        Args:
            session: To run.
            inputs: Of the graph. All but the first size of each are known.
            outputs: The same.
            device: ONNX Runtime's name of where they stay: cuda or cpu.
            recorded: Whether the session records CUDA graphs, one for each batch size.
        """
        self._session, self._inputs, self._outputs = session, inputs, outputs
        self._names = [output.name for output in outputs]
        self._device, self._recorded = device, recorded
        self._places: dict[int, Places] = {}

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch; see Session.run."""
        rows = len(next(iter(inputs.values())))
        places = self._places.get(rows)
        if places is None:
            places = self._places[rows] = self._place(rows)
        for name, array in inputs.items():
            places.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(places.binding, places.options)
        return dict(zip(self._names, places.binding.copy_outputs_to_cpu(), strict=True))

    def _place(self, rows: int) -> "Places":
        binding, options = self._session.io_binding(), onnxruntime.RunOptions()
        if self._recorded:
            options.add_run_config_entry("gpu_graph_id", str(rows))
        inputs = {tensor.name: self._allocate(tensor, rows) for tensor in self._inputs}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for tensor in self._outputs:  # the binding keeps them
            binding.bind_ortvalue_output(tensor.name, self._allocate(tensor, rows))
        return Places(binding, options, inputs)

    def _allocate(self, tensor: Tensor, rows: int) -> onnxruntime.OrtValue:
        shape = [rows, *(size for size in tensor.shape[1:] if size is not None)]
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, BY_ONNX[tensor.dtype].dtype.type, self._device)


@dataclass(frozen=True)
class Places:
    """Where the tensors of one batch size are, and how it is run."""

    binding: onnxruntime.IOBinding
    options: onnxruntime.RunOptions
    inputs: Mapping[str, onnxruntime.OrtValue]


class Whole:
    """A graph without a batch axis, as one that has it: each row is what one request sent, and runs by itself."""

    def __init__(self, session: Graph) -> None:
        self._session = session

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one row; see Session.run. Every array is [1, …]."""
        outputs = self._session.run({name: array[0] for name, array in inputs.items()})
        return {name: np.asarray(array)[np.newaxis] for name, array in outputs.items()}


class Padded:
    """A graph that is run on batches of a few sizes only, each of which was warmed: others are filled up with zeros."""

    def __init__(self, graph: Graph, sizes: Sequence[int]) -> None:
        """Makes it. The sizes are in ascending order, and the last is the largest batch."""
        self._graph, self._sizes = graph, sizes

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch; see Session.run. What comes of the filling is left out."""
        rows = len(next(iter(inputs.values())))
        size = next(size for size in self._sizes if size >= rows)
        if size == rows:
            return self._graph.run(inputs)
        filled = {
            name: np.pad(array, [(0, size - rows)] + [(0, 0)] * (array.ndim - 1)) for name, array in inputs.items()
        }
        return {name: array[:rows] for name, array in self._graph.run(filled).items()}


def shorten(reason: str) -> str:
    """ONNX Runtime's reason in one line of at most LONGEST_REASON characters, without paths of files."""
    line = " ".join(PATH.sub("", PREFIX.sub("", reason)).split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _describe(value: onnxruntime.NodeArg) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Tensor(value.name, value.type, shape)


def _can_be_bound(tensor: Tensor) -> bool:
    datatype = BY_ONNX.get(tensor.dtype)
    return datatype is not None and datatype.dtype.kind != "O" and None not in tensor.shape[1:]
