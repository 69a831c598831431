"""Brings an imported graph into the form that the passes work on, whichever tool exported it.

Tools differ in the order of nodes, the opset, functions, weights that are listed as inputs, constants that are nodes,
additions that are a Sum of two, and batch sizes that are written out.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxscript.optimizer import fold_constants
from resprobe import Error

from resprobe_exporter.errors import ExporterError, one_line
from resprobe_exporter.graph.passes.dynamic_batch import FreeBatch
from resprobe_exporter.graph.passes.sum_to_add import SumToAdd
from resprobe_exporter.graph.training_mode import training_nodes
from resprobe_exporter.importing.other_files import with_weights

OPSET = 18  # the first in which the passes' operators are what they are now
IR_VERSION = 8  # that of this opset; before 4, weights had to be inputs too
SIMPLIFY = ir.passes.Sequential(
    common_passes.InlinePass(),
    common_passes.RemoveInitializersFromInputsPass(),
    common_passes.IdentityEliminationPass(),
    SumToAdd(),
)
STORE_CONSTANTS = ir.passes.Sequential(
    common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common_passes.RemoveUnusedNodesPass(),
)
# Metadata hold names of files on the machine that exported the graph.
FREE_BATCH = ir.passes.Sequential(FreeBatch(), common_passes.ClearMetadataAndDocStringPass())
for library in ("onnx_ir", "onnxscript"):  # callers report the nodes that these leave alone
    logging.getLogger(library).setLevel(logging.ERROR)
LARGEST_FILLING = 2**24  # numbers; larger paddings are computed in each run instead of stored
SHOWN = 3  # nodes in an error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns errors of ONNX's libraries about a strange file into ExporterError: they have no class of their own."""
    try:
        yield
    except (Error, OSError):
        raise
    except Exception as error:
        raise ExporterError(f"{path} is an ONNX model that cannot be worked on: {summary(error)}") from error


def summary(error: BaseException) -> str:
    """Returns the message of an error in one line; for an error that onnx_ir wraps, the message of its cause."""
    while type(error).__module__.startswith("onnx_ir") and error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def sort(model: onnx.ModelProto) -> onnx.ModelProto:
    """Sorts the nodes into an order in which they can run: files of ONNX Runtime's own tools may have any order.

    Raises:
        ValueError: There is no such order, or a node takes a tensor that no node makes.
    """
    known = {value.name for value in model.graph.input} | {weight.name for weight in model.graph.initializer} | {""}
    known |= {weight.values.name for weight in model.graph.sparse_initializer}
    for node in model.graph.node:
        if not known.issuperset(node.input):
            _check_names(model, known)
            graph = ir.from_proto(model)
            common_passes.TopologicalSortPass()(graph)
            return ir.to_proto(graph)
        known.update(node.output)
    return model


def _check_names(model: onnx.ModelProto, known: set[str]) -> None:
    made = known.union(*(node.output for node in model.graph.node))
    for node in model.graph.node:
        if missing := [name for name in node.input if name not in made]:
            raise ValueError(
                f"the {node.op_type} {node.name or node.output[0]} takes {missing[0]}, which no node makes"
            )


def canonicalise(model: onnx.ModelProto, path: Path) -> ir.Model:
    """Returns a graph of the same computation for any number of images, ready for the passes.

    Args:
        model: Checked model with sorted nodes and one input.
        path: Path of the file, beside which weights may be.

    Raises:
        ExporterError: It is in training mode or quantised dynamically, it computes nothing, its opset cannot be
            converted, or its input has no batch axis.
    """
    version = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), OPSET)
    _refuse_training(model, version, path)
    canonical = ir.from_proto(model if version >= OPSET else _convert(with_weights(model, path), version, path))
    ir.external_data.set_base_dir(canonical.graph, path.parent)
    canonical.ir_version = max(canonical.ir_version, IR_VERSION)
    SIMPLIFY(canonical)
    fold_constants(canonical, should_fold=_is_filling)  # sizes of a Reshape or a Pad may be computed in the graph
    STORE_CONSTANTS(canonical)
    if not len(canonical.graph):
        raise ExporterError(f"{path} computes nothing: its outputs are constants or its input")
    _refuse_batch_scales(canonical.graph, path)
    for graph_input in canonical.graph.inputs:
        if graph_input.shape is None or not len(graph_input.shape):
            raise ExporterError(f"input {graph_input.name} of {path} has no batch axis; expected [n, c, h, w]")
    FREE_BATCH(canonical)
    return canonical


def _convert(model: onnx.ModelProto, version: int, path: Path) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except RuntimeError as error:
        raise ExporterError(
            f"{path} is of opset {version} and cannot be converted to {OPSET}: {summary(error)}; export it with "
            f"opset {OPSET} or later"
        ) from error


def _refuse_training(model: onnx.ModelProto, opset: int, path: Path) -> None:
    inlined = ir.from_proto(model)
    ir.external_data.set_base_dir(inlined.graph, path.parent)
    common_passes.InlinePass()(inlined)
    if nodes := list(training_nodes(inlined.graph, opset)):
        more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
        raise ExporterError(
            f"{path} was exported in training mode ({', '.join(nodes[:SHOWN])}{more}): its numbers depend on chance or "
            "on the other images of a batch; export it after net.eval(), in inference mode"
        )


def _refuse_batch_scales(graph: ir.Graph, path: Path) -> None:
    """Raises ExporterError for scales of a whole batch: their effect is below that of rounding, so no run shows it."""
    if any(node.op_type == "DynamicQuantizeLinear" for node in graph.all_nodes()):
        raise ExporterError(
            f"{path} is quantised dynamically: the scale of DynamicQuantizeLinear is that of a whole batch, so results "
            "of an image would depend on the others that run with it; quantise it statically"
        )


def _is_filling(node: ir.Node) -> bool | None:
    """Tells the folding to store zeros, of which paddings are made, if they are not too many. If None, it decides."""
    if node.op_type != "ConstantOfShape":
        return None
    sizes = ir.convenience.get_const_tensor(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
    return (sizes is not None and float(np.prod(sizes.numpy().astype(float))) <= LARGEST_FILLING) or None
