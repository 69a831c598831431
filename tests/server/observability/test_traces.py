"""Traces, as an OTLP collector receives them: one tree for each request, with the batch linked to all of its own."""

import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics import parser as openmetrics
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.calls import png, raw
from tests.support.open_inference import raw_request
from tests.support.servers import Serve, free_address

SERVICE = "resprobe.v1.ResidualService"
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # trace and span, from the W3C's examples
OWN_CALL = "grpc.health.v1.Health/Check"  # which the server makes to itself before it serves
METADATA = (("traceparent", "00-{}-{}-01".format(*CALLER)),)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it receives."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()

    def Export(self, request: Any, context: object) -> object:
        for resource in request.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(attributes["service.name"])
            for scope in resource.scope_spans:
                self.spans += [span for span in scope.spans if span.name != OWN_CALL]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: Span) -> dict[str, Span]:
        return {span.name: span for span in self.spans if span.parent_span_id == parent.span_id}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that listens at the address in the standard variable."""
    collector = Collector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        server.start()
        yield collector
        server.stop(None).wait()


def facts(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_call_is_a_child_of_its_caller_and_has_its_stages(
    start: Serve, repository: Path, collector: Collector, test_images: Any
) -> None:
    with start(repository, traces="otlp", max_batch=2) as address, grpc.insecure_channel(address) as channel:
        request = pb.ClassifyRequest(model="digits", images=[png(image) for image in test_images[:3]])
        ResidualServiceStub(channel).Classify(request, metadata=METADATA)
    assert collector.services == {"resprobe-server"}
    (call,) = collector.named(f"{SERVICE}/Classify")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == CALLER
    assert call.kind == Span.SPAN_KIND_SERVER
    assert facts(call)["rpc.grpc.status_code"] == 0
    stages = collector.children(call)
    assert stages.keys() == {"decode", "queue", "inference"}
    assert all(span.trace_id == call.trace_id for span in stages.values())
    assert call.start_time_unix_nano <= stages["decode"].start_time_unix_nano
    assert stages["queue"].end_time_unix_nano <= stages["inference"].start_time_unix_nano + 1000
    batches = collector.named("batch")
    assert [facts(span) for span in batches] == [
        {"graph": "digits/2/lean", "images": count, "requests": 1} for count in (2, 1)
    ]
    assert {link.span_id for span in batches for link in span.links} == {call.span_id}
    runs = collector.named("inference")
    assert [span.links[0].span_id for span in runs] == [span.span_id for span in batches]
    assert [facts(span)["images"] for span in runs] == [2, 1]


def test_each_request_of_a_stream_has_a_span(
    start: Serve, repository: Path, collector: Collector, test_images: Any
) -> None:
    with start(repository, traces="otlp") as address, grpc.insecure_channel(address) as channel:
        requests = [pb.ClassifyRequest(id=str(at), model="digits", images=raw(test_images[:1])) for at in range(3)]
        assert len(list(ResidualServiceStub(channel).ClassifyStream(iter(requests), metadata=METADATA))) == 3
    (call,) = collector.named(f"{SERVICE}/ClassifyStream")
    assert call.parent_span_id.hex() == CALLER[1]
    spans = collector.named("request")
    assert {facts(span)["id"] for span in spans} == {"0", "1", "2"}
    assert {span.parent_span_id for span in spans} == {call.span_id}
    assert all(collector.children(span).keys() == {"queue", "inference"} for span in spans)
    linked = [link.span_id for span in collector.named("batch") for link in span.links]
    assert sorted(linked) == sorted(span.span_id for span in spans)


def test_what_failed_says_so(start: Serve, repository: Path, collector: Collector) -> None:
    with start(repository, traces="otlp") as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.GetModel(pb.GetModelRequest(name="vgg"))
    (call,) = collector.spans
    assert (call.name, len(call.parent_span_id)) == (f"{SERVICE}/GetModel", 0)
    assert facts(call)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert call.status.code == Status.STATUS_CODE_UNSET  # the caller's error, not the server's


def test_a_caller_that_does_not_sample_leaves_no_trace(
    start: Serve, repository: Path, collector: Collector, test_images: Any
) -> None:
    with start(repository, traces="otlp") as address, grpc.insecure_channel(address) as channel:
        unsampled = (("traceparent", "00-{}-{}-00".format(*CALLER)),)
        request = pb.ClassifyRequest(model="digits", images=raw(test_images[:1]))
        ResidualServiceStub(channel).Classify(request, metadata=unsampled)
    assert collector.spans == []


def test_a_latency_names_the_trace_of_an_example(
    start: Serve, repository: Path, collector: Collector, test_images: Any
) -> None:
    where = free_address()
    with (
        start(repository, traces="otlp", metrics_address=where) as address,
        grpc.insecure_channel(address) as channel,
    ):
        request = pb.ClassifyRequest(model="digits", images=raw(test_images[:1]))
        stub = ResidualServiceStub(channel)
        stub.Classify(request, metadata=METADATA)
        list(stub.ClassifyStream(iter([request]), metadata=METADATA))
        asked = urllib.request.Request(f"http://{where}/metrics", headers={"Accept": "application/openmetrics-text"})
        with urllib.request.urlopen(asked) as answer:
            text = answer.read().decode()
        with urllib.request.urlopen(f"http://{where}/metrics") as answer:
            assert CALLER[0] not in answer.read().decode()  # the older format has no place for it
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    (latencies,) = (family for family in families if family.name == "resprobe_request_seconds")
    shown = [sample for sample in latencies.samples if sample.exemplar and sample.labels["model"] == "digits"]
    assert [sample.labels["method"].split("/")[1] for sample in shown] == ["Classify", "ClassifyStream"]
    for sample in shown:
        assert sample.exemplar is not None
        assert sample.exemplar.labels == {"trace_id": CALLER[0]}
        assert 0 < sample.exemplar.value <= float(sample.labels["le"])


def canonical(response: Any) -> Any:
    """A response without its times and batch size, which differ from run to run."""
    copy = type(response).FromString(response.SerializeToString())
    for field in ("timings", "batch_size"):
        if field in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(field)
    return copy


def answers(address: str, images: Any) -> list[Any]:
    """Answers to one request of each kind, or the status of those that are refused."""
    requests = [
        pb.ClassifyRequest(id="raw", model="digits", images=raw(images)),
        pb.ClassifyRequest(id="mixed", model="digits", images=[png(images[0]), *raw(images[1:])], top_k=2),
        pb.ClassifyRequest(id="blocks", model="digits", images=raw(images), view=pb.VIEW_BLOCKS),
        pb.ClassifyRequest(id="bad", model="digits", images=[pb.Image(encoded=b"hello")]),
        pb.ClassifyRequest(id="unknown", model="vgg", images=raw(images)),
    ]
    classes = {"name": "logits", "parameters": {"classification": {"int64_param": 2}}}
    inferences = [
        raw_request(images),
        raw_request(images, id="blocks", outputs=[{"name": "blocks"}]),
        raw_request(images, id="text", outputs=[classes]),
        raw_request(images, id="wrong", outputs=[{"name": "softmax"}]),
    ]
    found: list[Any] = []
    with grpc.insecure_channel(address) as channel:
        typed, inference = ResidualServiceStub(channel), GRPCInferenceServiceStub(channel)
        calls: list[tuple[Callable[[Any], Any], list[Any]]] = [
            (typed.Classify, requests),
            (inference.ModelInfer, inferences),
        ]
        for call, some in calls:
            for request in some:
                try:
                    found.append(canonical(call(request)))
                except grpc.RpcError as error:
                    assert isinstance(error, grpc.Call)
                    found.append((error.code(), error.details()))
        found += sorted(map(canonical, typed.ClassifyStream(iter(requests))), key=lambda response: response.id)
        found += list(inference.ModelStreamInfer(iter(inferences)))
    return found


def test_traced_requests_get_the_same_answers(
    start: Serve, repository: Path, collector: Collector, test_images: Any
) -> None:
    with start(repository, threads=1) as address:
        plain = answers(address, test_images[:3])
    with start(repository, threads=1, traces="otlp") as address:
        traced = answers(address, test_images[:3])
    assert traced == plain
    assert len(collector.named("request")) == 9
    codes = [facts(span)["rpc.grpc.status_code"] for span in collector.named(f"{SERVICE}/Classify")]
    assert sorted(codes) == [0, 0, 0, grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.NOT_FOUND.value[0]]
