"""Brings an imported graph into the form that the passes work on, whatever exporter it comes from.

What varies is levelled out here: the order of the nodes, the opset, functions, weights that are listed as inputs,
constants that are nodes, additions that are a Sum of two, a batch size that is written out.
"""

import logging
from collections.abc import Iterator, Sequence
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
from resprobe_exporter.graph.training import training_nodes

OPSET = 18  # the first in which the passes' operators are what they are now
IR_VERSION = 8  # that of this opset; before 4, weights had to be inputs too
LEVELLING: Sequence[type[ir.passes.InPlacePass]] = (
    common_passes.InlinePass,
    common_passes.RemoveInitializersFromInputsPass,
    common_passes.IdentityEliminationPass,
    SumToAdd,
)
for library in ("onnx_ir", "onnxscript"):  # what they leave alone is reported by who needs it
    logging.getLogger(library).setLevel(logging.ERROR)
LARGEST_FILLING = 2**24  # numbers that are worth to be stored instead of made in each run
SHOWN = 3  # nodes in an error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what ONNX's libraries raise for a strange file into an ExporterError: they have no class for it."""
    try:
        yield
    except (Error, OSError):
        raise
    except Exception as error:
        raise ExporterError(f"{path} is an ONNX model that cannot be worked on: {summary(error)}") from error


def summary(error: BaseException) -> str:
    """What an error says, in one line; of one that onnx_ir only passes on, its cause."""
    while type(error).__module__.startswith("onnx_ir") and error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def sort(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes in an order in which they can run; ONNX Runtime's own tools leave them in any.

    Raises:
        ValueError: There is none, or a node takes what nothing makes.
    """
    known = {value.name for value in model.graph.input} | {weight.name for weight in model.graph.initializer} | {""}
    known |= {weight.values.name for weight in model.graph.sparse_initializer}
    for node in model.graph.node:
        if not known.issuperset(node.input):
            _check_names(model, known)
            levelled = ir.from_proto(model)
            common_passes.TopologicalSortPass()(levelled)
            return ir.to_proto(levelled)
        known.update(node.output)
    return model


def _check_names(model: onnx.ModelProto, known: set[str]) -> None:
    made = known.union(*(node.output for node in model.graph.node))
    for node in model.graph.node:
        if missing := [name for name in node.input if name not in made]:
            raise ValueError(
                f"the {node.op_type} {node.name or node.output[0]} takes {missing[0]}, which nothing makes"
            )


def level(model: onnx.ModelProto, path: Path) -> ir.Model:
    """Returns the same computation for any number of images, ready for the passes.

    Args:
        model: Checked, with sorted nodes. It takes one tensor.
        path: Of its file, for errors.

    Raises:
        ExporterError: It is in training mode or quantised dynamically, it computes nothing, its opset cannot be
            converted, or what it takes has no batch axis.
    """
    version = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), OPSET)
    _refuse_training(model, version, path)
    levelled = ir.from_proto(model if version >= OPSET else _convert(model, version, path))
    levelled.ir_version = max(levelled.ir_version, IR_VERSION)
    for step in LEVELLING:
        step()(levelled)
    fold_constants(levelled, should_fold=_is_filling)  # some compute what a Reshape or a Pad is to do
    common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(levelled)
    common_passes.RemoveUnusedNodesPass()(levelled)
    if not len(levelled.graph):
        raise ExporterError(f"{path} computes nothing: what it returns is in it or is what it takes")
    _refuse_batch_scales(levelled.graph, path)
    for graph_input in levelled.graph.inputs:
        if graph_input.shape is None or not len(graph_input.shape):
            raise ExporterError(f"input {graph_input.name} of {path} has no batch axis; expected [n, c, h, w]")
    FreeBatch()(levelled)
    for node in levelled.graph:
        node.doc_string = None
        node.metadata_props.clear()  # file names of the machine that exported it
    return levelled


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
    common_passes.InlinePass()(inlined)
    if nodes := list(training_nodes(inlined.graph, opset)):
        more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
        raise ExporterError(
            f"{path} was exported in training mode ({', '.join(nodes[:SHOWN])}{more}): its numbers depend on chance or "
            "on the other images of a batch; export it after net.eval(), in inference mode"
        )


def _refuse_batch_scales(graph: ir.Graph, path: Path) -> None:
    """A scale for a whole batch changes an image's numbers by less than rounding does, so trying does not find it."""
    if any(node.op_type == "DynamicQuantizeLinear" for node in graph.all_nodes()):
        raise ExporterError(
            f"{path} is quantised dynamically: the scale of DynamicQuantizeLinear is that of a whole batch, so what an "
            "image gets would depend on the others that run with it; quantise it statically"
        )


def _is_filling(node: ir.Node) -> bool | None:
    """Has zeros folded too, of which paddings are made, if they are not too many; the rest as it is by default."""
    if node.op_type != "ConstantOfShape":
        return None
    sizes = ir.convenience.get_const_tensor(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
    return (sizes is not None and float(np.prod(sizes.numpy().astype(float))) <= LARGEST_FILLING) or None
