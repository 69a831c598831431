"""ONNX Runtime's execution providers: which one runs the graphs, and how a session is opened on it."""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from resprobe_protos.contract import DISABLED_OPTIMIZERS

from resprobe_server.config import Config, DeviceName
from resprobe_server.errors import StartError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
DEVICES: dict[DeviceName, str] = {"cuda": CUDA, "tensorrt": TENSORRT}
# A graph of one node, y = Identity(x): enough to learn whether a provider works.
IDENTITY = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)


@dataclass(frozen=True)
class Provider:
    """Execution provider and its options.

    Attributes:
        name: ONNX Runtime's name of the provider.
        threads: Inference threads of each session on the CPU; 0 means all cores.
        cuda_graphs: Whether CUDA records its work for each batch size, and replays it.
        engines: Directory for TensorRT's engines. If None, they are built at each start.
        max_batch: Largest batch, for which TensorRT builds its engines.
    """

    name: str = CPU
    threads: int = 0
    cuda_graphs: bool = False
    engines: Path | None = None
    max_batch: int = 1


def choose(config: Config) -> Provider:
    """Chooses the provider for all graphs of a server.

    Raises:
        StartError: The configured device does not work on this machine.
    """
    name = _choose(config.device)
    if config.engines is not None and name != TENSORRT:
        raise StartError(f"--engines: graphs run on {name} here; TensorRT's engines need --device tensorrt")
    return Provider(name, config.threads, config.cuda_graphs and name == CUDA, config.engines, config.max_batch)


def _choose(device: DeviceName) -> str:
    if device == "cpu":
        return CPU
    if not _has_gpu():
        if device == "auto":
            return CPU
        raise StartError(
            f"--device {device}: there is no NVIDIA GPU here, or no driver; --device auto uses the CPU then"
        )
    wanted = DEVICES.get(device, CUDA)
    if wanted in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls(directory="")  # finds the CUDA and cuDNN that pip has installed
        if open_session(IDENTITY, Provider(wanted)).get_providers()[0] == wanted:  # known only by trying
            return wanted
    if device == "auto":
        return CPU
    raise StartError(f"--device {device}: ONNX Runtime cannot use it; its own message above says why")


def batch_sizes(provider: str, max_batch: int) -> tuple[int, ...]:
    """Returns the batch sizes of the warm-up, in ascending order: the first run of each size is slow.

    On a GPU kernels are chosen for each shape: powers of two. On the CPU memory is laid out once for the largest.
    """
    if provider == CPU:
        return tuple(sorted({1, max_batch}))
    return (*(1 << power for power in range((max_batch - 1).bit_length())), max_batch)


def padded_sizes(provider: Provider, recorded: bool, max_batch: int) -> tuple[int, ...]:
    """Returns the sizes that batches on a GPU are filled up to, in ascending order.

    CUDA without recorded graphs has one: it plans all convolutions anew when the size of a batch is not that of the
    last one, which takes longer than the batch.
    """
    if provider.name == CUDA and not recorded:
        return (max_batch,)
    return batch_sizes(provider.name, max_batch)


def open_session(graph: Path | bytes, provider: Provider) -> onnxruntime.InferenceSession:
    """Loads a graph. The provider may be another one than asked for; `get_providers` of the session names it.

    Raises:
        Exception: Any error of ONNX Runtime for a file that it cannot run.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = provider.threads
    # Threads that spin for work keep the cores from those that receive and decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[str | tuple[str, dict[Any, Any]]] = [CPU]
    if provider.name != CPU:
        # A search for the fastest kernel takes seconds for each new batch size.
        cuda = {"cudnn_conv_algo_search": "HEURISTIC", "enable_cuda_graph": str(int(provider.cuda_graphs))}
        providers.insert(0, (CUDA, cuda))
    if provider.name == TENSORRT:
        providers.insert(0, (TENSORRT, _tensorrt(graph, provider)))
    disabled = list(DISABLED_OPTIMIZERS)
    return onnxruntime.InferenceSession(graph, options, providers=providers, disabled_optimizers=disabled)


def _tensorrt(graph: Path | bytes, provider: Provider) -> dict[str, str]:
    """Returns options for one engine for all batch sizes: without a profile an engine is built for each."""
    options: dict[str, str] = {}
    if provider.engines is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(provider.engines)}
    shapes = {value.name: value.shape for value in open_session(graph, Provider()).get_inputs()}
    if all(isinstance(size, int) for shape in shapes.values() for size in shape[1:]):
        for bound, rows in (("min", 1), ("opt", provider.max_batch), ("max", provider.max_batch)):
            profile = (f"{name}:{'x'.join(map(str, [rows, *shape[1:]]))}" for name, shape in shapes.items() if shape)
            options[f"trt_profile_{bound}_shapes"] = ",".join(profile)
    return options


def _has_gpu() -> bool:
    """Returns whether NVIDIA's driver is installed and has a device. ONNX Runtime would fail loudly if asked."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
