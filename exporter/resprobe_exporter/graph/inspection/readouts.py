"""Adds the scores of classes as if the net ended after a block.

In the last stage, whose sums have the shape of the last one, the net's own head reads them: nostalgebraist's logit lens
(2020). Before it a linear head reads the means over positions (Alain & Bengio 2016, arXiv 1610.01644).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe_protos.contract import READOUTS

from resprobe_exporter.graph.inspection.head import logits_of, nodes_after
from resprobe_exporter.graph.inspection.norms import add_output
from resprobe_exporter.graph.inspection.trunk import Trunk, as_float, insert_after, trunk
from resprobe_exporter.graph.utils import additions_to_tap, branch_shape, constant, join

FEATURES = "features"


@dataclass(frozen=True, eq=False)
class Head:
    """Linear head on the means over positions: scores = weights · features + bias.

    Attributes:
        weights: float32 [classes, channels].
        bias: float32 [classes].
    """

    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OwnHead:
    """Head of the net, and the blocks that it can read.

    Attributes:
        blocks: Places of the blocks, the last of them that of the net's last block.
        trunks: Trunk after each block of the net.
        start: Value that the copies of the head begin with, for the last block.
        nodes: Nodes that compute the logits of it.
        is_after: Whether it is what follows the activation, and not the sum itself.
    """

    blocks: Sequence[int]
    trunks: Sequence[Trunk]
    start: ir.Value
    nodes: Sequence[ir.Node]
    is_after: bool


def own_head(graph: ir.Graph) -> OwnHead | None:
    """Finds the head of a net. If None, its logits are not computed of its last block alone."""
    additions = additions_to_tap(graph)
    totals = [one.node.outputs[0] for one in additions]
    trunks, last = [trunk(total) for total in totals], len(totals) - 1
    shapes = [branch_shape(one) for one in additions]
    first = next(at for at in range(len(shapes)) if all(shape == shapes[-1] for shape in shapes[at:]))
    nodes = nodes_after(graph, trunks[last].value)
    if nodes is None:
        return None
    alike = [at for at in range(first, last + 1) if trunks[at].steps == trunks[last].steps]
    if len(alike) == last + 1 - first:
        return OwnHead(alike, trunks, trunks[last].value, nodes, True)
    from_sum = nodes_after(graph, totals[last])
    if from_sum is None or "QuantizeLinear" in trunks[last].steps:
        return OwnHead(alike, trunks, trunks[last].value, nodes, True)
    return OwnHead(range(first, last + 1), trunks, totals[last], from_sum, False)


class AddReadouts(ir.passes.InPlacePass):
    """Adds the output `readouts`, float32 [n, rows, classes], with a row for each block of `rows`, in their order.

    The last row is the logits.

    Requires: the requirements of AddBlockStatistics, which should run after; a graph with logits.
    Ensures: the other outputs are unchanged. If the logits are computed of more than the last block, nothing is added.
    """

    def __init__(self, heads: Mapping[int, Head], channel_axes: Sequence[int]) -> None:
        """Creates the pass.

        Args:
            heads: Fitted heads, by the place of their block. The net's own head is preferred to one.
            channel_axes: Axis of the channels of each block's sum.
        """
        self._heads, self._axes = heads, channel_axes

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        own, logits = own_head(graph), logits_of(graph)
        if own is None or logits is None or logits.shape is None:
            return ir.passes.PassResult(model, False)
        totals = [one.node.outputs[0] for one in additions_to_tap(graph)]
        rows, tape = list[ir.Value](), ir.tape.Tape()
        for index in readout_blocks(own, self._heads):
            if index == own.blocks[-1]:
                score = logits
            elif index in own.blocks:
                start = own.trunks[index].value if own.is_after else totals[index]
                score = _copy(graph, own, start, f"{READOUTS}/{index}")
            else:
                score = _fitted(graph, own.trunks[index].value, self._axes[index], self._heads[index], index)
            rows.append(
                tape.op("Unsqueeze", [as_float(tape, score), constant(graph, f"{READOUTS}/axis", np.array([1]))])
            )
        joined = join(tape, rows, 1)
        graph.extend(tape.nodes)
        batch, classes = logits.shape[0], logits.shape[1]
        add_output(graph, joined, READOUTS, ir.Shape([batch, len(rows), classes]))
        return ir.passes.PassResult(model, True)


def read_heads(path: Path) -> dict[int, Head]:
    """Reads the fitted heads of an inspect.onnx, by the place of their block."""
    weights = {
        name: value.const_value.numpy()
        for name, value in ir.load(path).graph.initializers.items()
        if name.startswith(f"{READOUTS}/") and name.endswith(("/weights", "/bias")) and value.const_value is not None
    }
    places = sorted({int(name.split("/")[1]) for name in weights})
    return {at: Head(weights[f"{READOUTS}/{at}/weights"], weights[f"{READOUTS}/{at}/bias"]) for at in places}


def readout_blocks(own: OwnHead, heads: Mapping[int, Head]) -> list[int]:
    """Returns the places of the blocks that scores are read off."""
    return sorted({*own.blocks, *heads})


def add_features(graph: ir.Graph, blocks: Sequence[int], channel_axes: Sequence[int]) -> Sequence[str]:
    """Adds what fitted heads read of some blocks as outputs, float32 [n, channels]; returns their names."""
    totals = [one.node.outputs[0] for one in additions_to_tap(graph)]
    trunks, names = [trunk(total) for total in totals], []
    for index in blocks:
        features = _means(graph, trunks[index].value, channel_axes[index], index)
        channels = features.shape[1] if features.shape is not None else None
        add_output(graph, features, f"{FEATURES}/{index}", ir.Shape([graph.inputs[0].shape[0], channels]))  # type: ignore[index]
        names.append(f"{FEATURES}/{index}")
    return names


def _means(graph: ir.Graph, value: ir.Value, channel_axis: int, index: int) -> ir.Value:
    """Adds the means over positions of a value: float32 [n, channels]."""
    shape = value.shape
    if shape is None:
        raise ir.passes.PreconditionError(f"{value.name} has no known shape")
    tape, axes = ir.tape.Tape(), [axis for axis in range(1, len(shape)) if axis != channel_axis]
    found = as_float(tape, value)
    if axes:
        over = constant(graph, f"{FEATURES}/axes{'.'.join(map(str, axes))}", np.array(axes))
        found = tape.op("ReduceMean", [found, over], {"keepdims": 0})
    else:
        found = tape.op("Identity", [found])
    found.shape, found.type = ir.Shape([shape[0], shape[channel_axis]]), ir.TensorType(ir.DataType.FLOAT)
    insert_after(graph, value, tape.nodes)
    return found


def _fitted(graph: ir.Graph, value: ir.Value, channel_axis: int, head: Head, index: int) -> ir.Value:
    features, tape = _means(graph, value, channel_axis, index), ir.tape.Tape(graph)
    weights = constant(graph, f"{READOUTS}/{index}/weights", head.weights)
    bias = constant(graph, f"{READOUTS}/{index}/bias", head.bias)
    return tape.op("Gemm", [features, weights, bias], {"transB": 1})


def _copy(graph: ir.Graph, own: OwnHead, start: ir.Value, name: str) -> ir.Value:
    """Adds a copy of the head that begins with another value; returns its scores."""
    tape = ir.tape.Tape()
    begin = as_float(tape, start) if "QuantizeLinear" in own.trunks[-1].steps else start
    graph.extend(tape.nodes)
    copies = {own.start: begin}
    for node in own.nodes:
        made = ir.Node(
            node.domain,
            node.op_type,
            [copies.get(one, one) if one is not None else None for one in node.inputs],
            [attribute for attribute in node.attributes.values()],
            overload=node.overload,
            num_outputs=len(node.outputs),
            version=node.version,
        )
        for old, new in zip(node.outputs, made.outputs, strict=True):
            new.name, new.shape, new.type = f"{name}/{old.name}", old.shape, old.type
            copies[old] = new
        graph.append(made)
    logits = logits_of(graph)
    if logits is None or logits not in copies:
        raise ir.passes.PreconditionError("the head does not end in the logits")
    return copies[logits]
