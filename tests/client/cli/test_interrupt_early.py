"""Ctrl-C while a command imports what it needs: one line and exit code 130, whatever is imported then."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import resprobe_exporter.__main__ as exporter
import resprobe_server.__main__ as server
from resprobe import __main__ as client
from resprobe import _early

MODULES = {"resprobe": "resprobe", "resprobe-server": "resprobe_server", "exporter": "resprobe_exporter"}
# Presses Ctrl-C when a module is about to be imported.
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, getattr(signal, sys.argv[3]))
package, awaited, sys.argv = sys.argv[1], sys.argv[2], ["command", "--help"]

class Press:
    def find_spec(self, name, path, target=None):
        if name == awaited:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
import importlib
importlib.import_module(f"{package}.__main__").main()
"""


def press(prog: str, module: str, handler: str = "default_int_handler") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, MODULES[prog], module, handler]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("prog", "module"),
    [
        *(("resprobe", name) for name in ("resprobe.cli.app", "tyro", "rich.console", "numpy", "PIL", "grpc")),
        ("resprobe", "resprobe.cli.commands.report"),
        *(("resprobe-server", name) for name in ("resprobe_server.command", "tyro", "resprobe_server.config")),
        *(
            ("exporter", name)
            for name in ("tyro", "resprobe_exporter.commands.build", "resprobe_exporter.commands.study")
        ),
    ],
)
def test_it_is_one_line(prog: str, module: str) -> None:
    done = press(prog, module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{prog}: interrupted\n")


@pytest.mark.parametrize("prog", MODULES)
def test_where_it_is_ignored_it_stays_ignored(prog: str) -> None:
    done = press(prog, "tyro", "SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout


@pytest.mark.parametrize("main", [client.main, exporter.main, server.main])
def test_afterwards_the_handler_is_as_before(main: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--help"])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        main()  # type: ignore[operator]
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_handled() -> None:
    found = []

    def hear() -> None:
        with _early.Heard("command"):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hear)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def test_the_package_alone_imports_next_to_nothing() -> None:
    unwanted = {"contextlib", "grpc", "numpy", "threading", "typing", "tyro"}
    folder = str(Path(_early.__file__).parents[1])
    path = f"import sys; sys.path.insert(0, {folder!r})"
    code = f"{path}; from resprobe import _early; found = {unwanted} & {{*sys.modules}}"
    command = [sys.executable, "-I", "-S", "-c", f"{code}; print(sorted(found))"]  # -S: nothing of the environment's
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
