"""Requests are sent again while a server is unavailable for a moment, and never when it refused them."""

from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from resprobe_protos import resprobe_pb2 as pb

from tests.support.clients import Connect, Scripted, scripted

IMAGE = np.zeros((8, 8, 1), np.uint8)


class Failing(Scripted):
    """Fails with a status before it answers.

    Attributes:
        failures: How many requests fail yet.
        seen: Requests that arrived.
    """

    def __init__(self, failures: int, code: grpc.StatusCode) -> None:
        self.failures, self.code, self.seen = failures, code, 0

    def Classify(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        self._fail(context)
        response = pb.ClassifyResponse(model="net", version="1")
        response.results.add().classes.add(label="cat", probability=1)
        return response

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        self._fail(context)
        return pb.ListModelsResponse(models=[pb.Model(name="net")])

    def _fail(self, context: grpc.ServicerContext) -> None:
        self.seen += 1
        if self.failures:
            self.failures -= 1
            context.abort(self.code, "for a moment")


@pytest.mark.parametrize("ask", ["classify", "stream", "models"])
def test_an_unavailable_server_is_asked_again(connect: Connect, ask: str) -> None:
    failing = Failing(3, grpc.StatusCode.UNAVAILABLE)
    with scripted(failing) as address, connect(address) as client:
        calls: dict[str, Any] = {
            "classify": lambda: client.classify(IMAGE),
            "stream": lambda: next(client.stream([IMAGE])),
            "models": client.models,
        }
        assert len(calls[ask]()) == 1
    assert failing.seen == 4


def test_a_server_that_stays_unavailable_is_given_up(connect: Connect) -> None:
    failing = Failing(100, grpc.StatusCode.UNAVAILABLE)
    with (
        scripted(failing) as address,
        connect(address) as client,
        pytest.raises(resprobe.ServerUnavailable, match=f"no response from {address}: for a moment"),
    ):
        client.classify(IMAGE)
    assert failing.seen == 4


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]
)
def test_a_refused_request_is_not_sent_again(code: grpc.StatusCode) -> None:
    failing = Failing(1, code)
    with scripted(failing) as address, resprobe.Client(address) as client, pytest.raises(resprobe.Error):
        client.classify(IMAGE)
    assert failing.seen == 1
