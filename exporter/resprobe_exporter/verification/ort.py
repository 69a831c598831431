"""Runs graphs on ONNX Runtime, to check and to measure them. CPU only: a reference needs no speed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from resprobe_protos.contract import BLOCK_SCALE, DISABLED_OPTIMIZERS

from resprobe_exporter.errors import ExporterError, one_line

FOLDER = "session.model_external_initializers_file_folder_path"  # of ONNX Runtime
Outputs = Mapping[str, npt.NDArray[np.float32]]


class Graph:
    """A graph that takes one tensor, [n, …], and perhaps `block_scale`, float32 [n, L].

    If ONNX Runtime cannot load or run it, an ExporterError has the reason.

    Attributes:
        shapes: Shapes of inputs and outputs by name; a size that is free is None or has a name.
    """

    def __init__(self, source: Path | bytes, name: str = "", threads: int = 0, folder: Path | None = None) -> None:
        """Loads a graph.

        Args:
            source: The ONNX file, beside which its weights lie, or its bytes.
            name: Name of the graph in errors. If empty, that of the file.
            threads: Threads to compute with. If 0, one for each core.
            folder: Folder of weights that the bytes lack. If None, they have all.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        # Threads that wait for work by spinning use cores that others need, and a check is not a race.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if folder is not None:
            options.add_session_config_entry(FOLDER, str(folder.absolute()))
        self._name = name or (source.name if isinstance(source, Path) else "the file")
        with _explained(self._name):
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(DISABLED_OPTIMIZERS)
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._input = inputs[0].name
        self.shapes: Mapping[str, Sequence[int | str | None]]
        self.shapes = {value.name: value.shape for value in (*inputs, *outputs)}
        self._names = [output.name for output in outputs]

    def run(
        self,
        tensor: npt.NDArray[np.generic],
        block_scale: npt.NDArray[np.float32] | None = None,
        **others: npt.NDArray[np.generic],
    ) -> Outputs:
        """Returns the outputs by name, each [n, …]. Other inputs than a block scale are given by their names."""
        scale = {} if block_scale is None else {BLOCK_SCALE: block_scale}
        inputs = {self._input: tensor, **scale, **others}
        with _explained(self._name):
            return dict(zip(self._names, self._session.run(None, inputs), strict=True))

    def run_batches(self, images: npt.NDArray[np.uint8], batch_size: int = 32) -> Iterator[Outputs]:
        """Yields the outputs of one batch after the other."""
        for start in range(0, len(images), batch_size):
            yield self.run(images[start : start + batch_size])


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ONNX Runtime has no class of its own for what it raises
        raise ExporterError(f"ONNX Runtime cannot run {name}: {one_line(error)}") from error


def count(rows: int) -> str:
    """Returns a number of images in words."""
    return "1 image" if rows == 1 else f"{rows} images"
