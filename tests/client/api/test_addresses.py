"""Addresses: gRPC guesses what is missing, so what is not an address is refused, by clients and by the server."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import resprobe
from resprobe._wire.address import SCHEMES, parse
from resprobe_server.errors import StartError

from tests.support.commands import Run
from tests.support.servers import Serve


@pytest.mark.parametrize(
    "address",
    [
        "localhost:50051", "127.0.0.1:1", "[::1]:50051", "my_host-1.example.org.:65535", "unix:/tmp/a", "unix:a",
        "unix-abstract:name", "dns:///host:1", "dns://1.2.3.4/host:1", "dns:host:1", "ipv4:1.2.3.4:5,6.7.8.9:10",
        "ipv6:[::1]:5", "host1:1,host2:1", "127.0.0.1:1,[::1]:1,localhost:2",
    ],
)  # fmt: skip
def test_what_is_an_address(address: str) -> None:
    assert parse(address) == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("localhost", "'localhost' has no port; expected HOST:PORT"),
        ("", "'' has no port"),
        (":50051", "has no host"),
        ("127.0.0.1:99999", "port '99999'; expected a number from 1 to 65535"),
        ("127.0.0.1:0", "port '0'; expected a number from 1"),
        ("127.0.0.1:-1", "port '-1'"),
        ("127.0.0.1:http", "port 'http'"),
        ("127.0.0.1:", "port ''"),
        ("127.0.0.1: 50051", "port ' 50051'"),
        ("127.0.0.1:\u0665\u0666", "port '\u0665\u0666'"),
        ("::1", r"has no port; expected \[::1\]:PORT"),
        ("[::1]", r"has no port; expected \[::1\]:PORT"),
        ("fe80::1:2:3:4:5:6:50051", "port|brackets"),
        ("999.1.1.1:50051", "'999.1.1.1' is not a host"),
        ("http://localhost:50051", "without http://"),
        ("a b:50051", "'a b' is not a host"),
        ("[nonsense]:50051", "is not a host"),
        ("unix:", "has no path"),
        ("dns:///host", "has no port"),
        ("ipv4:1.2.3.4:5,6.7.8.9", "'6.7.8.9' in 'ipv4:1.2.3.4:5,6.7.8.9' has no port"),
    ],
)
def test_what_is_not_an_address_is_refused_by_every_side(
    start: Serve, tmp_path: Path, address: str, message: str
) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        resprobe.Client(address)
    with pytest.raises(resprobe.InvalidRequest, match=message):
        resprobe.AsyncClient(address)
    if not address.endswith(":0"):  # any free port
        for option in ("at", "health_address", "metrics_address"):
            if not address and option != "at":  # empty: none
                continue
            where = {"at": "127.0.0.1:0", option: address}
            expected = message.replace("from 1", "from 0")
            if option == "metrics_address" and address.startswith(SCHEMES):
                expected = "cannot serve metrics at .*: expected HOST:PORT"
            with pytest.raises(StartError, match=expected), start(tmp_path, **where):
                pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a:1,b", "'b' in 'a:1,b' has no port; expected HOST:PORT"),
        ("a:1,b:0", "'b:0' in 'a:1,b:0': port '0'; expected a number from 1 to 65535"),
        ("a:1, b:2", "' b' is not a host"),
        ("a:1,::1", r"'::1' in 'a:1,::1' has no port; expected \[::1\]:PORT"),
        ("a:1,", "'a:1,' has an empty entry; expected HOST:PORT,HOST:PORT"),
        (",", "has an empty entry"),
        ("a:1,b:1,a:1", "has a:1 twice; expected each server once"),
        ("a:1,unix:/x", "'unix:/x' in 'a:1,unix:/x': port '/x'"),
        ("a:1,dns:///b:1", "without dns://"),
        ("dns:///a:1,b:1", "dns: has one host; expected HOST:PORT,HOST:PORT without dns:"),
    ],
)
def test_what_is_not_a_list_is_refused_by_clients(address: str, message: str) -> None:
    for kind in (resprobe.Client, resprobe.AsyncClient):
        with pytest.raises(resprobe.InvalidRequest, match=message):
            kind(address)


def test_a_server_listens_at_one_address(start: Serve, tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r"'127\.0\.0\.1:1,127\.0\.0\.1' is not a host"),
        start(tmp_path, at="127.0.0.1:1,127.0.0.1:2"),
    ):
        pass


@pytest.mark.parametrize("address", ["unix:/tmp/metrics", "dns:host:1", "ipv4:127.0.0.1:0"])
def test_metrics_are_served_at_a_host_and_a_port(start: Serve, tmp_path: Path, address: str) -> None:
    message = f"cannot serve metrics at {address}: expected HOST:PORT"
    with pytest.raises(StartError, match=message), start(tmp_path, metrics_address=address):
        pass


def test_a_command_says_so_in_a_line(run: Run) -> None:
    code, out, error = run("resprobe", "models", "--address", "localhost")
    assert (code, out, len(error.splitlines())) == (1, "", 1)
    assert "has no port" in error


def test_a_client_looks_where_the_command_looks(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RESPROBE_ADDRESS", address)
    with resprobe.Client() as client:
        assert client.model("digits").name == "digits"
    monkeypatch.setenv("RESPROBE_ADDRESS", "localhost")
    with pytest.raises(resprobe.InvalidRequest, match="has no port"):
        resprobe.Client()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:/nowhere/socket"])
def test_nothing_listens(address: str) -> None:
    message = f"nothing listens at {address}; is resprobe-server running"
    with resprobe.Client(address) as client, pytest.raises(resprobe.ServerUnavailable, match=message):
        client.models()


@pytest.mark.parametrize("option", ["--address", "--health-address", "--metrics-address"])
def test_a_port_in_use_is_said_in_one_line(repository: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        rest = [] if option == "--address" else ["--address", "127.0.0.1:0"]
        words = [sys.executable, "-m", "resprobe_server", str(repository), option, address, *rest]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    said = f"resprobe-server: cannot listen at {address}: the port is in use by another program\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_server_with_nothing_to_serve_was_never_started(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "resprobe_server", str(tmp_path / "nowhere"), "--address", "127.0.0.1:0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "stopped" not in done.stderr
