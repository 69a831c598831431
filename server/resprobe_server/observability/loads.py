"""Metrics of loads, and of the models in memory."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from resprobe_server.models.registry import Models

MODEL = ("model",)


def metrics(models: Models) -> Iterator[Metric]:
    """Yields the metrics of a server's models."""
    text = "Versions that were loaded, that failed to, or that are incompatible with those served; the log says why."
    loads = CounterMetricFamily("resprobe_loads", text, labels=["model", "outcome"])
    seconds = CounterMetricFamily("resprobe_load_seconds", "Seconds to load versions, with their tests.", labels=MODEL)
    left = CounterMetricFamily("resprobe_evictions", "Times that a model was unloaded to make room.", labels=MODEL)
    counts, residents = models.counts, models.on_demand.residents
    for outcome, found in (
        ("loaded", counts.loaded),
        ("failed", counts.failed),
        ("incompatible", counts.incompatible),
    ):
        for model, count in sorted(found.copy().items()):
            loads.add_metric([model, outcome], count)
    for model, total in sorted(counts.seconds.copy().items()):
        seconds.add_metric([model], total)
    for model, count in sorted(counts.evicted.copy().items()):
        left.add_metric([model], count)
    names = models.table.names()
    memory = GaugeMetricFamily("resprobe_model_bytes", "Bytes that the process grew by for a model.", labels=MODEL)
    loaded = GaugeMetricFamily("resprobe_model_in_memory", "1 if a model is in memory; else 0.", labels=MODEL)
    for model in names:
        memory.add_metric([model], residents.size(model))
        loaded.add_metric([model], models.table.is_loaded(model))
    yield from (loads, seconds, left, memory, loaded)
