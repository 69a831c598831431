"""Finds the scores of graphs that return probabilities, since servers make the probabilities.

A Softmax at the end of a graph is left out. Of probabilities that are made in another way, the logarithm is served. In
both cases the softmax of the served scores is what the file returns.
"""

import numpy as np
import numpy.typing as npt
import onnx

from resprobe_exporter.graph.passes.take_logarithm import PREFIX, SMALLEST

# Operators that change no number, and may follow a Softmax.
AFTER = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
ROUNDING = 1e-3  # of a row's sum
COARSE = 2e-2  # in half precision

Array = npt.NDArray[np.generic]


def add_scores(model: onnx.ModelProto) -> str | None:
    """Adds the input of a Softmax at the end of a graph to the outputs.

    Args:
        model: Model with one output; operators of AFTER may follow the Softmax.

    Returns:
        The name of the new output, which has the shape of the other. If None, there is no Softmax at the end.
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
    """Returns whether all rows [n, classes] are non-negative and sum to 1."""
    numbers = rows.astype(np.float64)
    rounding = COARSE if rows.dtype.itemsize < 4 else ROUNDING
    return bool((numbers >= 0).all() and (np.abs(numbers.sum(axis=1) - 1) <= rounding).all())


def softmax(rows: Array) -> npt.NDArray[np.float64]:
    """Returns the probabilities that the server makes of scores [n, classes]."""
    numbers = rows.astype(np.float64)
    powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def give(scores: Array, probabilities: Array) -> bool:
    """Returns whether these probabilities are the softmax of these scores."""
    rounding = COARSE if min(scores.dtype.itemsize, probabilities.dtype.itemsize) < 4 else ROUNDING
    return bool(np.allclose(softmax(scores), probabilities.astype(np.float64), rtol=rounding, atol=rounding / 100))


def logarithm(rows: Array) -> npt.NDArray[np.float32]:
    """Returns what a graph after TakeLogarithm returns for probabilities."""
    return np.log(np.maximum(rows.astype(np.float32), np.float32(SMALLEST)))
