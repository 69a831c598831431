"""Made-up inputs for a graph of which only its declared tensors are known: noise that many graphs can work with."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import BLOCK_SCALE

from resprobe_server.execution.dtypes import BY_ONNX
from resprobe_server.execution.graph import Arrays, Tensor

SIZES = 8, 32, 96, 224  # of inner axes that are free: some graphs need large ones
IMAGE_AXES = 4
CHANNELS = 3, 1  # of images whose axes are all free
FEW, TWO = 10, 2  # different integers
# Darkest and brightest pixel of an image, by turns: a net may not tell images of one kind of noise apart.
BRIGHTNESS = (0, 256), (0, 32), (224, 256), (96, 160)


@dataclass(frozen=True)
class Sample:
    """Kind of inputs. Two draws of the same kind begin with the same rows.

    Attributes:
        size: Size of inner axes that are free.
        positive: Whether numbers are in [0, 1) and integers 0 or 1; else they are normal, and 0 to 9.
        channels: Size of the axis c of [n, c, h, w], if it is free. If None, it is `size`.
    """

    size: int = SIZES[0]
    positive: bool = False
    channels: int | None = None

    def draw(self, tensors: Sequence[Tensor], rows: int) -> Arrays:
        """Draws inputs by name. A first axis that is free has `rows` rows; block scales leave every block as it is."""
        return {tensor.name: self._draw(tensor, rows) for tensor in tensors}

    def _draw(self, tensor: Tensor, rows: int) -> npt.NDArray[Any]:
        free = [rows, *[self.size] * len(tensor.shape)]
        if self.channels and len(tensor.shape) == IMAGE_AXES:
            free[1] = self.channels
        shape = tuple(other if size is None else size for size, other in zip(tensor.shape, free, strict=False))
        dtype = BY_ONNX[tensor.dtype].dtype
        if tensor.name == BLOCK_SCALE:
            return np.ones(shape, dtype)
        rng = np.random.default_rng(zlib.crc32(tensor.name.encode()))
        if tensor.dtype == "tensor(uint8)" and len(shape) == IMAGE_AXES:
            return _images(rng, shape)
        if dtype.kind == "f":
            return np.asarray(rng.random(shape) if self.positive else rng.standard_normal(shape), dtype)
        numbers = np.asarray(rng.integers(0, TWO if self.positive or dtype.kind == "b" else FEW, shape))
        return np.asarray(numbers.astype(str) if dtype.kind == "O" else numbers, dtype)


def kinds(tensors: Sequence[Tensor]) -> Iterator[Sample]:
    """Yields samples to try in this order, until the graph can work with one."""
    sizes = SIZES if any(None in tensor.shape[1:] for tensor in tensors) else SIZES[:1]
    open_images = any(len(tensor.shape) == IMAGE_AXES and tensor.shape[1] is None for tensor in tensors)
    for channels in (None, *CHANNELS) if open_images else (None,):
        for size in sizes:
            yield Sample(size, False, channels)
            if any(tensor.dtype != "tensor(uint8)" for tensor in tensors):
                yield Sample(size, True, channels)


def _images(rng: np.random.Generator, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    rows = [
        rng.integers(*BRIGHTNESS[row % len(BRIGHTNESS)], shape[1:], dtype=np.uint8)
        if max(shape[1:])
        else np.zeros(shape[1:], np.uint8)
        for row in range(shape[0])
    ]
    return np.stack(rows)
