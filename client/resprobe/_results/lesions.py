"""Accuracy of a net without its blocks: each one, and k random ones (Veit et al. 2016, arXiv 1605.06431, §4)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe._results import html
from resprobe._results.tabular import Column, Tabular

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Lesions(Tabular):
    """Accuracy of a model with L blocks without some of them, on n labelled images.

    A change is the mean over images of the probability of the right class without the blocks, less that of the intact
    net. As a table it has one row for each lesion: the intact net, each block, and each draw of random blocks.

    Attributes:
        model: Name of the model that answered.
        version: Version that answered.
        images: Number n of images.
        blocks: Names of the L blocks, from input to output.
        accuracy: Accuracy of the intact net.
        probability: Mean probability of the right class in the intact net.
        block_accuracy: Accuracy without each block, [L].
        block_change: Change without each block, [L].
        removed: How many blocks were removed at random, [k].
        random_accuracy: Accuracy without that many, for each draw, [k, draws].
        random_change: Change without that many, for each draw, [k, draws].
    """

    model: str
    version: str
    images: int
    blocks: list[str]
    accuracy: float
    probability: float
    block_accuracy: Floats
    block_change: Floats
    removed: npt.NDArray[np.int64]
    random_accuracy: Floats
    random_change: Floats

    def __repr__(self) -> str:
        """Returns one line, with the accuracy intact and without the block that is missed most."""
        worst = ""
        if self.blocks:
            place = int(self.block_accuracy.argmin())
            worst = f", worst={self.block_accuracy[place]:.4f} without {self.blocks[place]}"
        return (
            f"Lesions({self.model!r}, version={self.version!r}, images={self.images}, blocks={len(self.blocks)}, "
            f"accuracy={self.accuracy:.4f}{worst})"
        )

    def _columns(self) -> Mapping[str, Column]:
        draws = self.random_accuracy.shape[1]
        singles, randoms = len(self.blocks), self.random_accuracy.size
        return {
            "block": [None, *self.blocks, *[None] * randoms],
            "removed": np.concatenate([[0], np.ones(singles, np.int64), np.repeat(self.removed, draws)]),
            "accuracy": np.concatenate([[self.accuracy], self.block_accuracy, self.random_accuracy.ravel()]),
            "change": np.concatenate([[0.0], self.block_change, self.random_change.ravel()]),
        }

    def _repr_html_(self) -> str:
        columns: dict[str, Column] = {
            "without": self.blocks,
            "accuracy lost": self.accuracy - self.block_accuracy,
            "accuracy": self.block_accuracy,
            "change of p(right)": self.block_change,
        }
        return html.table(columns, repr(self), bars="accuracy lost", rows=len(self.blocks))
