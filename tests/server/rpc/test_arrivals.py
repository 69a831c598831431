"""Calls that hold places for nothing: requests that never arrive, shares of the limit, odd paths."""

import hashlib
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
import resprobe
from resprobe_server.rpc.admission import origin_of

from tests.support.calls import open_stream
from tests.support.http2_frames import END_HEADERS, END_STREAM, HEADERS, calls, connect, frame, headers, read_until
from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)
CLASSIFY, STREAM = "/resprobe.v1.ResidualService/Classify", "/resprobe.v1.ResidualService/ClassifyStream"
LIVE = "/inference.GRPCInferenceService/ServerLive"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.mark.parametrize("path", [CLASSIFY, STREAM, LIVE])
def test_calls_whose_request_never_comes_shut_nobody_out(start: Serve, repository: Path, path: str) -> None:
    with start(repository, max_calls=32) as address, ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(connect(address))
            connection.sendall(calls(path, 250) + frame(6, 0, 0, b"12345678"))
            read_until(connection, b"12345678")  # the ping after them was answered
        with resprobe.Client(address) as client:
            assert len(client.classify(IMAGE, model="digits")) == 1


@pytest.mark.parametrize("path", [CLASSIFY, STREAM, INFER_STREAM, REFLECTION, LIVE, "/grpc.health.v1.Health/Watch"])
def test_a_request_that_does_not_come_ends_the_call(start: Serve, repository: Path, path: str) -> None:
    with start(repository, request_timeout=0.2) as address, connect(address) as connection:
        connection.sendall(calls(path, 1))
        read_until(connection, b"no request came within 0.2 s of the call")


def test_a_stream_that_has_begun_may_be_idle(start: Serve, repository: Path) -> None:
    with (
        start(repository, request_timeout=0.2) as address,
        grpc.insecure_channel(address) as channel,
        open_stream(channel),
        connect(address) as connection,
    ):
        connection.sendall(calls(CLASSIFY, 1))
        read_until(connection, b"no request came")  # the time has passed; leaving the context asks the stream


def test_one_address_leaves_places_to_others(start: Serve, repository: Path) -> None:
    with start(repository, max_calls=16) as address, ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(address))
        for _ in range(14):
            stack.enter_context(open_stream(channel))
        with (
            resprobe.Client(address) as client,
            pytest.raises(resprobe.ServerBusy, match=r"14 calls of 127\.0\.0\.1 are under way"),
        ):
            client.classify(IMAGE, model="digits")
        with connect(address, "127.0.0.2") as other:
            other.sendall(frame(HEADERS, END_HEADERS, 1, headers(LIVE.encode())) + frame(0, END_STREAM, 1, bytes(5)))
            read_until(other, b"grpc-status")


def test_who_has_no_token_cannot_take_the_places_of_those_who_have(
    start: Serve, repository: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[all]\nsha256 = "{hashlib.sha256(b"secret").hexdigest()}"\nrights = ["classify"]\n')
    with start(repository, max_calls=8, tokens=tokens) as address, ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(connect(address))
            connection.sendall(calls(LIVE, 250) + frame(6, 0, 0, b"12345678"))
            read_until(connection, b"12345678")
        with resprobe.Client(address, token="secret") as client:
            assert len(client.classify(IMAGE, model="digits")) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [(b"/\xff\xfe", rb"there is no method /\xff\xfe"), (b"/" + b"a" * 5000, b"a" * 100), (b"x", b"no method x")],
)
def test_an_odd_path_is_no_method(start: Serve, address: str, path: bytes, text: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, headers(path)))
        found = read_until(connection, b"grpc-message")
        connection.shutdown(1)
        while more := connection.recv(65536):
            found += more
    assert text in found
    assert b"internal" not in found
    assert b"a" * 200 not in found


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3::1%5D:4711", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("unix:/run/socket", "unix"),
        ("unix:", "unix"),
        ("nothing known", "nothing known"),
    ],
)
def test_an_origin_has_no_port(peer: str, origin: str) -> None:
    assert origin_of(peer) == origin
