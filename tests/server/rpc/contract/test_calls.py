"""Contract with gRPC's core: what a call is, how it is answered, and how it ends."""

import gc
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from resprobe_server.rpc.core import CoreCall, CoreError

from tests.support.core_driver import SECONDS, Driver, Recorder, driven, echo, record, wait_for

Code = grpc.StatusCode


def unary(channel: grpc.Channel, method: str = "/t.T/method") -> Any:
    """A method of the channel whose messages are bytes."""
    return channel.unary_unary(method)


def test_a_call_has_its_path_metadata_peer_and_no_deadline_and_is_answered_in_one_batch() -> None:
    with driven(record) as (driver, channel):
        answer = unary(channel, "/a/b").future(b"request", metadata=(("key", "value"), ("key-bin", b"\xff")))
        listener = driver.call()
        call = listener.call
        assert call.method == b"/a/b"
        assert {("key", "value"), ("key-bin", b"\xff")} <= set(call.metadata)
        assert call.peer().partition(":")[0] in ("ipv4", "ipv6")
        assert call.deadline == math.inf
        call.receive(listener)
        assert listener.next() == ("received", b"request")
        call.finish(0, "", (("after", "value"),), b"response")
        assert answer.result(SECONDS) == b"response"
        assert answer.code() is Code.OK
        assert ("after", "value") in answer.trailing_metadata()
        assert listener.next() == ("closed", False)


def test_a_call_is_refused_unread_with_status_details_and_metadata() -> None:
    def refuse(call: CoreCall) -> Recorder:
        call.finish(Code.NOT_FOUND.value[0], "nothing – here", (("why-bin", b"\x00\xff"),), None)
        return Recorder(call)

    with driven(refuse) as (_, channel):
        answer = unary(channel).future(b"")
        error = answer.exception(SECONDS)
        assert (error.code(), error.details()) == (Code.NOT_FOUND, "nothing – here")
        assert ("why-bin", b"\x00\xff") in error.trailing_metadata()


def test_a_path_that_is_not_text_arrives_as_it_is() -> None:
    with driven(echo) as (driver, channel):
        unary(channel, "/" + "a" * 5000)(b"", timeout=SECONDS)
        assert driver.call().call.method == b"/" + b"a" * 5000


@pytest.mark.parametrize("size", [0, 1, 5, 16_384, 3_000_000])
def test_messages_of_all_sizes_return(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    with driven(echo) as (_, channel):
        assert unary(channel)(data, timeout=SECONDS) == data


def test_the_deadline_of_the_client_is_known_and_cancels_the_call() -> None:
    with driven(record) as (driver, channel):
        answer = unary(channel).future(b"", timeout=0.3)
        listener = driver.call()
        assert time.time() - 1 < listener.call.deadline < time.time() + 0.4
        assert listener.next() == ("closed", True)
        assert time.time() >= listener.call.deadline - 0.05
        assert answer.exception(SECONDS).code() is Code.DEADLINE_EXCEEDED


def test_a_cancellation_is_reported_before_the_metadata_that_could_not_be_sent() -> None:
    """The server relies on it to tell a client that has cancelled from one that sent no request."""
    for _ in range(20):
        with driven(record) as (driver, channel):
            done = threading.Event()
            answers: Any = channel.stream_stream("/t.T/method")
            call = answers(wait_for(done))
            listener = driver.call()
            listener.call.receive(listener)
            call.cancel()
            done.set()
            heard = [listener.next()]
            listener.call.start(listener)
            heard += [listener.next(), listener.next()]
            assert sorted(map(str, heard)) == sorted(
                map(str, [("received", None), ("closed", True), ("started", None)])
            )
            assert heard.index(("closed", True)) < heard.index(("started", None))


def test_what_core_does_not_start_is_a_failure_of_the_call() -> None:
    done = threading.Event()
    with driven(record) as (driver, channel):
        answers: Any = channel.stream_stream("/t.T/method")
        call = answers(wait_for(done))
        listener = driver.call()
        listener.call.receive(listener)
        listener.call.receive(listener)  # one is under way
        event, error = listener.next()
        assert event == "failed"
        assert isinstance(error, CoreError)
        listener.call.finish(0, "", (), None)
        assert list(call) == []
        with pytest.raises(CoreError, match="did not start"):
            listener.call.finish(0, "", (), None)
        done.set()


def kept() -> int:
    """Returns how many calls are in memory. Those with operations that core did not start stay there."""
    gc.collect()
    return sum(type(one) is CoreCall for one in gc.get_objects())


def test_a_thousand_calls_leave_nothing_behind_and_an_idle_core_does_not_spin() -> None:
    already = kept()
    with driven(echo) as (driver, channel), ThreadPoolExecutor(16) as threads:
        method = unary(channel)
        bodies = [str(number).encode() for number in range(1000)]
        assert list(threads.map(lambda body: method(body, timeout=SECONDS), bodies)) == bodies
        assert [driver.call().next() for _ in bodies] == [("closed", False)] * 1000
        end = time.monotonic() + SECONDS
        while (left := kept() - already) > 0:
            assert time.monotonic() < end, f"{left} calls are kept"  # the thread that polls may hold its last event
        before, end = time.process_time(), time.monotonic() + 0.5
        while time.monotonic() < end:
            time.sleep(0.05)
        assert time.process_time() - before < 0.25  # a core that spins takes all of it


def test_a_driver_listens() -> None:
    driver = Driver(echo)
    assert driver.port > 0
    driver.start()
    driver.stop()
