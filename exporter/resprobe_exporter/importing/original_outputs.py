"""Runs an imported file as it came: the written graphs are compared with what it returns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing.onnx_source import OnnxFile
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.ort import Graph, Outputs, count
from resprobe_exporter.verification.reference import CHECK_IMAGES

Array = npt.NDArray[np.generic]


def noise(file: OnnxFile) -> Array:
    """Returns random inputs for the graph of a file, [n, …]. Raises ExporterError if their size is not known."""
    value = file.canonical.graph.inputs[0]
    sizes = list(value.shape or ())[1:]
    known = [size for size in sizes if isinstance(size, int)]
    if value.dtype is None or len(known) < len(sizes):
        raise ExporterError(f"input {value.name} of {file.path} is {value.shape}; --size gives the sizes that are open")
    shape = CHECK_IMAGES, *known
    random = np.random.default_rng(0)
    if value.dtype.is_floating_point():
        return random.standard_normal(shape).astype(value.dtype.numpy())
    return random.integers(0, 256, shape).astype(value.dtype.numpy())


def run(file: OnnxFile, inputs: Array, preprocessing: Preprocessing | None) -> Mapping[str, Array]:
    """Runs a file as it came, and returns its outputs by name, each [n, …].

    Args:
        file: File to run, with as many rows at a time as it takes.
        inputs: Tensors [n, …] or, with a preprocessing, images [n, height, width, channels].
        preprocessing: Normalisation of the images. If None, the inputs are given to the file as they are.

    Raises:
        ExporterError: ONNX Runtime cannot run it, it does not return a row for each image, or its numbers are not
            finite.
    """
    tensors = inputs if preprocessing is None else _normalise(inputs, preprocessing, file)
    graph, rows = Graph(file.model.SerializeToString(), file.path.name, folder=file.path.parent), file.rows
    parts = []
    for part in (tensors[start : start + rows] for start in range(0, len(tensors), rows)):
        outputs = graph.run(np.resize(part, (rows, *part.shape[1:])))  # repeats rows where there are too few
        _check(outputs, rows, file)
        parts.append({name: array[: len(part)] for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check(outputs: Outputs, rows: int, file: OnnxFile) -> None:
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise ExporterError(
                f"{file.path} returns {name} {list(array.shape)} for {count(rows)}; expected a row for each "
                "(--output chooses one of several outputs)"
            )
        if not np.isfinite(array.astype(np.float64)).all():
            raise ExporterError(f"{file.path} returns {name} with numbers that are not finite, for images or noise")


def _normalise(images: npt.NDArray[Any], preprocessing: Preprocessing, file: OnnxFile) -> Array:
    mean, std = map(np.array, preprocessing.as_lists())
    pixels: npt.NDArray[Any] = (images / 255 - mean) / std
    return (pixels if file.channels_last else np.moveaxis(pixels, -1, 1)).astype(file.dtype)
