"""Samples the ratio ‖F(x)‖ / ‖s(x)‖ of every block from a share of the images that are served, into histograms.

Batches that run the probe graph anyway are sampled for free. Of the lean graph's batches, now and then one image is run
on the probe graph as well when the device is idle; under full load that may be never.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import structlog
from resprobe_protos.contract import BRANCH_L2, SHORTCUT_L2

from resprobe_server.execution.graph import Arrays, Graph
from resprobe_server.models.sampling.drift import Window

# Upper bounds of the buckets: four a decade.
BOUNDS = (0.01, 0.018, 0.032, 0.056, 0.1, 0.18, 0.32, 0.56, 1.0, 1.8, 3.2, 5.6, 10.0)
log = structlog.get_logger()


class Ratios:
    """Histograms of the ratios of a model version with L blocks.

    A ratio that is nan (branch and shortcut are zero) is left out; one that is infinite (the shortcut alone is zero)
    counts in the last bucket and not in the sum.

    Attributes:
        counts: Number of images in each bucket, int64 [L, buckets]; the last bucket counts those over all bounds.
        sums: Sums of the finite ratios, float64 [L].
        window: Ratios of the last images.
    """

    def __init__(self, statistics: Sequence[str], blocks: int) -> None:
        """Creates empty histograms.

        Args:
            statistics: Names of the statistics along the last axis of the graph's output.
            blocks: Number of blocks.
        """
        self._branch, self._shortcut = statistics.index(BRANCH_L2), statistics.index(SHORTCUT_L2)
        self.counts = np.zeros((blocks, len(BOUNDS) + 1), np.int64)
        self.sums = np.zeros(blocks)
        self.window = Window(blocks)

    def add(self, blocks: npt.NDArray[np.generic]) -> None:
        """Adds images, given the graph's block statistics of them, float [n, L, S]."""
        branch, shortcut = (blocks[:, :, at].astype(np.float64) for at in (self._branch, self._shortcut))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = branch / shortcut
        row, block = np.nonzero(~np.isnan(ratio))
        np.add.at(self.counts, (block, np.searchsorted(BOUNDS, ratio[row, block])), 1)
        self.sums += np.where(np.isfinite(ratio), ratio, 0).sum(axis=0)
        self.window.add(ratio)


class Share:
    """Selects a share of events, evenly, and never more than the share."""

    def __init__(self, share: float) -> None:
        """Begins without credit; `share` is in [0, 1]."""
        self._share, self._credit = share, 0.0

    def selects(self, count: int) -> bool:
        """Returns whether to select one of `count` events that happen together."""
        self._credit = min(self._credit + self._share * count, 1.0)
        if self._credit < 1:
            return False
        self._credit = 0.0
        return True


class Sampler:
    """Samples the ratios of a model version. Its methods are called on the device's thread."""

    def __init__(
        self, ratios: Ratios, probe: Graph, output: str, share: float, when_idle: Callable[[Callable[[], None]], None]
    ) -> None:
        """Creates a sampler.

        Args:
            ratios: Histograms to add to.
            probe: Graph that returns block statistics.
            output: Name of its output with the block statistics.
            share: Share of the probe's batches and of the lean graph's images to sample, in [0, 1].
            when_idle: Runs a job when the device is idle, which may be never.
        """
        self._ratios, self._probe, self._output, self._when_idle = ratios, probe, output, when_idle
        self._batches, self._images = Share(share), Share(share)
        self._waiting = False

    def after_probe(self, _: Arrays, outputs: Arrays) -> None:
        """Samples a batch of the probe graph."""
        if self._batches.selects(1):
            self._ratios.add(outputs[self._output])

    def after_lean(self, inputs: Arrays, _: Arrays) -> None:
        """Samples a batch of the lean graph: one of its images may be analysed later."""
        images = next(iter(inputs.values()))
        if self._waiting or not self._images.selects(len(images)):
            return
        row = random.randrange(len(images))
        self._waiting = True
        self._when_idle(partial(self._analyse, {name: array[row : row + 1].copy() for name, array in inputs.items()}))

    def _analyse(self, image: Arrays) -> None:
        try:
            self._ratios.add(self._probe.run(image)[self._output])
        except Exception as error:  # no request waits for it, and the device's thread must live on
            log.error("an image could not be sampled", exc_info=error)
        self._waiting = False


class Watched:
    """Graph that reports the inputs and outputs of every batch."""

    def __init__(self, graph: Graph, report: Callable[[Arrays, Arrays], None]) -> None:
        """Wraps a graph; `report` is called with the inputs and outputs of each batch."""
        self._graph, self._report = graph, report

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""
        outputs = self._graph.run(inputs)
        self._report(inputs, outputs)
        return outputs
