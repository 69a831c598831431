"""Scores, of which the server makes probabilities, from graphs that make probabilities themselves.

A Softmax at the end of a graph is left out. Where probabilities come in another way, their logarithm is taken: either
way the softmax of what is served is what the file returns.
"""

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

# What changes no number, and may follow a Softmax.
AFTER = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
PREFIX = "resprobe/"  # of names that no file has
TINY = float(np.finfo(np.float32).tiny)
ROUNDING = 1e-3  # of a row's sum; half precision is coarser
COARSE = 2e-2

Array = npt.NDArray[np.generic]


def add_scores(model: onnx.ModelProto) -> str | None:
    """Makes a graph return, besides what it returns, what its last Softmax is given.

    Args:
        model: With one output; a Softmax before it may be followed by operators of AFTER.

    Returns:
        The name of the new output, of the same shape. If None, there is no Softmax at the end.
    """
    (output,) = model.graph.output
    makers = {name: node for node in model.graph.node for name in node.output}
    tail, name = [], output.name
    while (node := makers.get(name)) is not None and node.op_type in AFTER and not node.domain:
        tail.append(node)
        name = node.input[0]
    if node is None or node.op_type != "Softmax" or node.domain:
        return None
    name = node.input[0]
    for number, following in enumerate(reversed(tail)):
        copied = model.graph.node.add()
        copied.CopyFrom(following)
        copied.name = ""
        copied.input[0] = name
        name = f"{PREFIX}{number}"
        copied.output[:] = [name]
    scores = model.graph.output.add()
    scores.CopyFrom(output)
    scores.name = name
    return name


def are_probabilities(rows: Array) -> bool:
    """Whether all rows [n, classes] are non-negative and sum to 1."""
    numbers = rows.astype(np.float64)
    rounding = COARSE if rows.dtype.itemsize < 4 else ROUNDING
    return bool((numbers >= 0).all() and (np.abs(numbers.sum(axis=1) - 1) <= rounding).all())


def softmax(rows: Array) -> npt.NDArray[np.float64]:
    """Probabilities as the server makes them of scores [n, classes]."""
    numbers = rows.astype(np.float64)
    powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def give(scores: Array, probabilities: Array) -> bool:
    """Whether the softmax of these scores is these probabilities."""
    rounding = COARSE if min(scores.dtype.itemsize, probabilities.dtype.itemsize) < 4 else ROUNDING
    return bool(np.allclose(softmax(scores), probabilities.astype(np.float64), rtol=rounding, atol=rounding / 100))


def logarithm(rows: Array) -> npt.NDArray[np.float32]:
    """What TakeLogarithm's graph returns for probabilities."""
    return np.log(np.maximum(rows.astype(np.float32), np.float32(TINY)))


class TakeLogarithm(ir.passes.InPlacePass):
    """Makes the graph return the logarithm of its probabilities, float32, and that of the smallest float32 for 0.

    Requires: one output of a floating type.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        (probabilities,) = graph.outputs
        tape = ir.tape.Tape(graph)
        least = tape.initializer(ir.tensor(np.array(TINY, np.float32), name=f"{PREFIX}tiny"))
        floats = tape.op("Cast", [probabilities], {"to": ir.DataType.FLOAT})
        scores = tape.op("Log", [tape.op("Max", [floats, least])])
        scores.name, scores.shape, scores.dtype = f"{PREFIX}scores", probabilities.shape, ir.DataType.FLOAT
        graph.outputs[0] = scores
        return ir.passes.PassResult(model, True)
