"""Written graphs on ONNX Runtime: with tensors that stay where they are on the device."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import structlog.testing
from resprobe_protos.contract import BLOCK_SCALE, IMAGE, LEAN, LESION, LESION_PROBE, PROBE
from resprobe_server.execution.providers import CPU, Provider, open_session
from resprobe_server.execution.session import Session

GRAPHS = {"lean": LEAN, "probe": PROBE, "lesion": LESION, "lesion and probe": LESION_PROBE}
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


class Resident:
    """A graph whose inputs are on the device already and whose outputs stay there: the pace of inference alone."""

    def __init__(self, path: Path, provider: Provider) -> None:
        """Opens a session. Raises RuntimeError if ONNX Runtime chose another provider."""
        self._session = open_session(path, provider)
        if (found := self._session.get_providers()[0]) != provider.name:
            raise RuntimeError(f"{path} runs on {found}, not on {provider.name}")
        self._device = "cpu" if provider.name == CPU else "cuda"
        self._recorded = provider.cuda_graphs

    def at(self, rows: int) -> Callable[[], None]:
        """Returns a function that runs a batch of so many images of noise, all blocks intact, and waits for it."""
        binding, options = self._session.io_binding(), onnxruntime.RunOptions()
        if self._recorded:
            options.add_run_config_entry("gpu_graph_id", str(rows))
        for value in self._session.get_inputs():
            array = _fill(value.name, (rows, *value.shape[1:]))
            binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device))
        for value in self._session.get_outputs():
            shape, dtype = [rows, *value.shape[1:]], DTYPES[value.type]
            place = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._device)
            binding.bind_ortvalue_output(value.name, place)
        return lambda: self._session.run_with_iobinding(binding, options)


def as_served(path: Path, provider: Provider) -> Session:
    """Returns a graph as the server runs it: images are copied from the host, and results back.

    Raises:
        RuntimeError: CUDA graphs are wanted and cannot be recorded; the server would continue without them.
    """
    with structlog.testing.capture_logs() as said:
        session = Session(path, provider)
        session.bind()
    for line in said:
        raise RuntimeError(f"{line['event']}: {line.get('reason')}")
    return session


def noise(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Returns images of noise, the same each time."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _fill(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    assert name in (IMAGE, BLOCK_SCALE), name
    return noise(shape) if name == IMAGE else np.ones(shape, np.float32)
