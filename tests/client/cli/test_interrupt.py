"""Ctrl-C, once and twice, at several moments of a command: one line, exit code 130, and no process is left."""

import signal
import socket
import subprocess
import sys

import pytest

from tests.support.commands import listening

# Presses Ctrl-C in the n-th answer of a command, and again while its connection is closed.
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
presses, place, sys.argv = int(sys.argv[1]), int(sys.argv[2]), ["resprobe", *sys.argv[3:]]
from resprobe import _client, __main__
receive, close, seen = _client.Client._receive, _client.Client.close, [0]

def press(*arguments):
    seen[0] += 1
    if seen[0] == place:
        os.kill(os.getpid(), signal.SIGINT)
    return receive(*arguments)

def press_again(*arguments):
    if presses > 1:
        os.kill(os.getpid(), signal.SIGINT)
    close(*arguments)

_client.Client._receive, _client.Client.close = press, press_again
__main__.main()
"""


@pytest.mark.parametrize(("command", "presses", "place"), [("lesions", 1, 2), ("lesions", 2, 5), ("drift", 2, 1)])
def test_ctrl_c_ends_a_command(address: str, command: str, presses: int, place: int) -> None:
    words = [command, "--dataset", "digits", "--address", address, "--model", "digits"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(presses), str(place), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "resprobe: interrupted\n")


def test_ctrl_c_while_nothing_answers() -> None:
    """Interrupts a command whose server accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = ["models", "--address", f"127.0.0.1:{silent.getsockname()[1]}"]
        silent.settimeout(60)
        with subprocess.Popen(listening("resprobe", *words), stderr=subprocess.PIPE, text=True) as process:
            connection, _ = silent.accept()  # it is waiting for an answer now
            with connection:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=60)
            assert (process.returncode, said) == (130, "resprobe: interrupted\n")
