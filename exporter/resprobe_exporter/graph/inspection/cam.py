"""Adds class activation maps (Zhou et al. 2016, arXiv 1512.04150) of nets that end in a mean and a linear layer."""

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import CAM

from resprobe_exporter.graph.inspection.head import logits_of, pooled
from resprobe_exporter.graph.inspection.norms import add_output
from resprobe_exporter.graph.inspection.trunk import as_float
from resprobe_exporter.graph.utils import constant


class AddActivationMaps(ir.passes.InPlacePass):
    """Adds the output `cam`, float32 [n, classes, height, width]: what each position adds to the score of each class.

    With A the value whose means the last layer reads, and w its weights, a class k has Σ_c w[k, c] · A[c] at each
    position. The mean over positions, and the bias, is the score.

    Requires: a graph with logits, and known sizes.
    Ensures: the other outputs are unchanged. If the net does not end in a mean and a linear layer, or A has other
    positions than the last block, nothing is added.
    """

    def __init__(self, height: int, width: int) -> None:
        """Creates the pass; height and width are those of the last block."""
        self._size = [height, width]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        found, logits = pooled(graph), logits_of(graph)
        shape = None if found is None else found.features.shape
        if found is None or shape is None or list(shape)[2:] != self._size or logits is None or logits.shape is None:
            return ir.passes.PassResult(model, False)
        classes, channels = logits.shape[1], shape[1]
        tape = ir.tape.Tape(graph)
        weights = as_float(tape, found.weights)
        if not found.transposed:
            weights = tape.op("Transpose", [weights], {"perm": [1, 0]})
        flat = constant(graph, f"{CAM}/flat", np.array([-1, channels, int(np.prod(self._size))]))
        features = tape.op("Reshape", [as_float(tape, found.features), flat])
        whole = constant(graph, f"{CAM}/whole", np.array([-1, classes, *self._size]))
        maps = tape.op("Reshape", [tape.op("MatMul", [weights, features]), whole])
        add_output(graph, maps, CAM, ir.Shape([logits.shape[0], classes, *self._size]))
        return ir.passes.PassResult(model, True)
