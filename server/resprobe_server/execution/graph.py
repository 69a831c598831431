"""A graph as the rest of the server sees it: its tensors, and something that runs batches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.generic]]


class Graph(Protocol):
    """Runs batches: a session, or an adapter around one."""

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""


@dataclass(frozen=True)
class Tensor:
    """Input or output of a graph.

    Attributes:
        name: Name in the graph.
        dtype: ONNX Runtime's name of its type, for example tensor(float).
        shape: Size of each axis. If None, the axis is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def of_any_rows(self) -> "Tensor":
        """Returns the tensor with a free first axis."""
        return replace(self, shape=(None, *self.shape[1:]))
