"""`resprobe page` as a command: where it listens, and how it ends."""

import signal
import socket
import subprocess
import sys

import pytest
from resprobe.errors import InvalidRequest
from resprobe.page.pictures import PictureForgotten, Pictures

from tests.support.commands import Run, listening
from tests.support.pages import ask, page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "0.0.0.0:0"], "can be reached from other machines"),
        (["--listen", "[::]:0"], "can be reached from other machines"),
        (["--listen", "example.org:80"], "can be reached from other machines"),
        (["--listen", "unix:/tmp/x"], "expected HOST:PORT"),
        (["--listen", "127.0.0.1"], "has no port"),
        (["--data", "/nowhere"], "--data without --dataset"),
        (["--dataset", "cifar10", "--data", "/nowhere"], "/nowhere is not a directory"),
        (["--address", "nowhere"], "has no port"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(run: Run, address: str, options: list[str], message: str) -> None:
    known = [] if "--address" in options else ["--address", address]
    code, out, said = run("resprobe", "page", *known, *options)
    assert (code, out) == (1, "")
    assert message in said
    assert said.count("\n") == 1


def test_a_port_that_is_in_use(run: Run, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        where = f"127.0.0.1:{busy.getsockname()[1]}"
        code, _, said = run("resprobe", "page", "--address", address, "--listen", where)
    assert code == 1
    assert said == f"resprobe: --listen {where} cannot be used: Address already in use; choose another port\n"


def test_ctrl_c_ends_it(address: str) -> None:
    command = listening("resprobe", "page", "--address", address, "--listen", "127.0.0.1:0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(f"shows {address} until Ctrl-C\n")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "resprobe: interrupted\n")


def test_it_starts_without_a_server_and_says_so() -> None:
    with page("127.0.0.1:1") as url:
        assert ask(url, "/api/state")[2]["message"] == "nothing listens at 127.0.0.1:1; is resprobe-server running?"
        status, _, found = ask(url, "/api/models")
        assert (status, found["kind"]) == (503, "ServerUnavailable")
        assert ask(url, "/api/examples")[2] == []


def test_without_its_extra_it_says_what_to_install(address: str) -> None:
    code = "import sys; sys.modules['starlette'] = None; from resprobe.__main__ import main; main()"
    command = [sys.executable, "-c", code, "page", "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "resprobe: this needs the package starlette: pip install 'resprobe[page]'\n"


def test_the_picture_that_was_not_used_for_longest_makes_room() -> None:
    pictures = Pictures(kept=10)
    first, second = pictures.add(b"1234"), pictures.add(b"5678")
    assert pictures.add(b"1234") == first
    third = pictures.add(b"9abc")
    assert (pictures.get(first), pictures.get(third)) == (b"1234", b"9abc")
    with pytest.raises(PictureForgotten):
        pictures.get(second)
    large = pictures.add(b"x" * 99)
    assert pictures.get(large) == b"x" * 99
    with pytest.raises(InvalidRequest, match="empty"):
        pictures.add(b"")
