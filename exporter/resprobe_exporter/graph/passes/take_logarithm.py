"""Lets a graph that returns probabilities return their logarithms, from which servers make the same probabilities."""

import numpy as np
import onnx_ir as ir

PREFIX = "resprobe/"  # of the names of added tensors, which no imported file has
SMALLEST = float(np.finfo(np.float32).tiny)


class TakeLogarithm(ir.passes.InPlacePass):
    """Makes the graph return the logarithm of its probabilities, float32; for 0 that of the smallest normal float32.

    Requires: one output of a floating type.
    Ensures: the softmax of the output is what the graph returned.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        (probabilities,) = graph.outputs
        tape = ir.tape.Tape(graph)
        least = tape.initializer(ir.tensor(np.array(SMALLEST, np.float32), name=f"{PREFIX}tiny"))
        floats = tape.op("Cast", [probabilities], {"to": ir.DataType.FLOAT})
        scores = tape.op("Log", [tape.op("Max", [floats, least])])
        scores.name, scores.shape, scores.dtype = f"{PREFIX}scores", probabilities.shape, ir.DataType.FLOAT
        graph.outputs[0] = scores
        return ir.passes.PassResult(model, True)
