"""Ctrl-C in the exporter, once and twice: one line, exit code 130, and neither a process nor a draft is left."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.nets import small_net

START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs do not hear it
presses, sys.argv = int(sys.argv[1]), ["exporter", *sys.argv[2:]]
def press():
    for _ in range(presses):
        os.killpg(0, signal.SIGINT)  # as a terminal does: to the processes of the command too
"""
# Presses Ctrl-C where torch's exporter catches everything.
EXPORT = f"""{START}
from resprobe_exporter import __main__
import torch
inner = torch.export.export
def export(*arguments, **options):
    press()
    return inner(*arguments, **options)
torch.export.export = export
__main__.main()
"""
# Presses Ctrl-C as soon as the processes of a study are begun.
STUDY = f"""{START}
if __name__ == "__main__":
    from resprobe_exporter import __main__
    from resprobe_exporter.study import pool
    waits = pool.as_completed
    def as_completed(begun):
        press()
        return waits(begun)
    pool.as_completed = as_completed
    __main__.main()
"""


def press(program: str, presses: int, *arguments: str, at: Path) -> tuple[int, str, str]:
    """Runs a program in a process group of its own; there must be nothing left of it."""
    (at / "program.py").write_text(program)
    command = [sys.executable, str(at / "program.py"), str(presses), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=at, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        out, error = process.communicate(timeout=120)  # ends when no process holds the pipes any more
    assert alive(process.pid) == []
    return process.returncode, out, error


def alive(group: int) -> list[str]:
    """Command lines of a process group's processes, without those that have ended or have let go of their memory."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            state, _, its_group = (directory / "stat").read_text().rpartition(")")[2].split()[:3]
            words = (directory / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state not in "ZX" and words:
            found.append(words)
    return found


@pytest.mark.parametrize("presses", [1, 2])
def test_in_an_export(tmp_path: Path, presses: int) -> None:
    torch.save(small_net().state_dict(), tmp_path / "net.pt")
    words = ["convert", "net.pt", "--mean", "0.3", "--std", "0.3", "--height", "8", "--width", "8"]
    code, out, error = press(EXPORT, presses, *words, at=tmp_path)
    assert (code, out, error.splitlines()[-1]) == (130, "", "exporter: interrupted")
    assert "Traceback" not in error
    if presses == 1:  # whoever presses again does not wait for what is tidied up; the next run does that
        assert not (tmp_path / "models" / "net").exists()


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_in_a_study_with_processes(tmp_path: Path, presses: int) -> None:
    words = ["study", "--depths", "8", "14", "--seeds", "1", "--epochs", "1", "--workers", "2"]
    assert press(STUDY, presses, *words, at=tmp_path) == (130, "", "exporter: interrupted\n")
