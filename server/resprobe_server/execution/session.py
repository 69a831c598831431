"""Runs one ONNX graph on one device."""

import re
from dataclasses import replace
from pathlib import Path

import onnxruntime
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as state

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.graph import Arrays, Tensor
from resprobe_server.execution.io_binding import Bound, can_be_bound
from resprobe_server.execution.providers import CPU, Provider, open_session

# ONNX Runtime's errors for inputs that a graph cannot work with; their types and sizes have been checked before.
REFUSED = (state.Fail, state.InvalidArgument, state.NotImplemented, state.RuntimeException)
DEVICE_FAILED = re.compile(r"CUDA|CUDNN|CUBLAS|TensorRT|allocate|bad_alloc", re.IGNORECASE)  # not the inputs' fault
PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
PATH = re.compile(r"\S*/\S*\.(?:cc|cpp|cu|h|hpp|cuh|onnx|bin)\b(?::\d+)?")
LONGEST_REASON = 300  # characters
log = structlog.get_logger()


class Session:
    """Session of a graph.

    Attributes:
        provider: Execution provider that is really used.
        recorded: Whether CUDA records its work for each batch size, and replays it.
        inputs: Inputs of the graph.
        outputs: Outputs of the graph.
        may_batch: Whether the declared shapes leave room for a batch: all inputs share a first axis, which is free or
            `fixed`, and each output has one that can be the same. Whether the axis is a batch is found out by
            validation/independence.py.
        fixed: Size of that axis, if it is not free; else 0.
    """

    def __init__(self, path: Path, provider: Provider) -> None:
        """Loads a graph. On a device other than the CPU its tensors are copied with each batch until `bind`.

        Raises:
            Exception: Any error of ONNX Runtime for a file that it cannot run.
            RuntimeError: ONNX Runtime chose another provider.
        """
        self._path, self._wanted = path, provider
        self._session = open_session(path, replace(provider, cuda_graphs=False))
        self.provider: str = self._session.get_providers()[0]
        if self.provider != provider.name:
            raise RuntimeError(f"{path} does not run on {provider.name}; ONNX Runtime chose {self.provider}")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = [_describe(value) for value in inputs]
        self.outputs = [_describe(value) for value in outputs]
        rows_in, rows_out = ([value.shape[0] if value.shape else 0 for value in some] for some in (inputs, outputs))
        self.fixed: int = rows_in[0] if rows_in and isinstance(rows_in[0], int) else 0
        sizes = {size for size in rows_in + rows_out if isinstance(size, int)}
        self.may_batch = len(set(rows_in)) == 1 and sizes == ({self.fixed} if self.fixed else set())
        self._names = [output.name for output in self.outputs]
        self._bound: Bound | None = None
        self.recorded = False
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = 4  # its exceptions say the same, and are sent to the client

    def bind(self) -> bool:
        """Keeps the tensors on the device from now on, if it is not the CPU: for graphs whose first axis is a batch.

        Returns:
            Whether anything has changed, so that the graph must be warmed up again.
        """
        if self.provider == CPU or not all(map(can_be_bound, (*self.inputs, *self.outputs))):
            return False
        if self._wanted.cuda_graphs:
            try:
                self._session, self.recorded = open_session(self._path, self._wanted), True
            except Exception as error:  # ONNX Runtime has no class of its own for this
                self.bind_unrecorded(error)
                return True
        self._bound = Bound(self._session, self.inputs, self.outputs, "cuda", self.recorded)
        return True

    def bind_unrecorded(self, reason: Exception) -> None:
        """Opens the graph again without CUDA graphs, because CUDA cannot record it: it must be warmed up again."""
        log.warning("runs without CUDA graphs", graph=str(self._path), reason=shorten(str(reason)))
        self._session, self.recorded = open_session(self._path, replace(self._wanted, cuda_graphs=False)), False
        self._bound = Bound(self._session, self.inputs, self.outputs, "cuda", recorded=False)

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Args:
            inputs: Arrays by name, each with the images as its first axis.

        Returns:
            Arrays of all outputs by name, each with the same first axis.

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


def shorten(reason: str) -> str:
    """Returns ONNX Runtime's reason in one line of at most LONGEST_REASON characters, without paths of files."""
    line = " ".join(PATH.sub("", PREFIX.sub("", reason)).split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _describe(value: onnxruntime.NodeArg) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Tensor(value.name, value.type, shape)
