"""Lets ONNX Runtime's CPU kernels add and rectify in one step although something else reads or changes the branch.

It does both inside the branch's last convolution, unless that one's output has another reader, or is changed before
it is added. A batch norm that changes nothing becomes a depthwise convolution there, and takes the addition and the
ReLU in. Figures: benchmarks/README.md.
"""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.parts import additions_to_tap, branch_dtype, branch_shape, constant, replace_branch


class UntieBranches(ir.passes.InPlacePass):
    """Puts a batch norm that changes nothing between every branch and its addition.

    Requires: what AddBlockStatistics requires, whose work it should follow.
    Ensures: the outputs are what they were.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See the class."""
        graph = model.graph
        for index, addition in enumerate(additions_to_tap(graph)):
            (channels, _, _), dtype = branch_shape(addition), branch_dtype(addition).numpy()
            ones = constant(graph, f"untie/ones{channels}", np.ones(channels, dtype))
            zeros = constant(graph, f"untie/zeros{channels}", np.zeros(channels, dtype))
            inputs = [addition.branch, ones, zeros, zeros, ones]
            node = ir.node("BatchNormalization", inputs, {"epsilon": 0.0}, name=f"untie/{index}")
            graph.insert_before(addition.node, node)
            replace_branch(addition, node.outputs[0])
        return ir.passes.PassResult(model, True)
