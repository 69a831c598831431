"""Histograms of the ratio ‖F(x)‖ / ‖s(x)‖ of every block, from a share of the images that are served.

Batches that ran the probe graph anyway give theirs for nothing. For the others, now and then, one image is put through
the probe graph as well, when the device has nothing else to do; under full load that is never.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import structlog
from resprobe_protos.contract import BRANCH_L2, SHORTCUT_L2

from resprobe_server.execution.session import Arrays, Graph

# Upper bounds of the buckets: four a decade.
BOUNDS = (0.01, 0.018, 0.032, 0.056, 0.1, 0.18, 0.32, 0.56, 1.0, 1.8, 3.2, 5.6, 10.0)
log = structlog.get_logger()


class Ratios:
    """Histograms of the L blocks of a model version.

    A ratio that is nan (branch and shortcut are zero) is left out; one that is infinite (the shortcut alone is zero)
    counts in the last bucket and not in the sum.

    Attributes:
        counts: int64 [L, buckets]: images by the bucket of their ratio; the last is of those over all bounds.
        sums: float64 [L], of the finite ratios.
    """

    def __init__(self, statistics: Sequence[str], blocks: int) -> None:
        """Makes it empty.

        Args:
            statistics: Names along the last axis of what the graph returns.
            blocks: L.
        """
        self._branch, self._shortcut = statistics.index(BRANCH_L2), statistics.index(SHORTCUT_L2)
        self.counts = np.zeros((blocks, len(BOUNDS) + 1), np.int64)
        self.sums = np.zeros(blocks)

    def add(self, blocks: npt.NDArray[np.generic]) -> None:
        """Adds images: what the graph returns for them, float [n, L, S]."""
        branch, shortcut = (blocks[:, :, at].astype(np.float64) for at in (self._branch, self._shortcut))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = branch / shortcut
        row, block = np.nonzero(~np.isnan(ratio))
        np.add.at(self.counts, (block, np.searchsorted(BOUNDS, ratio[row, block])), 1)
        self.sums += np.where(np.isfinite(ratio), ratio, 0).sum(axis=0)


class Share:
    """Says yes to a share of what comes: evenly, and never to more."""

    def __init__(self, share: float) -> None:
        """Takes the share, in [0, 1]."""
        self._share, self._credit = share, 0.0

    def takes(self, count: int) -> bool:
        """Whether to take one of `count` that come together."""
        self._credit = min(self._credit + self._share * count, 1.0)
        if self._credit < 1:
            return False
        self._credit = 0.0
        return True


class Sampler:
    """Keeps the ratios of a share of what a model version serves. Its methods are called on the device's thread."""

    def __init__(
        self, ratios: Ratios, probe: Graph, output: str, share: float, when_idle: Callable[[Callable[[], None]], None]
    ) -> None:
        """Makes it ready.

        Args:
            ratios: Where they are kept.
            probe: The graph that returns block statistics.
            output: Its output that holds them.
            share: In [0, 1]: of the probe's batches, and of the lean graph's images.
            when_idle: Runs a job when the device has nothing else to do; it may be never.
        """
        self._ratios, self._probe, self._output, self._when_idle = ratios, probe, output, when_idle
        self._batches, self._images = Share(share), Share(share)
        self._waiting = False

    def after_probe(self, _: Arrays, outputs: Arrays) -> None:
        """Looks at a batch of the probe graph."""
        if self._batches.takes(1):
            self._ratios.add(outputs[self._output])

    def after_lean(self, inputs: Arrays, _: Arrays) -> None:
        """Looks at a batch of the lean graph: one of its images may be analysed later."""
        images = next(iter(inputs.values()))
        if self._waiting or not self._images.takes(len(images)):
            return
        row = random.randrange(len(images))
        self._waiting = True
        self._when_idle(partial(self._analyse, {name: array[row : row + 1].copy() for name, array in inputs.items()}))

    def _analyse(self, image: Arrays) -> None:
        try:
            self._ratios.add(self._probe.run(image)[self._output])
        except Exception as error:  # nobody waits for it, and the device's thread must live on
            log.error("an image could not be sampled", exc_info=error)
        self._waiting = False


class Watched:
    """A graph whose every batch is looked at."""

    def __init__(self, graph: Graph, look: Callable[[Arrays, Arrays], None]) -> None:
        """Takes the graph, and what gets the inputs and outputs of its batches."""
        self._graph, self._look = graph, look

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""
        outputs = self._graph.run(inputs)
        self._look(inputs, outputs)
        return outputs
