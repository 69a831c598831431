"""Lets a graph that takes normalised images take pixels."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import IMAGE

from resprobe_exporter.graph.utils import constant, only_input


class TakePixels(ir.passes.InPlacePass):
    """Makes the graph take `image`, uint8 [n, height, width, channels], and normalise it.

    Requires: one input of a floating type, [n, c, h, w] or, if `channels_last`, [n, h, w, c], of known c, h and w.
    Ensures: for pixels x, the graph computes what it computed for (x / 255 - mean) / std.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], channels_last: bool) -> None:
        """Creates the pass; `mean` and `std` have a value for each channel."""
        self._numbers, self._channels_last = (mean, std), channels_last

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        normalised, shape = only_input(graph)
        n, *sizes = shape
        height, width, channels = sizes if self._channels_last else (*sizes[1:], sizes[0])
        dtype = normalised.dtype or ir.DataType.FLOAT
        axes = (-1,) if self._channels_last else (-1, 1, 1)
        mean, std = (
            constant(graph, f"{IMAGE}/{name}", (255 * np.asarray(values)).reshape(axes).astype(dtype.numpy()))
            for name, values in zip(("mean", "std"), self._numbers, strict=True)
        )
        image = ir.Value(
            name=IMAGE, shape=ir.Shape([n, height, width, channels]), type=ir.TensorType(ir.DataType.UINT8)
        )
        tape = ir.tape.Tape()
        pixels = image if self._channels_last else tape.op("Transpose", [image], {"perm": [0, 3, 1, 2]})
        floats = tape.op("Cast", [pixels], {"to": dtype})
        scaled = tape.op("Div", [tape.op("Sub", [floats, mean]), std])
        scaled.shape, scaled.dtype = shape, dtype
        graph.insert_before(graph[0], tape.nodes)
        normalised.replace_all_uses_with(scaled)
        graph.inputs[0] = image
        return ir.passes.PassResult(model, True)
