"""The oracle of early exit: each part runs on all images, and NumPy chooses the first answer that is sure enough."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

PLACES = (2, 3, 5)  # of the blocks that the parts of the model `cut` end with
Array = npt.NDArray[Any]


def all_scores(version: Path, images: Array) -> Array:
    """Scores at the end of each part, [parts, n, classes], of ONNX Runtime alone."""
    values, found = images, []
    for path in sorted(version.glob("exit.*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True))
        found.append(outputs["logits"])
        values = outputs.get("next_state", values)
    return np.stack(found)


def probabilities(scores: Array) -> Array:
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    found: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return found


def expected(scores: Array, threshold: float) -> tuple[Array, Array]:
    """Part after which each image leaves, and the probabilities that are read there."""
    each = probabilities(scores)
    parts = np.full(scores.shape[1], len(scores) - 1)
    for row in range(scores.shape[1]):
        for part in range(len(scores)):
            if each[part, row].max() > threshold:
                parts[row] = part
                break
    return parts, each[parts, np.arange(len(parts))]


def far_from_confidences(scores: Array, threshold: float) -> float:
    """The nearest number to a threshold that rounding in another batch cannot bring to the other side of a row's."""
    sure = np.sort(np.unique([0.0, *probabilities(scores).max(axis=-1).ravel(), 1.0]))
    middles = (sure[1:] + sure[:-1])[np.diff(sure) > 1e-4] / 2
    return float(middles[np.abs(middles - threshold).argmin()])
