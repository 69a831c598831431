"""One ONNX graph on one device. The only file that knows ONNX Runtime."""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from resprobe_server.config import DeviceName
from resprobe_server.errors import StartError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# A graph of one node, y = Identity(x): enough to learn whether a provider works.
IDENTITY = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)
Arrays = Mapping[str, npt.NDArray[np.generic]]


class Graph(Protocol):
    """What runs batches: a session, or something around one."""

    def run(self, inputs: Arrays) -> Arrays:
        """See Session.run."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph. A dimension that is free is None; `dtype` is ONNX Runtime's name."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Session:
    """Runs a graph.

    Attributes:
        provider: The one that is really used.
        inputs: Of the graph.
        outputs: Of the graph.
        batched: Whether the first axis of all of them is the same free dimension, so that requests can be joined.
    """

    def __init__(self, path: Path, provider: str, threads: int) -> None:
        """Loads a graph.

        Args:
            path: Of the ONNX file.
            provider: CPU or CUDA.
            threads: On the CPU; 0: all cores.

        Raises:
            Exception: Whatever ONNX Runtime raises for a file that it cannot run.
            RuntimeError: It took another provider.
        """
        self._session = _open(path, provider, threads)
        self.provider: str = self._session.get_providers()[0]
        if self.provider != provider:
            raise RuntimeError(f"{path} does not run on {provider}; ONNX Runtime took {self.provider}")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = [_describe(value) for value in inputs]
        self.outputs = [_describe(value) for value in outputs]
        first, *others = [value.shape[0] if value.shape else 0 for value in (*inputs, *outputs)]
        self.batched = not isinstance(first, int) and all(other == first for other in others)
        self._names = [output.name for output in self.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Args:
            inputs: By name, each with the images as its first axis.

        Returns:
            All outputs by name, each with the same first axis.
        """
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))


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


def choose_provider(device: DeviceName) -> str:
    """The provider to use for all graphs.

    Args:
        device: As configured.

    Raises:
        StartError: `cuda` was asked for and does not work here.
    """
    if device == "cpu":
        return CPU
    if not _has_gpu():
        if device == "cuda":
            raise StartError(
                "--device cuda: there is no NVIDIA GPU here, or no driver; --device auto takes the CPU then"
            )
        return CPU
    if CUDA in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls(directory="")  # finds the CUDA and cuDNN that came with pip
        if _open(IDENTITY, CUDA, 1).get_providers()[0] == CUDA:  # ONNX Runtime tells only by trying
            return CUDA
    if device == "cuda":
        raise StartError("--device cuda: ONNX Runtime cannot use the GPU; it has said why above")
    return CPU


def batch_sizes(provider: str, max_batch: int) -> tuple[int, ...]:
    """The batch sizes to run before a graph serves, in ascending order: the first run of each is slow.

    On CUDA kernels are chosen for each shape: powers of two. On the CPU memory is laid out once for the largest.
    """
    if provider == CPU:
        return tuple(sorted({1, max_batch}))
    return (*(1 << power for power in range((max_batch - 1).bit_length())), max_batch)


def _has_gpu() -> bool:
    """Whether NVIDIA's driver is here and has a device: asked of the driver, since ONNX Runtime fails loudly."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _open(graph: Path | bytes, provider: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    # Threads that spin for work take the cores from those that receive and decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A search for the fastest kernel takes seconds for each new batch size.
    providers = [(CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}), CPU] if provider == CUDA else [CPU]
    return onnxruntime.InferenceSession(graph, options, providers=providers)


def _describe(value: onnxruntime.NodeArg) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Tensor(value.name, value.type, shape)
