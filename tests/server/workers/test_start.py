"""How a server with workers starts, and the errors of one that cannot."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.supervision.ports import reserved
from resprobe_server.supervision.share import share


def test_two_servers_do_not_share_a_port() -> None:
    with reserved("127.0.0.1:0") as address:
        assert not address.endswith(":0")
        with pytest.raises(StartError, match="in use by another program"), reserved(address):
            pass
        with socket.socket() as refused:
            assert refused.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0


def test_a_program_that_listens_is_found() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartError, match="in use"), reserved(f"127.0.0.1:{other.getsockname()[1]}"):
            pass


@pytest.mark.parametrize(
    ("address", "message"),
    [("unix:/tmp/socket", "expected HOST:PORT"), ("127.0.0.1", "no port"), ("192.0.2.1:0", "assign requested address")],
)
def test_addresses_that_cannot_be_shared(address: str, message: str) -> None:
    with pytest.raises(StartError, match=message), reserved(address):
        pass


def test_cores_and_memory_are_divided() -> None:
    shared = share(Config(workers=3, max_waiting=256), cores=8)
    assert (shared.threads, shared.decode_threads, shared.max_waiting, shared.max_calls) == (2, 1, 86, 1024)
    assert share(Config(workers=3, threads=5), cores=8).threads == 5
    assert share(Config(workers=8), cores=2).threads == 1


def test_a_server_that_cannot_start_says_why_once(tmp_path: Path) -> None:
    (tmp_path / "digits" / "1").mkdir(parents=True)
    (tmp_path / "digits" / "1" / "model.onnx").write_text("not a graph")
    command = [sys.executable, "-m", "resprobe_server", str(tmp_path), "--workers", "2", "--address", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("none of the 1 model versions") == 1
