"""Metrics of candidates: how they compare with the versions that serve."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from resprobe_server.shadowing.candidates import Candidates

VERSIONS = "model", "version", "current"


def metrics(candidates: Candidates) -> Iterator[Metric]:
    """Yields the metrics of all candidates that are compared."""
    images = CounterMetricFamily(
        "resprobe_shadow_images",
        "Images chosen for a candidate: of the same class as before, of another, failed, or dropped unrun.",
        labels=[*VERSIONS, "outcome"],
    )
    seconds = CounterMetricFamily(
        "resprobe_shadow_seconds",
        "Seconds that the candidate and the current version ran the images that both ran.",
        labels=[*VERSIONS, "of"],
    )
    change = GaugeMetricFamily(
        "resprobe_shadow_block_factor",
        "Geometric mean of the candidate's ratio of a block over that of the current version.",
        labels=[*VERSIONS, "block"],
    )
    for standing in candidates.all():
        if (shadow := standing.shadow) is None:
            continue
        found = shadow.comparison
        labels = [standing.rule.model, str(standing.rule.version), str(standing.current)]
        changed = found.images - found.agreed
        outcomes = {"agreed": found.agreed, "changed": changed, "failed": found.failed, "dropped": found.dropped}
        for outcome, count in outcomes.items():
            images.add_metric([*labels, outcome], count)
        for of, total in zip(("current", "candidate"), found.seconds, strict=True):
            seconds.add_metric([*labels, of], total)
        for block, count, factor in zip(
            found.blocks.names, found.blocks.counts.tolist(), found.blocks.factors()[0].tolist(), strict=True
        ):
            if count:
                change.add_metric([*labels, block], factor)
    yield from (images, seconds, change)
