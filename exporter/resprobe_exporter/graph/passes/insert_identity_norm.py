"""Steps that change no number, before an addition: they keep ONNX Runtime's CPU kernels what they are without taps.

It adds and rectifies inside the branch's last convolution, unless that one's output has another reader, or is changed
before it is added. A batch norm that changes nothing becomes a depthwise convolution there, and takes the addition and
the ReLU in. Figures: benchmarks/README.md.

Where a tensor is quantised, its kernel takes whole numbers only if one DequantizeLinear, and nothing else, reads what
it returns; others round elsewhere. So whatever else reads there, tap or addition, reads behind such a step, in all
graphs.
"""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import additions_to_tap, branch_dtype, branch_shape, constant, replace_operand


class UntieBranches(ir.passes.InPlacePass):
    """Puts a batch norm that changes nothing between every branch and its addition.

    Requires: what AddBlockStatistics requires, whose work it should follow.
    Ensures: the outputs are what they were.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        for index, addition in enumerate(additions_to_tap(model.graph)):
            _untie(model.graph, addition, addition.branch, f"untie/{index}")
        return ir.passes.PassResult(model, True)


class UntieQuantised(ir.passes.InPlacePass):
    """Puts a batch norm that changes nothing between every addition and what is dequantised for it.

    Requires: what AddBlockStatistics requires, whose work it should precede.
    Ensures: the outputs are what they were.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        modified = False
        for index, addition in enumerate(additions_to_tap(model.graph)):
            for label, value in (("branch", addition.branch), ("shortcut", addition.shortcut)):
                node = value.producer()
                if node is not None and node.op_type in QUANTISING:
                    _untie(model.graph, addition, value, f"untie/{index}/{label}")
                    modified = True
        return ir.passes.PassResult(model, modified)


def _untie(graph: ir.Graph, addition: ResidualAddition, operand: ir.Value, name: str) -> None:
    (channels, _, _), dtype = branch_shape(addition), branch_dtype(addition).numpy()  # one graph may have several
    ones = constant(graph, f"untie/ones{channels}/{dtype}", np.ones(channels, dtype))
    zeros = constant(graph, f"untie/zeros{channels}/{dtype}", np.zeros(channels, dtype))
    node = ir.node("BatchNormalization", [operand, ones, zeros, zeros, ones], {"epsilon": 0.0}, name=name)
    node.outputs[0].name = name
    graph.insert_before(addition.node, node)
    replace_operand(addition, operand, node.outputs[0])
