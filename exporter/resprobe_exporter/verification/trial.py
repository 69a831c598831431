"""Runs an imported file as it came: what is written is compared with what it returns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing.onnx_source import Foreign
from resprobe_exporter.verification.ort import Graph, Outputs, count
from resprobe_exporter.versions.writer import CHECK_IMAGES, Preprocessing

Array = npt.NDArray[np.generic]


def noise(file: Foreign) -> Array:
    """Inputs for a graph that takes anything, [n, …]. Raises ExporterError if their size is not known."""
    (taken,) = file.levelled.graph.inputs
    sizes = list(taken.shape or ())[1:]
    known = [size for size in sizes if isinstance(size, int)]
    if taken.dtype is None or len(known) < len(sizes):
        raise ExporterError(f"input {taken.name} of {file.path} is {taken.shape}; --size says what it leaves open")
    shape = CHECK_IMAGES, *known
    random = np.random.default_rng(0)
    if taken.dtype.is_floating_point():
        return random.standard_normal(shape).astype(taken.dtype.numpy())
    return random.integers(0, 256, shape).astype(taken.dtype.numpy())


def run(file: Foreign, inputs: Array, preprocessing: Preprocessing | None) -> Mapping[str, Array]:
    """What the file returns as it came, by name, each [n, …].

    Args:
        file: With the number of rows that it takes at a time.
        inputs: [n, …]: tensors or, if there is a preprocessing, images [n, height, width, channels].
        preprocessing: What the images get before they are given to the file. If None, nothing.

    Raises:
        ExporterError: ONNX Runtime cannot run it, it does not return a row for each image, or its numbers are not
            finite.
    """
    tensors = inputs if preprocessing is None else _normalise(inputs, preprocessing, file)
    graph, rows = Graph(file.model.SerializeToString(), file.path.name), file.rows
    parts = []
    for part in (tensors[start : start + rows] for start in range(0, len(tensors), rows)):
        outputs = graph.run(np.resize(part, (rows, *part.shape[1:])))  # repeats what it has
        _check(outputs, rows, file)
        parts.append({name: array[: len(part)] for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check(outputs: Outputs, rows: int, file: Foreign) -> None:
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise ExporterError(
                f"{file.path} returns {name} {list(array.shape)} for {count(rows)}; expected a row for each "
                "(--output says which output is wanted)"
            )
        if not np.isfinite(array.astype(np.float64)).all():
            raise ExporterError(f"{file.path} returns {name} with numbers that are not finite, for images or noise")


def _normalise(images: npt.NDArray[Any], preprocessing: Preprocessing, file: Foreign) -> Array:
    mean, std = (np.array(list(map(float, one))) for one in (preprocessing.mean, preprocessing.std))
    pixels: npt.NDArray[Any] = (images / 255 - mean) / std
    return (pixels if file.channels_last else np.moveaxis(pixels, -1, 1)).astype(file.dtype)
