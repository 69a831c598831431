"""Refuses graphs that do something else each time: those that were exported while their net was being trained."""

from collections.abc import Iterator

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def training_nodes(graph: ir.Graph, opset: int) -> Iterator[str]:
    """What is in training mode, each as "BatchNormalization NAME"; nothing for a net that is only to be used.

    A batch norm over weights, as weight standardisation has it, is none: it gives the same each time.

    Args:
        graph: Topologically sorted.
        opset: Of the operators; before 14 a batch norm is in training mode if more than its first output is there.
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
    if opset < 7:  # where training is what is not said to be a test
        return not node.attributes.get_int("is_test", 0)
    if node.op_type == "Dropout":
        mode = ir.convenience.get_const_tensor(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
        return mode is not None and bool(mode.numpy().any())
    if opset < 14:
        return any(output.name for output in node.outputs[1:])
    return bool(node.attributes.get_int("training_mode", 0))
