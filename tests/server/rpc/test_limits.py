"""Limits of what one client gets: each over a real connection, with its message."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.calls import PIXELS, REQUEST, open_stream
from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)


def test_more_images_than_a_request_may_have(start: Serve, repository: Path) -> None:
    with start(repository, max_images=3) as address, resprobe.Client(address) as client:
        assert len(client.classify([IMAGE] * 3, model="digits")) == 3
        with pytest.raises(resprobe.InvalidRequest, match="the request has 4 images; expected at most 3"):
            client.classify([IMAGE] * 4, model="digits")


def test_a_message_over_the_limit_says_both_sizes(start: Serve, repository: Path) -> None:
    sentence = r"2\.0 MiB; the maximum is 1\.0 MiB; send fewer"
    too_large = pytest.raises(resprobe.RequestTooLarge, match=sentence)
    with start(repository, max_message=1) as address, resprobe.Client(address) as client, too_large:
        client.classify([bytes(1 << 20), bytes(1 << 20)], model="digits")


def test_more_calls_than_may_be_under_way(start: Serve, repository: Path) -> None:
    options = {"max_calls": 1}
    with (
        start(repository, **options) as address,
        resprobe.Client(address) as client,
        grpc.insecure_channel(address) as channel,
    ):
        with open_stream(channel):
            with pytest.raises(resprobe.ServerBusy, match="1 calls are under way, which is the limit") as caught:
                client.classify(IMAGE, model="digits")
            assert caught.value.retry_after > 0
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        assert until_not_busy(client).labels


def until_not_busy(client: resprobe.Client) -> resprobe.Result:
    """The server counts a call until its task has ended, which may be after the client has heard of its end."""
    for _ in range(1000):
        try:
            return client.classify(IMAGE, model="digits")
        except resprobe.ServerBusy:
            continue
    pytest.fail("the place of a call that has ended was not given back")


def test_without_a_limit_of_calls_none_is_refused(start: Serve, repository: Path) -> None:
    with start(repository, max_calls=0) as address, grpc.insecure_channel(address) as channel, open_stream(channel):
        assert len(ResidualServiceStub(channel).Classify(REQUEST).results) == 1


def test_more_calls_than_a_connection_may_have_wait_in_the_client(start: Serve, repository: Path) -> None:
    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
    with start(repository, max_streams=1) as address, grpc.insecure_channel(address, own) as channel:
        stub = ResidualServiceStub(channel)
        with open_stream(channel):
            waiting = stub.Classify.future(REQUEST, timeout=60)
            with grpc.insecure_channel(address, own) as second:  # it was sent later and is answered
                assert len(ResidualServiceStub(second).Classify(REQUEST).results) == 1
            assert not waiting.done()
        assert len(waiting.result().results) == 1


def test_a_client_with_more_calls_than_a_connection_may_have_loses_none(start: Serve, repository: Path) -> None:
    places, answered = threading.Semaphore(64), []
    with start(repository, max_streams=8) as address, grpc.insecure_channel(address) as channel:
        classify = ResidualServiceStub(channel).Classify

        def end(call: Any) -> None:
            answered.append(call.exception())
            places.release()

        for _ in range(1000):
            assert places.acquire(timeout=60)
            classify.future(REQUEST).add_done_callback(end)
        assert all(places.acquire(timeout=60) for _ in range(64))
    assert answered == [None] * 1000


def test_requests_of_a_stream_beyond_its_limit_are_not_begun(start: Serve, repository: Path) -> None:
    long = pb.ClassifyRequest(id="long", model="digits", images=[PIXELS] * 200, view=pb.VIEW_BLOCKS)
    urgent = pb.ClassifyRequest(id="urgent", model="digits", images=[PIXELS])
    with start(repository, max_in_stream=1, max_batch=1) as address, grpc.insecure_channel(address) as channel:
        answers = ResidualServiceStub(channel).ClassifyStream(iter([long, urgent]))
        assert [answer.id for answer in answers] == ["long", "urgent"]  # classification goes first where it can


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty SETTINGS


@pytest.mark.parametrize(
    "options",
    [{"keepalive": 0.1, "keepalive_timeout": 0.1}, {"max_connection_age": 0.1, "drain": 0.1}],
    ids=["silent", "old"],
)
def test_connections_that_end(start: Serve, repository: Path, options: dict[str, float]) -> None:
    with start(repository, **options) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(PREFACE)
            while connection.recv(4096):  # the server's frames, none of which is answered, until it closes
                pass


def test_a_client_that_pings_too_often_is_disconnected(start: Serve, repository: Path) -> None:
    pings = [("grpc.keepalive_time_ms", 20), ("grpc.http2.max_pings_without_data", 0)]
    pings.append(("grpc.use_local_subchannel_pool", 1))
    with start(repository, min_ping_interval=60.0) as address, grpc.insecure_channel(address, pings) as channel:
        answers = ResidualServiceStub(channel).ClassifyStream(wait_then_stop(done := threading.Event()))
        try:
            with pytest.raises(grpc.RpcError, match="Too many pings"):
                next(answers)
        finally:
            done.set()


def wait_then_stop(done: threading.Event) -> Iterator[pb.ClassifyRequest]:
    done.wait(60)
    yield from ()
