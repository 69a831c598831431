"""A channel and a stub to the server that all tests share, and the graph that it serves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import onnxruntime
import pytest
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub

from tests.support.open_inference import Array


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def run(repository: Path) -> Callable[[Array], tuple[Array, Array]]:
    """Logits and blocks from the graph itself."""
    session = onnxruntime.InferenceSession(
        repository / "digits" / "2" / "probe.onnx", providers=["CPUExecutionProvider"]
    )

    def direct(images: Array) -> tuple[Array, Array]:
        logits, blocks = session.run(["logits", "blocks"], {"image": images})
        return logits, blocks

    return direct
