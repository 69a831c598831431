"""A net that is cut into parts: rows that are decided leave it after a part, and the others run on together.

Early exit as in BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686) with the confidence of Kaya et al. 2019
(arXiv 1810.07052): the probability of the best class.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import EXIT_BLOCK, EXIT_THRESHOLD, IMAGE, LOGITS, NEXT_STATE, STATE

from resprobe_server.execution.graph import Arrays, Graph


class Cascade:
    """Graph of all parts, run on the device's thread.

    Attributes:
        counts: Number of rows that left after each part.
    """

    def __init__(self, parts: Sequence[Graph], blocks: Sequence[int]) -> None:
        """Joins parts.

        Args:
            parts: Parts, from input to output.
            blocks: Place of the block that each part ends with.
        """
        self.counts = [0] * len(parts)
        self._parts, self._blocks = parts, blocks

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Args:
            inputs: IMAGE [n, …], and EXIT_THRESHOLD, float32 [n]: a row leaves after the first part whose confidence is
                over it.

        Returns:
            LOGITS [n, classes], and EXIT_BLOCK, int64 [n]. A confidence that is not a number is over no threshold.
        """
        thresholds, name, values = inputs[EXIT_THRESHOLD].astype(np.float64), IMAGE, inputs[IMAGE]
        rows, exits = np.arange(len(thresholds)), np.zeros(len(thresholds), np.int64)
        logits, last = np.zeros((len(rows), 0), np.float32), len(self._parts) - 1
        for place, (part, block) in enumerate(zip(self._parts, self._blocks, strict=True)):
            outputs = part.run({name: values})
            scores = outputs[LOGITS]
            if not place:
                logits = np.empty((len(rows), *scores.shape[1:]), scores.dtype)
            logits[rows], exits[rows] = scores, block
            stays = ~(confidence(scores) > thresholds[rows]) if place < last else np.zeros(len(rows), bool)
            self.counts[place] += len(rows) - int(stays.sum())
            rows = rows[stays]
            if not len(rows):
                break
            name, values = STATE, outputs[NEXT_STATE][stays]
        return {LOGITS: logits, EXIT_BLOCK: exits}


def confidence(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the probability of the best class of each row, [n], given scores before the softmax, [n, classes]."""
    values = scores.astype(np.float64)
    best: npt.NDArray[np.float64] = 1 / np.exp(values - values.max(axis=1, keepdims=True)).sum(axis=1)
    return best
