"""`exporter quantize` that is killed: nothing half-written can be seen, and the next run writes version 1."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from resprobe_exporter.quantization import calibration, quantize, source
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.versions import metadata
from resprobe_server.models.repository import scan

pytestmark = pytest.mark.long

# Kills or interrupts itself where a function of the exporter is called.
PROGRAM = """
import os, signal, sys
from importlib import import_module
from resprobe_exporter import __main__
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs do not hear it
number, module, name = int(sys.argv[1]), import_module(sys.argv[2]), sys.argv[3]
sys.argv = ["exporter", *sys.argv[4:]]
inner = getattr(module, name)
def killed(*arguments, **options):
    os.kill(os.getpid(), number)
    return inner(*arguments, **options)
setattr(module, name, killed)
__main__.main()
"""
PLACES = [
    ("resprobe_exporter.quantization.quantize", "speedup"),  # quantised, nothing written
    ("resprobe_exporter.versions.metadata", "write"),  # all graphs written, the description not yet
]


def quantize_and_send(number: int, place: tuple[str, str], root: Path) -> tuple[int, str]:
    """Quantises in a process of its own; returns its exit code and the last line of standard error."""
    (root / "tmp").mkdir()
    words = ["quantize", "digits", "--dataset", "digits", "--calibration-images", "16", "--repository", "models"]
    command = [sys.executable, "-c", PROGRAM, str(number), *place, *words]
    environment = {"TMPDIR": str(root / "tmp")}
    done = subprocess.run(
        ["env", *(f"{key}={value}" for key, value in environment.items()), *command],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A directory with a repository `models`, which holds version 1 of digits."""
    shutil.copytree(repository / "digits" / "1", tmp_path / "models" / "digits" / "1")
    return tmp_path


@pytest.mark.parametrize("place", PLACES, ids=["measuring", "writing"])
def test_what_is_killed_cannot_be_seen_and_is_removed(root: Path, place: tuple[str, str]) -> None:
    code, _ = quantize_and_send(signal.SIGKILL, place, root)
    assert code == -signal.SIGKILL
    models = root / "models"
    assert [(one.name, one.number) for one in scan(models)] == [("digits", 1)]
    assert not [path for path in models.glob("digits-int8/*") if not path.name.startswith(".")]
    float32 = source.read(models / "digits" / "1")
    images = calibration.load("digits", None, float32.image, 16, 0)
    written = quantize.quantise(float32, Settings(), *images, models, "digits-int8")
    assert written.directory == models / "digits-int8" / "1"
    assert metadata.read(written.directory).precision == "int8"
    assert [path.name for path in (models / "digits-int8").iterdir()] == ["1"]


@pytest.mark.parametrize("place", PLACES, ids=["measuring", "writing"])
def test_what_is_interrupted_leaves_nothing(root: Path, place: tuple[str, str]) -> None:
    assert quantize_and_send(signal.SIGINT, place, root) == (130, "exporter: interrupted")
    assert [path.name for path in (root / "models").iterdir()] == ["digits"]
    assert list((root / "tmp").glob("resprobe-quantize-*")) == []
