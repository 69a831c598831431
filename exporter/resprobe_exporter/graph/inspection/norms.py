"""Adds the norms of branch and shortcut at every position and in every channel as two small outputs.

Squares of images stay in ONNX Runtime's blocked layout: their sum over channels is a convolution with ones, and their
mean over positions a GlobalAveragePool, which block statistics share. As there, the last nodes of the taps stand in
reverse order of the blocks, so that tensors are read while they are in the cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import CHANNELS, MAPS

from resprobe_exporter.graph.inspection.trunk import as_float
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import additions_to_tap, branch_shape, constant, is_image, join


@dataclass(frozen=True)
class _Tap:
    """Sums of squares of one block.

    Attributes:
        maps: Over channels, [n, 2, positions].
        channels: Over positions, or means where `factor` is not 1, [n, 2, channels].
        factors: What makes sums of `channels`, [channels].
    """

    maps: ir.Value
    channels: ir.Value
    factors: np.ndarray


class AddNorms(ir.passes.InPlacePass):
    """Adds the outputs `maps`, float32 [n, 2, P], and `channels`, float32 [n, 2, C], of P positions and C channels.

    For each block, one after the other: √Σ F² and √Σ s² over channels at each position, in the order of the tensor's
    axes, and over positions in each channel. Sums are in float32 whatever the graph computes in. A block that is a
    vector has one position.

    Requires: the requirements of AddBlockStatistics, and the axis of the channels of each branch.
    Ensures: the other outputs are unchanged.
    """

    def __init__(self, channel_axes: Sequence[int]) -> None:
        """Creates the pass; the axes are those of the graph's residual additions, in their order."""
        self._axes = channel_axes

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        additions = additions_to_tap(graph)
        tapped = [
            _tap(graph, addition, axis, f"{MAPS}/{index}")
            for index, (addition, axis) in enumerate(zip(additions, self._axes, strict=True))
        ]
        for _, nodes in reversed(tapped):
            graph.extend(nodes)
        taps = [tap for tap, _ in tapped]
        batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
        factors = np.concatenate([tap.factors for tap in taps])
        positions = sum(
            math.prod(branch_shape(one)) // len(tap.factors) for one, tap in zip(additions, taps, strict=True)
        )
        tape = ir.tape.Tape(graph)
        maps = join(tape, [tap.maps for tap in taps], 2)
        channels = join(tape, [tap.channels for tap in taps], 2)
        channels = tape.op("Mul", [channels, constant(graph, f"{CHANNELS}/factors", factors)])
        for name, squares, size in ((MAPS, maps, positions), (CHANNELS, channels, len(factors))):
            add_output(graph, tape.op("Sqrt", [squares]), name, ir.Shape([batch, 2, size]))
        return ir.passes.PassResult(model, True)


def add_output(graph: ir.Graph, value: ir.Value, name: str, shape: ir.Shape) -> None:
    """Makes a float32 value an output of the graph."""
    value.name, value.shape, value.type = name, shape, ir.TensorType(ir.DataType.FLOAT)
    graph.outputs.append(value)


def _tap(graph: ir.Graph, addition: ResidualAddition, axis: int, name: str) -> tuple[_Tap, Sequence[ir.Node]]:
    """Adds reductions of F² and s² just before an addition, and creates nodes that join them for its end."""
    tape, tail = ir.tape.Tape(), ir.tape.Tape()
    shape = branch_shape(addition)
    channels, blocked = shape[axis - 1], axis == 1 and is_image(addition)
    squares = []
    for operand in (addition.branch, addition.shortcut):
        value = as_float(tape, operand)
        squares.append(tape.op("Mul", [value, value]))
    if blocked:
        ones = constant(graph, f"{MAPS}/ones{channels}", np.ones((1, channels, 1, 1), np.float32))
        maps = [tape.op("Conv", [one, ones], {"kernel_shape": [1, 1]}) for one in squares]
        sums = [tape.op("GlobalAveragePool", [one]) for one in squares]
    else:
        axes = [one for one in range(1, len(shape) + 1) if one != axis]
        maps = [_sum(graph, tape, one, [axis]) for one in squares]
        sums = [_sum(graph, tape, one, axes) if axes else one for one in squares]
    graph.insert_before(addition.node, tape.nodes)
    positions = math.prod(shape) // channels
    rows = []
    for label, some, size in ((MAPS, maps, positions), (CHANNELS, sums, channels)):
        pair = [tail.op("Reshape", [one, _row(graph, size)]) for one in some]
        rows.append(tail.op("Concat", pair, {"axis": 1}, name=f"{name}/{label}"))
    factors = np.full(channels, positions if blocked else 1, np.float32)
    return _Tap(rows[0], rows[1], factors), tail.nodes


def _sum(graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    over = constant(graph, f"{MAPS}/axes{'.'.join(map(str, axes))}", np.array(axes))
    return tape.op("ReduceSum", [value, over], {"keepdims": 0})


def _row(graph: ir.Graph, size: int) -> ir.Value:
    return constant(graph, f"{MAPS}/row{size}", np.array([-1, 1, size]))
