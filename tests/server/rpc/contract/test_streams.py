"""Contract with gRPC's core: streams of messages, how they are held up, and the buffer hint."""

import threading
from collections.abc import Iterator
from queue import Empty
from typing import Any

import grpc
import pytest

from tests.support.core_driver import SECONDS, Recorder, driven, echo_stream, record, wait_for

LARGE = bytes(1 << 20)
MANY = 64  # MiB: more than fits between a client and a server


def stream(channel: grpc.Channel, requests: Iterator[bytes]) -> Any:
    """Opens a stream whose messages are bytes."""
    method: Any = channel.stream_stream("/t.T/stream")
    return method(requests, timeout=SECONDS)


def test_each_message_returns_in_its_order_and_the_end_of_requests_is_none() -> None:
    bodies = [str(number).encode() * (number % 7) for number in range(500)]
    with driven(echo_stream) as (driver, channel):
        assert list(stream(channel, iter(bodies))) == bodies
        assert driver.call().next() == ("closed", False)


def test_a_server_that_does_not_read_holds_the_client_up() -> None:
    sent: list[int] = []

    def requests() -> Iterator[bytes]:
        for number in range(MANY):
            sent.append(number)
            yield LARGE

    with driven(record) as (driver, channel):
        answers = stream(channel, requests())
        listener = driver.call()
        listener.call.receive(listener)
        assert listener.next() == ("received", LARGE)
        listener.call.finish(0, "", (), None)  # after one of 64
        assert list(answers) == []
        assert len(sent) < MANY


def test_a_client_that_does_not_read_holds_the_server_up_until_it_does() -> None:
    done = threading.Event()

    with driven(record) as (driver, channel):
        answers = stream(channel, wait_for(done, b""))
        listener = driver.call()
        count = 0
        listener.call.send(listener, LARGE, False)
        while (heard := wait_briefly(listener)) is not None:
            assert heard == ("sent", True)
            count += 1
            listener.call.send(listener, LARGE, False)
        assert count < MANY
        for _ in range(count + 1):  # what was begun arrives
            assert next(answers) == LARGE
        assert listener.next() == ("sent", True)
        listener.call.finish(0, "", (), None)
        done.set()
        assert list(answers) == []


def wait_briefly(listener: Recorder) -> tuple[str, object] | None:
    """Returns what a listener hears within half a second."""
    try:
        return listener.heard.get(timeout=0.5)
    except Empty:
        return None


@pytest.mark.parametrize("sizes", [[5, 0, 7, 1], [100_000, 3, 200_000, 0], [1] * 40])
def test_messages_with_the_hint_that_more_follows_arrive_with_the_one_that_has_none(sizes: list[int]) -> None:
    bodies = [bytes([65 + index % 26]) * size for index, size in enumerate(sizes)]
    with driven(record) as (driver, channel):
        answers = stream(channel, iter([b""]))
        listener = driver.call()
        for index, body in enumerate(bodies):
            listener.call.send(listener, body, index < len(bodies) - 1)
            assert listener.next() == ("sent", True)  # also with the hint: it is only not on the wire yet
        assert [next(answers) for _ in bodies] == bodies
        listener.call.finish(0, "", (), None)
        assert list(answers) == []


def test_the_status_flushes_what_the_hint_has_held_back() -> None:
    with driven(record) as (driver, channel):
        answers = stream(channel, iter([b""]))
        listener = driver.call()
        for body in (b"first", b"second"):
            listener.call.send(listener, body, True)
            assert listener.next() == ("sent", True)
        listener.call.finish(0, "", (), None)
        assert list(answers) == [b"first", b"second"]


def test_after_a_cancellation_a_message_is_reported_as_not_sent() -> None:
    done = threading.Event()

    with driven(record) as (driver, channel):
        answers = stream(channel, wait_for(done, b""))
        listener = driver.call()
        answers.cancel()
        done.set()
        assert listener.next() == ("closed", True)
        listener.call.send(listener, b"late", False)
        assert listener.next() == ("sent", False)
