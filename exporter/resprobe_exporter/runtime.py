"""Runs the written graphs on ONNX Runtime, to check and to measure them. CPU only: a reference needs no speed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

Outputs = Mapping[str, npt.NDArray[np.float32]]


class Graph:
    """A graph that takes `image`, uint8 [n, height, width, channels], and perhaps `block_scale`, float32 [n, L]."""

    def __init__(self, path: Path) -> None:
        """Loads a graph.

        Args:
            path: Of the ONNX file; its weights lie beside it.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, images: npt.NDArray[np.uint8], block_scale: npt.NDArray[np.float32] | None = None) -> Outputs:
        """The outputs by name, each [n, …]."""
        inputs = {"image": images} if block_scale is None else {"image": images, "block_scale": block_scale}
        return dict(zip(self._names, self._session.run(None, inputs), strict=True))

    def run_batches(self, images: npt.NDArray[np.uint8], batch_size: int = 32) -> Iterator[Outputs]:
        """The outputs for one batch after the other."""
        for start in range(0, len(images), batch_size):
            yield self.run(images[start : start + batch_size])
