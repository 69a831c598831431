"""Several servers behind one client: calls are spread, and no call is lost when a server dies, drains or is unwell."""

import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from resprobe._wire import replicas as wire
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from tests.support.access import AUTHORITY, write_certificate
from tests.support.clients import Connect, Scripted, listening
from tests.support.commands import Run
from tests.support.name_server import name_server
from tests.support.replicas import Replica, answered, one_version, replica, replicas, while_asking
from tests.support.servers import Serve
from tests.support.waiting import until

IMAGE = np.zeros((8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def pair(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two servers that no test stops."""
    with replicas(repository, tmp_path_factory.mktemp("pair")) as found:
        yield found


@pytest.fixture
def mortal(repository: Path, tmp_path: Path) -> Iterator[list[Replica]]:
    """Two servers for one test."""
    with replicas(repository, tmp_path) as found:
        yield found


def listed(servers: list[Replica]) -> str:
    return ",".join(one.address for one in servers)


def asking(client: resprobe.Client) -> Callable[[], str]:
    return lambda: client.classify(IMAGE, timeout=60).version


@pytest.mark.parametrize("form", ["{}", "ipv4:{}"])
def test_each_server_gets_half(connect: Connect, pair: list[Replica], form: str) -> None:
    with connect(form.format(listed(pair))) as client:
        found = answered(asking(client), 200)
    assert all(80 <= found[version] <= 120 for version in "12"), found


def test_every_address_of_a_name_is_a_server(
    connect: Connect, pair: list[Replica], repository: Path, tmp_path: Path
) -> None:
    first, other = pair[0], f"127.0.0.2:{pair[0].port}"
    with (
        replica(one_version(repository, tmp_path, "2"), "2", at=other) as second,
        name_server("127.0.0.1", "127.0.0.2") as names,
        connect(f"dns://{names}/resprobe.example:{first.port}") as client,
    ):
        found = answered(asking(client), 200)
        assert all(80 <= found[version] <= 120 for version in "12"), found
        assert "2" in while_asking(asking(client), second.process.kill)
        assert {client.classify(IMAGE).version for _ in range(10)} == {"1"}


def test_the_commands_and_the_environment_accept_lists(
    run: Run, pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, error = run("resprobe", "models", "--address", listed(pair))
    assert (code, error) == (0, "")
    assert "digits" in out
    monkeypatch.setenv("RESPROBE_ADDRESS", listed(pair))
    with resprobe.Client() as client:
        assert client.health()


@pytest.mark.parametrize("how", ["kill", "drain"])
def test_no_call_is_lost_when_a_server_ends(connect: Connect, mortal: list[Replica], how: str) -> None:
    first, second = mortal

    def end() -> None:
        first.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        assert first.process.wait(60) == (-signal.SIGKILL if how == "kill" else 0)

    with connect(listed(mortal)) as client:
        answered(asking(client), 1)
        found = Counter(while_asking(asking(client), end))
        assert found["2"] >= 40
        assert {client.classify(IMAGE).version for _ in range(10)} == {second.version}
        second.process.kill()
        second.process.wait(60)
        with pytest.raises(resprobe.ServerUnavailable) as caught:
            client.models()
        said = str(caught.value)
        assert said.startswith(f"no server answers at {listed(mortal)}; is resprobe-server running? The last error: ")
        assert (said.endswith("Connection refused"), len(said.splitlines())) == (True, 1)


class Counting(Scripted):
    """Counts requests, and refuses the first of them with UNAVAILABLE."""

    def __init__(self, refused: int = 0) -> None:
        self.seen, self.refused = 0, refused

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        self.seen += 1
        return pb.ListModelsResponse()

    def Classify(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        self.seen += 1
        if self.seen <= self.refused:
            context.abort(grpc.StatusCode.UNAVAILABLE, "for a moment")
        response = pb.ClassifyResponse(model="net", version="1")
        response.results.add().classes.add(label="cat", probability=1)
        return response


def add(server: grpc.Server, servicer: Counting, state: Any) -> None:
    resprobe_pb2_grpc.add_ResidualServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)


def test_a_server_that_is_not_serving_gets_no_calls(connect: Connect) -> None:
    states = [health.HealthServicer() for _ in range(2)]
    counting = [Counting() for _ in range(2)]
    serving = health_pb2.HealthCheckResponse
    for state in states:
        state.set(wire.SERVICE, serving.SERVING)
    with (
        listening(lambda server: add(server, counting[0], states[0])) as one,
        listening(lambda server: add(server, counting[1], states[1])) as two,
        connect(f"{one},{two}") as client,
    ):

        def asked(place: int) -> bool:
            before = counting[place].seen
            for _ in range(4):
                client.models()
            return counting[place].seen > before

        until(lambda: asked(0) and asked(1))
        states[0].set(wire.SERVICE, serving.NOT_SERVING)
        until(lambda: not asked(0))
        before = counting[0].seen
        for _ in range(50):
            client.models()
        assert counting[0].seen == before
        states[1].set(wire.SERVICE, serving.NOT_SERVING)
        with pytest.raises(resprobe.ServerUnavailable, match="backend unhealthy; it loads models, shuts down"):
            until(lambda: client.models() != [])
        states[0].set(wire.SERVICE, serving.SERVING)
        until(lambda: bool(client.models() == []))


def test_large_requests_are_repeated_too(connect: Connect) -> None:
    """The default of gRPC is to keep 256 KiB of a request, and to repeat none that is larger."""
    refusing, state = Counting(refused=2), health.HealthServicer()
    state.set(wire.SERVICE, health_pb2.HealthCheckResponse.SERVING)
    with listening(lambda server: add(server, refusing, state)) as one, connect(f"{one},127.0.0.1:1") as client:
        assert client.classify(np.zeros((8, 1024, 1024, 1), np.uint8)[:3]).labels[0] == "cat"
    assert refusing.seen == 3


def test_one_address_has_gRPC_choose_its_first(pair: list[Replica]) -> None:
    for address in (pair[0].address, f"ipv4:{pair[0].address}", "unix:/tmp/a,b"):
        assert not wire.is_several(address)
        assert [key for key, _ in wire.options(address, {"name": []})] == ["grpc.service_config"]
        assert wire.target(address) == address


def test_names_of_a_list_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"one": ["10.0.0.1"], "two": ["10.0.0.2", "fd00::2"], "10.0.0.1": ["10.0.0.1"]}

    def look_up(host: str, port: int, **_: object) -> list[Any]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, 6, "", (ip, port)) for ip in table[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert wire.target("one:1,10.0.0.1:1,one:2,gone:1") == "ipv4:10.0.0.1:1,10.0.0.1:2"
    assert wire.target("one:1,two:2") == "ipv6:[::ffff:10.0.0.1]:1,[::ffff:10.0.0.2]:2,[fd00::2]:2"
    message = "no host of gone:1,lost:1 has an address: gone: Name or service not known, lost: Name"
    with pytest.raises(resprobe.ServerUnavailable, match=message):
        resprobe.Client("gone:1,lost:1")


def test_certificates_are_for_the_first_host_of_a_list(
    start: Serve, repository: Path, tmp_path: Path, connect: Connect
) -> None:
    folders = [tmp_path / name for name in ("same", "other")]
    for folder in folders:
        folder.mkdir()
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate, key = write_certificate(folders[0], "resprobe")
    other = AUTHORITY.issue_cert("another.example")
    other.private_key_pem.write_to_path(folders[1] / "key.pem")
    other.cert_chain_pems[0].write_to_path(folders[1] / "cert.pem")
    with (
        start(repository, tls_cert=certificate, tls_key=key) as one,
        start(repository, tls_cert=folders[1] / "cert.pem", tls_key=folders[1] / "key.pem") as two,
    ):
        with connect(f"{one},{two}", ca=tmp_path / "ca.pem") as client:
            assert all(len(client.models()) == 4 for _ in range(10))  # `two` is never believed
        with connect(f"another.example:1,{two}", ca=tmp_path / "ca.pem") as client:
            assert len(client.models()) == 4
        with connect(f"{two},127.0.0.1:1", ca=tmp_path / "ca.pem") as client, pytest.raises(resprobe.ServerUnavailable):
            client.models()
