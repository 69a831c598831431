"""Finds nodes in training mode, whose results differ from run to run or depend on the other images of a batch."""

from collections.abc import Iterator

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def training_nodes(graph: ir.Graph, opset: int) -> Iterator[str]:
    """Yields the nodes that are in training mode, each as "BatchNormalization NAME".

    A batch norm over weights, as in weight standardisation, is not one: its result never changes.

    Args:
        graph: Graph with topologically sorted nodes.
        opset: Opset of the operators. Before 14, a batch norm with more than one output is in training mode.
    """
    linear = Linear(graph)
    for node in graph.all_nodes():
        if node.domain == "" and _trains(node, linear, opset):
            yield f"{node.op_type} {node.name or node.outputs[0].name}"


def _trains(node: ir.Node, linear: Linear, opset: int) -> bool:
    if node.op_type in RANDOM:
        return True
    if node.op_type not in ("BatchNormalization", "Dropout") or not linear.computed(node.inputs[0]):
        return False
    if opset < 7:  # where training is the default
        return not node.attributes.get_int("is_test", 0)
    if node.op_type == "Dropout":
        mode = ir.convenience.get_const_tensor(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
        return mode is not None and bool(mode.numpy().any())
    if opset < 14:
        return any(output.name for output in node.outputs[1:])
    return bool(node.attributes.get_int("training_mode", 0))
