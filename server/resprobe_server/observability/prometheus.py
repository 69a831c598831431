"""Prometheus metrics of a server: made from the counters at each scrape, so they cost nothing until then."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from resprobe_server.errors import NotReady
from resprobe_server.models.registry import Models
from resprobe_server.models.sampling import ratios
from resprobe_server.models.version import Version
from resprobe_server.observability import drift, loads
from resprobe_server.observability.candidates import metrics as candidate_metrics
from resprobe_server.rpc.status_counts import BOUNDS, Calls, Example
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.graph_stats import SECONDS
from resprobe_server.shadowing.candidates import Candidates

GRAPH = "model", "version", "graph"
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerCollector(Collector):
    """Reads the counters of a server at each scrape."""

    def __init__(self, models: Models, calls: Calls, candidates: Candidates) -> None:
        """Creates the collector of a server's models, calls and candidates."""
        self._models, self._calls, self._candidates = models, calls, candidates

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics."""
        try:
            versions = [version for version in self._models.table.all() if version.is_loaded]
        except NotReady:
            versions = []
        yield self._requests()
        yield self._latencies()
        yield from loads.metrics(self._models)
        yield _info(versions)
        graphs = [
            ((version.description.name, str(version.number), graph), batcher)
            for version in versions
            for graph, batcher in version.graphs().items()
        ]
        yield from _counts(graphs)
        yield from _histograms(graphs)
        yield _ratios(versions)
        yield _depths(versions)
        yield _exits(versions)
        yield from drift.metrics(versions)
        yield from candidate_metrics(self._candidates)

    def _requests(self) -> Metric:
        metric = CounterMetricFamily("resprobe_requests", "Requests answered.", labels=["method", "code"])
        for labels, count in sorted(self._calls.counts.items()):
            metric.add_metric(labels, count)
        return metric

    def _latencies(self) -> Metric:
        metric = HistogramMetricFamily(
            "resprobe_request_seconds",
            "Seconds from the arrival of a request to its response, of requests that were answered with OK.",
            labels=["method", "model"],
        )
        for labels, latency in sorted(self._calls.latencies.copy().items()):
            examples = latency.examples.copy()
            buckets = [
                (*pair, _exemplar(examples[place])) if place in examples else pair
                for place, pair in enumerate(_buckets(BOUNDS, latency.counts.copy()))
            ]
            metric.add_metric(labels, buckets, latency.sum)
        return metric


def _info(versions: Sequence[Version]) -> Metric:
    labels = ["model", "version", "provider", "default", "precision"]
    metric = GaugeMetricFamily("resprobe_model_info", "1 for each model version that is served.", labels=labels)
    for version in versions:
        model = version.description
        default = "true" if model.serving.is_default else "false"
        metric.add_metric([model.name, model.version, model.serving.provider, default, model.precision], 1)
    return metric


Graphs = Sequence[tuple[tuple[str, str, str], Batcher]]


def _counts(graphs: Graphs) -> Iterator[Metric]:
    images = CounterMetricFamily("resprobe_images", "Images in batches that ran.", labels=GRAPH)
    pending = GaugeMetricFamily("resprobe_pending_images", "Images accepted and not yet answered.", labels=GRAPH)
    outcomes = CounterMetricFamily(
        "resprobe_graph_requests",
        "Requests for a graph by outcome: served, failed, or dropped before they ran (refused, cancelled, expired).",
        labels=[*GRAPH, "outcome"],
    )
    for labels, batcher in graphs:
        counters = batcher.counters
        images.add_metric(labels, counters.images)
        pending.add_metric(labels, batcher.pending)
        for outcome in ("served", "failed", "refused", "cancelled", "expired"):
            outcomes.add_metric([*labels, outcome], getattr(counters, outcome))
    yield from (images, pending, outcomes)


def _histograms(graphs: Graphs) -> Iterator[Metric]:
    queue = HistogramMetricFamily(
        "resprobe_queue_seconds", "Seconds that a request waited before its first batch started.", labels=GRAPH
    )
    inference = HistogramMetricFamily(
        "resprobe_inference_seconds", "Seconds that a batch ran on the device.", labels=GRAPH
    )
    size = HistogramMetricFamily("resprobe_batch_size", "Images in a batch.", labels=GRAPH)
    for labels, batcher in graphs:
        counters = batcher.counters
        queue.add_metric(labels, _buckets(SECONDS, counters.queue.counts), counters.queue.sum)
        inference.add_metric(labels, _buckets(SECONDS, counters.inference.counts), counters.inference.sum)
        sizes, bounds = list(counters.sizes), (0, *SIZES)
        counts = [sum(sizes[low + 1 : high + 1]) for low, high in zip(bounds, SIZES, strict=False)]
        counts.append(sum(sizes[SIZES[-1] + 1 :]))
        size.add_metric(labels, _buckets(SIZES, counts), counters.images)
    yield from (queue, inference, size)


def _ratios(versions: Sequence[Version]) -> Metric:
    metric = HistogramMetricFamily(
        "resprobe_block_ratio",
        "Ratio of the norms of a block's branch and shortcut, ‖F(x)‖/‖s(x)‖, of a sample of the images.",
        labels=["model", "version", "block"],
    )
    for version in versions:
        if (found := version.sampled.ratios) is not None:
            model = version.description
            for block, counts, total in zip(model.blocks, found.counts.tolist(), found.sums.tolist(), strict=True):
                metric.add_metric([model.name, model.version, block.name], _buckets(ratios.BOUNDS, counts), total)
    return metric


def _depths(versions: Sequence[Version]) -> Metric:
    metric = HistogramMetricFamily(
        "resprobe_prediction_depth",
        "Place of the first block, from 0, from which on every readout gives the final answer, of a sample of images.",
        labels=["model", "version"],
    )
    for version in versions:
        if (found := version.sampled.depths) is not None:
            buckets = _buckets(found.bounds, found.counts.tolist())
            metric.add_metric([version.description.name, version.description.version], buckets, found.sum)
    return metric


def _exits(versions: Sequence[Version]) -> Metric:
    metric = CounterMetricFamily(
        "resprobe_exits",
        "Images that left the net after a block, of requests with a threshold for early exit.",
        labels=["model", "version", "block"],
    )
    for version in versions:
        if (cascade := version.cascade) is not None:
            model = version.description
            for part, count in zip(model.exits.parts, cascade.counts, strict=True):
                metric.add_metric([model.name, model.version, part.block], count)
    return metric


def _exemplar(example: Example) -> Exemplar:
    return Exemplar({"trace_id": example.trace}, example.seconds, example.ended)


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Returns buckets as Prometheus has them: each one also counts the values of those below it."""
    return list(zip([*(f"{float(bound)}" for bound in bounds), "+Inf"], accumulate(counts), strict=True))


def registry(collector: Collector) -> CollectorRegistry:
    """Returns the metrics of a server, with those of its process."""
    made = CollectorRegistry()
    made.register(collector)
    ProcessCollector(registry=made)
    return made
