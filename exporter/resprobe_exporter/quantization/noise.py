"""Noise of quantisation, block by block: how far branch, sum and ratio are from those of the float32 graph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.verification.ort import Graph

Array = npt.NDArray[np.float64]
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
BYTES = 2**27  # tensors of a batch that are in memory together


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise over some images, for each block.

    Attributes:
        branch: ‖F' − F‖ / ‖F‖ over all images, channels and positions, F' that of the quantised graph: [L].
        total: The same for the sum F + s: [L].
        ratio_before: Mean over images of ‖F‖ / ‖s‖ in float32: [L].
        ratio_after: Mean over images of ‖F‖ / ‖s‖ as quantised: [L].
    """

    branch: Array
    total: Array
    ratio_before: Array
    ratio_after: Array


class TappedGraph:
    """A lean graph that returns branch and shortcut of every block.

    Of a quantised operand it returns the codes, as a DequantizeLinear with a second reader would change how ONNX
    Runtime computes.
    """

    def __init__(self, lean: ir.Model, name: str) -> None:
        """Loads a graph.

        Args:
            lean: The graph, with its weights in memory; it is not changed.
            name: Name of the graph in errors.
        """
        tapped = lean.clone()
        additions = list(find(tapped.graph))
        self._operands = [(str(value.name), codes(value)) for one in additions for value in (one.branch, one.shortcut)]
        self.values = 2 * sum(int(np.prod(branch_shape(one))) for one in additions)  # for each image
        tensors = [one.branch for one in additions] + [one.shortcut for one in additions]
        for value in dict.fromkeys(found.tensor if (found := codes(value)) else value for value in tensors):
            if not value.is_graph_output():
                tapped.graph.outputs.append(value)
        self._graph = Graph(ir.to_proto(tapped).SerializeToString(), name)

    def run(self, images: npt.NDArray[np.uint8]) -> Iterator[Pair]:
        """Yields branch and shortcut of each block, [n, values] each."""
        outputs = self._graph.run(images)
        arrays = (
            np.asarray(outputs[name], np.float32)
            if found is None
            else found.decode(outputs[str(found.tensor.name)]).astype(np.float32)
            for name, found in self._operands
        )
        for branch in arrays:
            yield branch.reshape(len(images), -1), next(arrays).reshape(len(images), -1)


def measure(before: TappedGraph, after: TappedGraph, images: npt.NDArray[np.uint8]) -> Noise:
    """Compares two graphs of the same blocks on images, uint8 [n, height, width, channels]."""
    size = max(1, min(32, BYTES // (8 * max(before.values, 1))))
    squares: list[Sequence[Array]] = []
    ratios: list[Sequence[Array]] = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        pairs = list(zip(before.run(batch), after.run(batch), strict=True))
        squares.append([_squares(*pair) for pair in pairs])
        ratios.append([np.stack([_ratio(one), _ratio(other)]) for one, other in pairs])
    summed = np.sum(np.array(squares), axis=0)  # [L, 4]
    lengths = np.sqrt(np.divide(summed[:, :2], summed[:, 2:], out=np.zeros((len(summed), 2)), where=summed[:, 2:] > 0))
    means = np.nanmean(np.concatenate([np.array(one) for one in ratios], axis=2), axis=2)  # [L, 2]
    return Noise(lengths[:, 0], lengths[:, 1], means[:, 0], means[:, 1])


def _squares(before: Pair, after: Pair) -> Array:
    """Returns the sums of squares of the differences of branch and sum, and of branch and sum themselves."""
    totals = before[0] + before[1], after[0] + after[1]
    arrays = after[0] - before[0], totals[1] - totals[0], before[0], totals[0]
    return np.array([np.sum(np.square(array), dtype=np.float64) for array in arrays])


def _ratio(pair: Pair) -> Array:
    """Returns ‖F‖ / ‖s‖ of each image; NaN where s is 0."""
    branch, shortcut = (np.sqrt(np.sum(np.square(one), axis=1, dtype=np.float64)) for one in pair)
    ratio: Array = np.divide(branch, shortcut, out=np.full(len(branch), np.nan), where=shortcut > 0)
    return ratio
