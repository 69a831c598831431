"""Makes a float16 graph of a float32 one: weights and tensors behind the normalisation; images and outputs stay.

ONNX Runtime's own converter is not used: around a normalisation that is to stay it rounds each number to float16 and
back between any two operators, and the types that it declares contradict its operators.
"""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.utils import constant
from resprobe_exporter.quantization.int8 import tidy
from resprobe_exporter.quantization.regions import before_weights, name_nodes

HALF, FULL = ir.DataType.FLOAT16, ir.DataType.FLOAT
ALWAYS_FULL = {"Resize": (1, 2)}  # inputs that ONNX has as float32, by their place


def halve(lean: ir.Model) -> ir.Model:
    """Returns the float16 graph.

    Args:
        lean: Graph with its weights in memory; it is not changed.

    Raises:
        ExporterError: A weight is larger than float16 can say.
    """
    model = lean.clone()
    graph = model.graph
    name_nodes(graph)
    full = set(before_weights(graph))
    halved: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        if node.name in full:
            continue
        for place, value in enumerate(node.inputs):
            if value is not None and value.dtype == FULL and place not in ALWAYS_FULL.get(node.op_type, ()):
                if value not in halved:
                    halved[value] = _halved(graph, node, value)
                node.replace_input_with(place, halved[value])
        _halve_outputs(node)
    for place, output in enumerate(list(graph.outputs)):
        if output.dtype == HALF:
            graph.outputs[place] = _returned(graph, output)
    tidy(model)
    return model


def _halved(graph: ir.Graph, node: ir.Node, value: ir.Value) -> ir.Value:
    """Returns a float32 value in float16: a constant, or cast just before a node."""
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        tape = ir.tape.Tape()
        cast = tape.op("Cast", [value], {"to": HALF})
        cast.shape, cast.type = value.shape, ir.TensorType(HALF)
        graph.insert_before(node, tape.nodes)
        return cast
    with np.errstate(over="ignore"):
        array = tensor.numpy().astype(np.float16)
    if not np.isfinite(array).all():
        raise ExporterError(
            f"float16 cannot say all numbers of {value.name}: its largest is {np.finfo(np.float16).max}"
        )
    return constant(graph, f"{value.name}/float16", array)


def _halve_outputs(node: ir.Node) -> None:
    """Declares that what a node returned in float32 it returns in float16."""
    if node.op_type == "Cast" and node.attributes.get_int("to", 0) == FULL:
        node.attributes["to"] = ir.AttrInt64("to", HALF)
    for value in node.outputs:
        if value.dtype == FULL:
            value.type = ir.TensorType(HALF)  # a type object is shared with the graph that was cloned


def _returned(graph: ir.Graph, output: ir.Value) -> ir.Value:
    """Adds the cast of an output of the graph back to float32, which gets its name."""
    tape = ir.tape.Tape(graph)
    name, output.name = output.name, f"{output.name}/float16"
    full = tape.op("Cast", [output], {"to": FULL})
    full.name, full.shape, full.type = name, output.shape, ir.TensorType(FULL)
    return full
