"""Checks of grpcio at the start: its version, and a call that the server answers to itself."""

import tempfile
import tomllib
from pathlib import Path

import pytest
from resprobe_server import start_check
from resprobe_server.errors import StartError
from resprobe_server.rpc.server import Server
from resprobe_server.start_check import TESTED, check_version, target_of

from tests.support.access import STRANGER, write_certificate
from tests.support.servers import Serve

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("version", ["1.75.9", "1.86.0", "1.86.0.dev0", "2.0.0", "unknown"])
def test_a_version_that_was_not_tested_is_a_start_error_unless_it_is_wished(version: str) -> None:
    sentence = rf"grpcio {version} was not tested with this server.*\(pip install '{TESTED}'\).*--untested-grpcio$"
    with pytest.raises(StartError, match=sentence):
        check_version(False, version)
    check_version(True, version)


@pytest.mark.parametrize("version", ["1.76.0", "1.85.3", "1.85.0rc1"])
def test_a_version_that_was_tested_is_let_in(version: str) -> None:
    check_version(False, version)


def test_the_versions_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert TESTED in extras["server"]


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:0", "127.0.0.1:7"),
        ("localhost:7", "localhost:7"),
        ("0.0.0.0:0", "127.0.0.1:7"),
        ("[::]:0", "[::1]:7"),
        ("ipv4:0.0.0.0:0", "ipv4:127.0.0.1:7"),
        ("ipv4:10.0.0.0:7,10.0.0.1:7", "ipv4:10.0.0.0:7"),
        ("ipv6:[::]:7", "ipv6:[::1]:7"),
        ("dns:///a-host:7", "dns:///a-host:7"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("unix-abstract:name", "unix-abstract:name"),
    ],
)
def test_where_a_server_calls_itself(address: str, target: str) -> None:
    assert target_of(address, 7) == target


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Targets of the calls at the start."""
    targets: list[str] = []
    make = start_check._call

    def record(target: str) -> None:
        targets.append(target)
        make(target)

    monkeypatch.setattr(start_check, "_call", record)
    return targets


def test_a_server_without_tls_calls_itself_at_its_port(start: Serve, repository: Path, called: list[str]) -> None:
    with start(repository) as address:
        assert called == [address]


def test_a_server_with_a_unix_socket_calls_itself_there(
    start: Serve, repository: Path, tmp_path: Path, called: list[str]
) -> None:
    with start(repository, at=f"unix:{tmp_path}/socket"):
        assert called == [f"unix:{tmp_path}/socket"]


@pytest.mark.parametrize("mutual", [False, True])
def test_a_server_with_tls_calls_itself_at_a_socket_that_nobody_else_reaches(
    start: Serve, repository: Path, tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch, mutual: bool
) -> None:
    cert, key = write_certificate(tmp_path, "server")
    STRANGER.cert_pem.write_to_path(tmp_path / "clients.pem")
    modes: list[int] = []
    record = start_check._call

    def look(target: str) -> None:
        modes.append(Path(target.removeprefix("unix:")).parent.stat().st_mode & 0o777)
        record(target)

    monkeypatch.setattr(start_check, "_call", look)
    with start(repository, tls_cert=cert, tls_key=key, tls_client_ca=tmp_path / "clients.pem" if mutual else None):
        (target,) = called
        assert target.startswith(f"unix:{tempfile.gettempdir()}/resprobe-")
        assert modes == [0o700]
        assert not Path(target.removeprefix("unix:")).parent.exists()


def test_a_server_with_tls_starts_where_no_folder_can_be_written(
    start: Serve, repository: Path, tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = write_certificate(tmp_path, "server")
    (tmp_path / ("x" * 120)).mkdir()  # too long for the path of a socket
    monkeypatch.setattr(start_check, "FOLDERS", (str(tmp_path / "none"), str(tmp_path / ("x" * 120))))
    with start(repository, tls_cert=cert, tls_key=key):
        assert called == []
    assert list((tmp_path / ("x" * 120)).iterdir()) == []


def test_a_server_that_does_not_answer_itself_does_not_start(
    start: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_check, "SECONDS", 0.2)
    monkeypatch.setattr(Server, "_arrived", lambda *_: None)  # as if core's events were not what they are
    sentence = r"does not answer its own first call \(.*\); it runs on grpcio .*, and was tested with grpcio>="
    with pytest.raises(StartError, match=sentence), start(repository, drain=0.0):
        pass


def test_a_core_that_fails_before_the_models_are_loaded_is_a_start_error(
    start: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_check, "SECONDS", 0.2)
    monkeypatch.setattr(Server, "_arrived", lambda *_: 1 / 0)
    with pytest.raises(StartError, match="does not answer its own first call"), start(repository, drain=0.0):
        pass
