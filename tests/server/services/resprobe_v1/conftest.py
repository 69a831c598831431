"""A channel and a stub to the server that all tests share."""

from collections.abc import Iterator

import grpc
import pytest
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> ResidualServiceStub:
    return ResidualServiceStub(channel)
