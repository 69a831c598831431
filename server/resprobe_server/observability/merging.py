"""Makes one set of metrics of those of several workers.

The multiprocess mode of prometheus_client is not used: it shares the values of its own Counter and Gauge, and the
metrics here are read from the server's counters at each scrape, with exemplars, which it drops.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

FACTOR, IMAGES = "resprobe_shadow_block_factor", "resprobe_shadow_images"
# How the gauges of workers become one; counters and histograms are added up.
GAUGES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "resprobe_model_info": max,
    "resprobe_pending_images": sum,
    "resprobe_model_in_memory": max,
    "resprobe_model_bytes": sum,
    # Each worker has a window of its own: the worst is shown.
    "resprobe_drift": max,
    "resprobe_drift_limit": max,
    "resprobe_drift_alarm": max,
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_open_fds": sum,
    "process_max_fds": min,
    "process_start_time_seconds": min,
}
ADDED = "counter", "histogram"
Key = tuple[str, frozenset[tuple[str, str]]]  # name of a sample, and its labels


def to_text(registry: CollectorRegistry) -> str:
    """Returns metrics in the text format of OpenMetrics, which keeps exemplars."""
    data: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return data.decode()


def merge(texts: Sequence[str], ended: str = "") -> list[Metric]:
    """Makes one set of metrics of several.

    Args:
        texts: Metrics of each worker that runs, in the text format of OpenMetrics; empty if it has given none.
        ended: Counters and histograms of workers that have ended, which are added.
    """
    groups: dict[str, list[tuple[int, Metric]]] = defaultdict(list)
    for place, text in enumerate([*texts, ended]):
        for metric in _parse(text) if text else ():
            groups[metric.name].append((place, metric))
    weights = {place: _images(metric) for place, metric in groups.get(IMAGES, ())}
    return [_merge(name, group, weights) for name, group in groups.items()]


def add_up(ended: str, text: str) -> str:
    """Returns the counters and histograms of workers that have ended, and of one more, as text."""
    metrics = [metric for metric in merge([text], ended) if metric.type in ADDED]
    registry = CollectorRegistry()
    registry.register(_Fixed(metrics))
    return to_text(registry)


def _parse(text: str) -> Iterator[Metric]:
    yield from text_string_to_metric_families(text)  # type: ignore[no-untyped-call]


class _Fixed(Collector):
    """Metrics that do not change."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _merge(name: str, group: Sequence[tuple[int, Metric]], weights: Mapping[int, Mapping[Key, float]]) -> Metric:
    first = group[0][1]
    merged = Metric(name, first.documentation, first.type, first.unit)
    found: dict[Key, list[tuple[int, Sample]]] = defaultdict(list)
    for place, metric in group:
        for sample in metric.samples:
            found[_key(sample)].append((place, sample))
    for samples in found.values():
        likeness, values = samples[0][1], [sample.value for _, sample in samples]
        if name == FACTOR:
            key = _key_of_images(likeness)
            value = _factor(values, [weights.get(place, {}).get(key, 0.0) for place, _ in samples])
        else:
            value = sum(values) if merged.type in ADDED else GAUGES[name](values)
        examples = [sample.exemplar for _, sample in samples if sample.exemplar is not None]
        latest = max(examples, key=lambda one: float(one.timestamp or 0), default=None)
        merged.samples.append(Sample(likeness.name, likeness.labels, value, None, latest))
    return merged


def _key(sample: Sample) -> Key:
    return sample.name, frozenset(sample.labels.items())


def _images(metric: Metric) -> Mapping[Key, float]:
    """Returns the images that both versions ran, by the labels of a candidate."""
    found: dict[Key, float] = defaultdict(float)
    for sample in metric.samples:
        if sample.labels["outcome"] in ("agreed", "changed"):
            found[_key_of_images(sample)] += sample.value
    return found


def _key_of_images(sample: Sample) -> Key:
    return IMAGES, frozenset((name, sample.labels[name]) for name in ("model", "version", "current"))


def _factor(values: Sequence[float], weights: Sequence[float]) -> float:
    """Returns the geometric mean of factors, each of which is the geometric mean over so many images."""
    total = sum(weights)
    if not total:
        return values[0]
    return math.exp(sum(math.log(value) * weight for value, weight in zip(values, weights, strict=True)) / total)
