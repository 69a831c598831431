"""What several workers have counted becomes what one would have counted."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import rollout_pb2 as pb
from resprobe_server.config import Config
from resprobe_server.models.registry import Models
from resprobe_server.models.table import Table
from resprobe_server.observability.merging import FACTOR, GAUGES, add_up, merge, to_text
from resprobe_server.observability.prometheus import ServerCollector
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.worker import Device
from resprobe_server.services import merged
from resprobe_server.shadowing.candidates import Candidates
from resprobe_server.shadowing.comparison import BlockChanges
from resprobe_server.tracer import NullTracer

LABELS = ["digits", "2", "1"]


class Given(Collector):
    """Metrics of a worker."""

    def __init__(self, *metrics: Metric) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self.metrics


def text(*metrics: Metric) -> str:
    registry = CollectorRegistry()
    registry.register(Given(*metrics))
    return to_text(registry)


def counter(value: float, **more: float) -> Metric:
    metric = CounterMetricFamily("resprobe_requests", "Requests.", labels=["method"])
    for method, count in {"Classify": value, **more}.items():
        metric.add_metric([method], count)
    return metric


def histogram(fast: int, slow: int, at: float) -> Metric:
    metric = HistogramMetricFamily("resprobe_request_seconds", "Seconds.", labels=[])
    bucket = ("0.5", fast, Exemplar({"trace_id": f"{at:g}"}, 0.1, at))
    metric.add_metric([], [bucket, ("+Inf", fast + slow)], 0.1 * fast + slow)
    return metric


def shadow(images: int, factor: float) -> list[Metric]:
    seen = CounterMetricFamily("resprobe_shadow_images", "Images.", labels=["model", "version", "current", "outcome"])
    seen.add_metric([*LABELS, "agreed"], images)
    seen.add_metric([*LABELS, "dropped"], 1000)
    change = GaugeMetricFamily(FACTOR, "Factor.", labels=["model", "version", "current", "block"])
    change.add_metric([*LABELS, "one"], factor)
    return [seen, change]


def samples(metrics: Sequence[Metric]) -> dict[tuple[str, ...], Sample]:
    return {(one.name, *one.labels.values()): one for metric in metrics for one in metric.samples}


def test_counters_and_histograms_are_added_up_and_ended_workers_count() -> None:
    texts = [text(counter(3), histogram(1, 2, 10.0)), "", text(counter(4, Infer=5), histogram(3, 1, 20.0))]
    ended = add_up(
        add_up("", text(counter(100), GaugeMetricFamily("resprobe_pending_images", "Waiting.", 7))), texts[0]
    )
    found = samples(merge(texts, ended))
    assert found["resprobe_requests_total", "Classify"].value == 3 + 4 + 103
    assert found["resprobe_requests_total", "Infer"].value == 5
    assert ("resprobe_pending_images",) not in found
    assert found["resprobe_request_seconds_bucket", "+Inf"].value == 10
    first = found["resprobe_request_seconds_bucket", "0.5"]
    assert (first.value, first.exemplar and first.exemplar.labels) == (5, {"trace_id": "20"})
    assert found["resprobe_request_seconds_sum",].value == pytest.approx(0.5 + 5)
    assert samples(merge([text(*merge(texts, ended))])).keys() == found.keys()  # it is a set of metrics again


def test_gauges_are_added_or_the_worst_stands() -> None:
    def both(waiting: float, alarm: float) -> str:
        return text(
            GaugeMetricFamily("resprobe_pending_images", "Waiting.", waiting),
            GaugeMetricFamily("resprobe_drift_alarm", "Alarm.", alarm),
        )

    found = samples(merge([both(3, 0), both(4, 1)]))
    assert (found["resprobe_pending_images",].value, found["resprobe_drift_alarm",].value) == (7, 1)


def test_factors_are_averaged_by_their_images() -> None:
    found = samples(merge([text(*shadow(30, 2.0)), text(*shadow(10, 0.5)), text(counter(1))]))
    assert found[FACTOR, "one", "1", "digits", "2"].value == pytest.approx(
        math.exp((30 * math.log(2) + 10 * math.log(0.5)) / 40)
    )


def test_it_is_known_how_every_gauge_becomes_one() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    async def show(_: str, __: bool) -> None:
        pass

    device, table = Device(NullTracer(), Budget()), Table()
    standing = Candidates(table, device.when_idle, [])
    collector = ServerCollector(Models(Config(), device, show), Calls(), standing)
    metrics = [*collector.collect(), *registry.collect()]
    assert {one.name for one in metrics if one.type == "gauge"} == {*GAUGES, FACTOR}


def test_comparisons_become_the_one_with_all_images() -> None:
    generator = np.random.default_rng(0)
    changes = [BlockChanges(["one", "two"]) for _ in range(4)]
    whole = BlockChanges(["one", "two"])
    for part, count in zip(changes, (0, 1, 5, 40), strict=True):
        for _ in range(count):
            pair = generator.uniform(0.1, 2, (2, 2))
            part.add(*pair)
            whole.add(*pair)
    responses = [response(part, count) for part, count in zip(changes, (0, 1, 5, 40), strict=True)]
    found = merged.shadow(responses).shadow
    assert (found.image_count, found.agreement_count, found.failure) == (46, 46, "it failed")
    assert found.seconds == pytest.approx((1 * 1 + 5 * 5 + 40 * 40) / 46)
    assert [(one.current_label, one.image_count) for one in found.changes] == [("a", 46)]
    np.testing.assert_allclose([one.factor for one in found.blocks], whole.factors()[0], rtol=1e-12)
    np.testing.assert_allclose([one.factor_upper for one in found.blocks], whole.factors()[2], rtol=1e-12)
    np.testing.assert_allclose([one.factor_lower for one in found.blocks], whole.factors()[1], rtol=1e-12)
    np.testing.assert_allclose([[one.current_ratio, one.ratio] for one in found.blocks], whole.ratios().T, rtol=1e-12)


def response(changes: BlockChanges, count: int) -> pb.GetShadowResponse:
    made = pb.Shadow(model="digits", version="2", image_count=count, agreement_count=count, seconds=count)
    made.changes.add(current_label="a", label="b", image_count=count)
    made.failure = "it failed" if count == 5 else ""
    ratios, factors = changes.ratios().T, changes.factors().T
    for place, name in enumerate(changes.names):
        made.blocks.add(
            name=name,
            image_count=int(changes.counts[place]),
            current_ratio=ratios[place, 0],
            ratio=ratios[place, 1],
            factor=factors[place, 0],
            factor_lower=factors[place, 1],
            factor_upper=factors[place, 2],
        )
    return pb.GetShadowResponse(shadow=made)


def test_statistics_are_added_up() -> None:
    def counted(images: int, last: int, *sizes: int) -> oip.ModelStatisticsResponse:
        one = oip.ModelStatistics(name="digits", version="1", last_inference=last, inference_count=images)
        one.inference_stats.success.count = images
        for size in sizes:
            one.batch_stats.add(batch_size=size).compute_infer.count = images
        return oip.ModelStatisticsResponse(model_stats=[one])

    (found,) = merged.statistics([counted(3, 50, 1, 4), counted(4, 40, 4)]).model_stats
    assert (found.name, found.version, found.last_inference, found.inference_count) == ("digits", "1", 50, 7)
    assert found.inference_stats.success.count == 7
    assert [(one.batch_size, one.compute_infer.count) for one in found.batch_stats] == [(1, 3), (4, 7)]
