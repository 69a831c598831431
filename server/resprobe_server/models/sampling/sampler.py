"""Selects a share of the images that are served, for what is analysed of them.

Batches of a graph that is analysed anyway are sampled for free. Of the others, now and then one image is run on that
graph as well when the device is idle; under full load that may be never.
"""

import random
import weakref
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from resprobe_server.execution.graph import Arrays, Graph

Report = Callable[[Arrays, Arrays], None]
log = structlog.get_logger()


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
    """Analyses a share of a version's images. Its methods are called on the device's thread."""

    def __init__(
        self, add: Callable[[Arrays], None], graph: Graph, share: float, when_idle: Callable[[Callable[[], None]], None]
    ) -> None:
        """Creates a sampler.

        Args:
            add: Function that is called with the graph's outputs for images that were selected.
            graph: Graph that analyses.
            share: Share of this graph's batches and of the other graphs' images to sample, in [0, 1].
            when_idle: Runs a job when the device is idle, which may be never.
        """
        self._add, self._graph, self._when_idle = add, graph, when_idle
        self._batches, self._images = Share(share), Share(share)
        self._waiting = False

    def after_own(self, _: Arrays, outputs: Arrays) -> None:
        """Samples a batch of the graph that analyses."""
        if self._batches.selects(1):
            self._add(outputs)

    def after_other(self, inputs: Arrays, _: Arrays) -> None:
        """Samples a batch of another graph: one of its images may be analysed later."""
        images = next(iter(inputs.values()))
        if self._waiting or not self._images.selects(len(images)):
            return
        row = random.randrange(len(images))
        self._waiting = True
        image = {name: array[row : row + 1].copy() for name, array in inputs.items()}
        self._when_idle(partial(_analyse, weakref.ref(self), image))

    def analyse(self, image: Arrays) -> None:
        """Analyses one image."""
        try:
            self._add(self._graph.run(image))
        except Exception as error:  # no request waits for it, and the device's thread must live on
            log.error("an image could not be sampled", exc_info=error)
        self._waiting = False


def _analyse(sampler: "weakref.ref[Sampler]", image: Arrays) -> None:
    """Analyses one image, unless the version was freed meanwhile: a job that waits does not keep it in memory."""
    if (found := sampler()) is not None:
        found.analyse(image)


class Watched:
    """Graph that reports the inputs and outputs of every batch."""

    def __init__(self, graph: Graph, reports: Sequence[Report]) -> None:
        """Wraps a graph; each report is called with the inputs and outputs of each batch."""
        self._graph, self._reports = graph, reports

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""
        outputs = self._graph.run(inputs)
        for report in self._reports:
            report(inputs, outputs)
        return outputs
