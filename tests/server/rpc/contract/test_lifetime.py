"""Contract with gRPC's core: polling, shutting down, and TLS."""

import threading
import time
from typing import Any

import grpc
import pytest
import trustme
from resprobe_server.rpc.core import Core, Kind

from tests.support.core_driver import OWN_CONNECTION, SECONDS, Driver, driven, echo, record

Code = grpc.StatusCode


def test_a_poll_ends_after_its_timeout_or_with_an_event() -> None:
    core = Core(())
    core.add_port("localhost:0", None)
    core.start()
    began = time.monotonic()
    assert core.poll(0).kind is Kind.TIMEOUT
    assert time.monotonic() - began < 5
    began = time.monotonic()
    assert core.poll(0.2).kind is Kind.TIMEOUT
    assert time.monotonic() - began > 0.19
    threading.Timer(0.1, core.shutdown).start()
    kinds = [core.poll().kind, core.poll().kind]  # the call that was asked for ends, and the server
    assert sorted(kind.name for kind in kinds) == ["ARRIVED", "SHUTDOWN"]
    core.end()
    assert core.poll(SECONDS).kind is Kind.END


def test_clients_hear_of_the_shutdown_with_the_last_response_that_was_held_back() -> None:
    """A client that has its response, and then sends its next call, sends it elsewhere."""
    driver = Driver(record)
    driver.start()
    with grpc.insecure_channel(f"localhost:{driver.port}", OWN_CONNECTION) as channel:
        method: Any = channel.unary_unary("/t.T/method")
        answer = method.future(b"")
        listener = driver.call()
        driver.core.hold()
        listener.call.finish(0, "", (), b"response")
        assert not answer.done()
        driver.core.shutdown()
        driver.core.release()
        assert answer.result(SECONDS) == b"response"
        with pytest.raises(grpc.RpcError) as caught:
            method(b"", timeout=SECONDS)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is Code.UNAVAILABLE
    driver.finish()


def test_without_a_hold_answers_are_not_kept_back_any_more() -> None:
    with driven(echo) as (driver, channel):
        method: Any = channel.unary_unary("/t.T/method")
        driver.core.hold()
        held = [method.future(b"%d" % number) for number in range(3)]
        for _ in held:
            driver.call()
        driver.core.release()
        assert [one.result(SECONDS) for one in held] == [b"0", b"1", b"2"]
        assert method(b"next", timeout=SECONDS) == b"next"


def test_the_shutdown_waits_for_calls_and_cancels_them_when_that_is_asked() -> None:
    driver = Driver(record)
    driver.start()
    with grpc.insecure_channel(f"localhost:{driver.port}", OWN_CONNECTION) as channel:
        method: Any = channel.unary_unary("/t.T/method")
        answer = method.future(b"")
        listener = driver.call()
        driver.core.shutdown()
        assert not driver._ended.wait(0.2)
        driver.core.cancel_calls()
        assert listener.next() == ("closed", True)
        driver.finish()
        assert answer.exception(SECONDS) is not None
        listener.call.finish(0, "", (), None)  # after the end: it is not started


def test_a_call_that_is_accepted_while_the_server_is_shut_down_is_no_error() -> None:
    driver = Driver(record)
    driver.start()
    driver.core.shutdown()
    driver.core.accept()
    driver.finish()


def test_two_servers_cannot_have_one_port() -> None:
    with driven(echo) as (driver, _):
        core = Core((("grpc.so_reuseport", 0),))
        try:
            assert core.add_port(f"localhost:{driver.port}", None) == 0
        except RuntimeError as error:
            assert "bind" in str(error).lower()


@pytest.mark.parametrize("mutual", [False, True])
def test_calls_over_tls(mutual: bool) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("client")
    roots = authority.cert_pem.bytes()
    pair = server.private_key_pem.bytes(), b"".join(pem.bytes() for pem in server.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([pair], roots if mutual else None, mutual)
    driver = Driver(echo, credentials)
    driver.start()
    own = client.private_key_pem.bytes(), b"".join(pem.bytes() for pem in client.cert_chain_pems)
    secure = grpc.ssl_channel_credentials(roots, *(own if mutual else (None, None)))
    with grpc.secure_channel(f"localhost:{driver.port}", secure, OWN_CONNECTION) as channel:
        method: Any = channel.unary_unary("/t.T/method")
        assert method(b"secret", timeout=SECONDS) == b"secret"
    driver.stop()
