"""Runs batches on a graph, and gives each request its rows of the outputs.

A batch of several requests that fails is run again in halves, and each half in halves, down to single requests: only
those that fail by themselves get the error.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from resprobe_server.execution.graph import Arrays, Graph
from resprobe_server.execution.outputs import Results
from resprobe_server.scheduling.admission import Rate
from resprobe_server.scheduling.graph_stats import Counters
from resprobe_server.scheduling.request import Answer, Slice, Work
from resprobe_server.tracer import Tracer


class BatchRunner:
    """Runs the batches of one graph, on the device's thread.

    Attributes:
        graph: Graph to run.
        observer: Gets the inputs of each batch after it ran; it must not raise. If None, nothing does.
    """

    def __init__(self, graph: Graph, name: str, rate: Rate, counters: Counters, tracer: Tracer) -> None:
        """Creates a runner.

        Args:
            graph: Graph to run.
            name: Name of the graph in traces.
            rate: Speed of the graph, kept up to date here.
            counters: Counters of the graph; batches are counted there.
            tracer: Records batches and their requests.
        """
        self.graph, self._name = graph, name
        self.observer: Callable[[Arrays], None] | None = None
        self._rate, self._counters, self._tracer = rate, counters, tracer

    def run(self, batch: Sequence[Slice]) -> list[tuple[Work, Answer]]:
        """Runs a batch.

        Returns:
            Requests that are answered by the batch, each with its outcome or the error of its rows.
        """
        begin = time.monotonic()
        rows = sum([part.stop - part.start for part in batch])
        try:
            inputs = _gather(batch)
            gathered = time.monotonic()
            outputs = self.graph.run(inputs)
            for name, array in outputs.items():
                if len(array) != rows:
                    raise RuntimeError(f"a batch of {rows} images came back with {len(array)} rows of {name}")
        except Exception as error:  # the requests get it; the device's thread must live on
            if (half := len(batch) // 2) == 0:
                return self._fail(batch[0], begin, error)
            return self.run(batch[:half]) + self.run(batch[half:])
        ran = time.monotonic()
        self._rate.observe(rows, ran - begin)
        finished = _hand_back(batch, outputs, rows, begin)
        now = time.monotonic()
        self._counters.ran(
            rows,
            (gathered - begin, ran - gathered, now - ran),
            waits=[begin - part.work.arrived for part in batch if not part.start],
            times=[now - work.arrived for work in finished],
        )
        self._tracer.batch(self._name, batch, begin, now)
        if self.observer is not None:
            self.observer(inputs)
        return [(work, work.finish(now)) for work in finished]

    def _fail(self, part: Slice, begin: float, error: Exception) -> list[tuple[Work, Answer]]:
        now = time.monotonic()
        self._counters.broke([now - part.work.arrived])
        self._tracer.batch(self._name, [part], begin, now, error)
        return [(part.work, error)]


def _gather(batch: Sequence[Slice]) -> Arrays:
    """Joins the inputs of a batch; those of a single request are not copied."""
    if len(batch) == 1:
        work, start, stop = batch[0].work, batch[0].start, batch[0].stop
        return work.inputs if stop - start == work.rows else {name: a[start:stop] for name, a in work.inputs.items()}
    names = batch[0].work.inputs
    return {name: np.concatenate([part.work.inputs[name][part.start : part.stop] for part in batch]) for name in names}


def _hand_back(batch: Sequence[Slice], outputs: Arrays, rows: int, begin: float) -> list[Work]:
    """Gives each request its rows of a batch that began at `begin`. Returns the requests that have all of theirs."""
    results, row = Results(outputs), 0
    for part in batch:
        work, count = part.work, part.stop - part.start
        work.started = work.started or begin
        work.largest = max(work.largest, rows)
        work.parts += ((results, row, row + count),)
        row += count
    return [part.work for part in batch if part.stop == part.work.rows]
