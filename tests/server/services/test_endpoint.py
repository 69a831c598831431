"""A request is looked up, planned and read exactly once, whether it needs a task or not, alone or in a stream."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.models.table import Table
from resprobe_server.services.open_inference import plan as infer
from resprobe_server.services.open_inference.inputs import InputReader
from resprobe_server.services.resprobe_v1 import messages
from resprobe_server.services.resprobe_v1 import plan as classify

from tests.support.calls import png, raw
from tests.support.open_inference import raw_request, tensor
from tests.support.servers import Serve

Images = npt.NDArray[np.uint8]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Numbers of lookups, plans, and reads of images or tensors."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            found[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(Table, "get", counted("lookups", Table.get))
    monkeypatch.setattr(classify, "ClassifyPlan", counted("plans", classify.ClassifyPlan))
    monkeypatch.setattr(classify, "stack", counted("reads", messages.stack))
    monkeypatch.setattr(infer, "InferPlan", counted("plans", infer.InferPlan))
    monkeypatch.setattr(InputReader, "view", counted("reads", InputReader.view))
    return found


@pytest.fixture(params=["off", "otlp"])
def channel(start: Serve, repository: Path, request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    """A channel to a server, with and without traces."""
    with start(repository, traces=request.param) as address, grpc.insecure_channel(address) as opened:
        yield opened


def test_classifications_are_planned_once(channel: grpc.Channel, test_images: Images, counts: Counter[str]) -> None:
    stub = ResidualServiceStub(channel)
    requests = [
        pb.ClassifyRequest(model="digits", images=raw(test_images[:2])),
        pb.ClassifyRequest(model="digits", images=[png(image) for image in test_images[:2]]),
        pb.ClassifyRequest(model="digits", images=raw(np.zeros((1, 5, 5, 1), np.uint8))),
        pb.ClassifyRequest(model="digits", images=[pb.Image(encoded=b"damaged")]),
    ]
    for request in requests[:3]:
        assert len(stub.Classify(request).results) == len(request.images)
    assert len(list(stub.ClassifyStream(iter(requests)))) == len(requests)
    assert counts == dict.fromkeys(("lookups", "plans", "reads"), 3 + len(requests))


def test_inferences_are_planned_once(channel: grpc.Channel, test_images: Images, counts: Counter[str]) -> None:
    stub = GRPCInferenceServiceStub(channel)
    values = test_images[:2].reshape(-1).tolist()
    requests = [
        raw_request(test_images[:2], id="raw"),
        raw_request(test_images[:2].astype(np.float32), id="converted"),
        oip.ModelInferRequest(
            model_name="digits", inputs=[tensor("image", "UINT8", (2, 8, 8, 1), uint_contents=values)]
        ),
    ]
    for request in requests:
        assert list(stub.ModelInfer(request).outputs[0].shape) == [2, 10]
    assert [one.error_message for one in stub.ModelStreamInfer(iter(requests))] == [""] * len(requests)
    assert counts == dict.fromkeys(("lookups", "plans", "reads"), 2 * len(requests))


def test_requests_that_differ_in_their_values_only_share_a_plan(
    start: Serve, repository: Path, test_images: Images, counts: Counter[str]
) -> None:
    with start(repository) as address, grpc.insecure_channel(address) as opened:
        stub = GRPCInferenceServiceStub(opened)
        found = [stub.ModelInfer(raw_request(test_images[at : at + 1])).raw_output_contents[0] for at in range(5)]
    assert len(set(found)) == 5
    assert counts == dict.fromkeys(("lookups", "plans", "reads"), 1)
