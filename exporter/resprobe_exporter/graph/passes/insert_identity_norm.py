"""Inserts batch norms that change no number before additions, so that ONNX Runtime's CPU kernels stay as without taps.

ONNX Runtime adds and rectifies inside the branch's last convolution, unless the output of that convolution has another
reader or is changed before it is added. A batch norm that changes nothing becomes a depthwise convolution there, which
then does the addition and the ReLU. Figures: benchmarks/README.md.

An operator on quantised tensors computes in whole numbers only if a single DequantizeLinear, and nothing else, reads
its output; otherwise it rounds elsewhere. So in all graphs every other reader, tap or addition, reads behind such a
batch norm.
"""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.graph.quantised import is_quantised
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import (
    additions_to_tap,
    branch_dtype,
    branch_shape,
    constant,
    is_image,
    replace_operand,
)

UNTIE = "untie"  # first word of the names of added tensors


class UntieBranches(ir.passes.InPlacePass):
    """Puts a batch norm that changes nothing between every branch that is an image and its addition.

    A quantised branch needs none.

    Requires: the requirements of AddBlockStatistics, which should run before.
    Ensures: the outputs are unchanged.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        every = additions_to_tap(model.graph)
        additions = [one for one in every if is_image(one) and not is_quantised(one.branch)]
        for index, addition in enumerate(additions):
            _untie(model.graph, addition, addition.branch, f"{UNTIE}/{index}")
        return ir.passes.PassResult(model, bool(additions))


class UntieQuantised(ir.passes.InPlacePass):
    """Puts a batch norm that changes nothing between every addition and its dequantised operands.

    Requires: the requirements of AddBlockStatistics, which should run after.
    Ensures: the outputs are unchanged.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        modified = False
        for index, addition in enumerate(additions_to_tap(model.graph)):
            for label, value in (("branch", addition.branch), ("shortcut", addition.shortcut)):
                node = value.producer()
                if node is not None and node.op_type in QUANTISING:
                    _untie(model.graph, addition, value, f"{UNTIE}/{index}/{label}")
                    modified = True
        return ir.passes.PassResult(model, modified)


def _untie(graph: ir.Graph, addition: ResidualAddition, operand: ir.Value, name: str) -> None:
    channels, dtype = branch_shape(addition)[0], branch_dtype(addition).numpy()  # a graph may have several types
    ones = constant(graph, f"{UNTIE}/ones{channels}/{dtype}", np.ones(channels, dtype))
    zeros = constant(graph, f"{UNTIE}/zeros{channels}/{dtype}", np.zeros(channels, dtype))
    node = ir.node("BatchNormalization", [operand, ones, zeros, zeros, ones], {"epsilon": 0.0}, name=name)
    node.outputs[0].name = name
    graph.insert_before(addition.node, node)
    replace_operand(addition, operand, node.outputs[0])
