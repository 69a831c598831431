"""Metrics of drift: computed at each scrape from the last images that were sampled."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from resprobe_server.models.version import Version

VERSION = "model", "version"


def metrics(versions: Sequence[Version]) -> Iterator[Metric]:
    """Yields the drift of the versions whose window is full and that have a baseline."""
    distance = GaugeMetricFamily(
        "resprobe_drift",
        "Kolmogorov and Smirnov's distance of a block's ratio, of the last 500 sampled images from the baseline.",
        labels=[*VERSION, "block"],
    )
    limit = GaugeMetricFamily(
        "resprobe_drift_limit", "Distance from which chance is ruled out as its reason.", labels=VERSION
    )
    alarm = GaugeMetricFamily(
        "resprobe_drift_alarm", "1 if the distance of any block is at least the limit.", labels=VERSION
    )
    for version in versions:
        model = version.description
        found = None if version.sampled.ratios is None else version.sampled.ratios.window.drift(model)
        if found is not None:
            labels = [model.name, model.version]
            for block, value in zip(found.blocks, found.distances, strict=True):
                distance.add_metric([*labels, block], value)
            limit.add_metric(labels, found.limit)
            alarm.add_metric(labels, float(found.alarm))
    yield from (distance, limit, alarm)
