"""What the exporter cannot write is said before the work where it can be, in one sentence; nothing is half there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.training import loggers

from tests.support.commands import Run
from tests.support.nets import small_net

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
BUILD = ["build", "--depth", "8", "--epochs", "1"]
UNTRAINED = [*BUILD[:-1], "0"]


# Limits itself and becomes the program: a process that forked beside gRPC's threads may abort before it has.
LIMITED = """
import os, resource, sys
largest = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
os.execv(sys.argv[2], sys.argv[2:])
"""


def command(*words: str, at: Path, redirect: str = "", largest: int | None = None) -> tuple[int, str, str]:
    """Runs `exporter` in a shell; files may have `largest` bytes, as on a disk that fills up."""
    program = [sys.executable, "-m", "resprobe_exporter", *words]
    if largest is not None:
        program = [sys.executable, "-c", LIMITED, str(largest), *program]
    shell = ["sh", "-c", f'"$@" {redirect}', "sh", *program]
    done = subprocess.run(shell, cwd=at, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def left(directory: Path) -> list[str]:
    """Names of the files below, hidden ones too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("words", "spoil", "message"),
    [
        (["--repository", "file"], None, "file/resnet8 cannot be written: Not a directory"),
        (["--log-file", "nowhere/log"], None, "nowhere/log cannot be written: nowhere is not a directory"),
        (["--log-file", "."], None, "cannot be written: it is a directory"),
        (["--checkpoint", "file/run"], None, "file/run cannot be made: Not a directory"),
        (["--checkpoint", "run"], lambda at: (at / "run" / "training.pt").mkdir(parents=True), "training.pt"),
        (["--tensorboard", "file"], None, "file cannot be written: "),
    ],
)
def test_it_is_said_before_the_training(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    spoil: Callable[[Path], None] | None,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if spoil is not None:
        spoil(tmp_path)
    code, out, error = run("exporter", *BUILD, *words)
    assert (code, out) == (1, "")
    assert message in error
    assert "epoch 1/" not in error
    assert left(tmp_path) == ["file"]


@needs_full
@pytest.mark.parametrize(
    ("words", "redirect", "message"),
    [
        (["--log-file", "/dev/full"], "", "/dev/full cannot be written: No space left on device"),
        ([], "> /dev/full", "the output cannot be used: No space left on device"),
        ([], ">&-", "standard output is closed"),
    ],
)
def test_a_build_with_nowhere_to_write(tmp_path: Path, words: list[str], redirect: str, message: str) -> None:
    code, out, error = command(*UNTRAINED, *words, at=tmp_path, redirect=redirect)
    assert (code, out) == (1, "")
    assert message in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("exporter: ")
    assert "Traceback" not in error
    assert not any(".draft" in name or ".part" in name for name in left(tmp_path))


@pytest.mark.long
@needs_full
@pytest.mark.parametrize("redirect", ["2> /dev/full", "2>&-"])
def test_nobody_reads_the_progress(tmp_path: Path, redirect: str) -> None:
    code, out, _ = command(*UNTRAINED, at=tmp_path, redirect=redirect)
    assert (code, "models/resnet8/1" in out) == (0, True)


@pytest.mark.parametrize(
    ("largest", "message"),
    [(50_000, "models/resnet8 cannot be written: File too large; nothing was left there"), (400, "run.jsonl cannot")],
)
def test_a_disk_that_fills_up(tmp_path: Path, largest: int, message: str) -> None:
    code, _, error = command(*UNTRAINED, "--log-file", "run.jsonl", at=tmp_path, largest=largest)
    assert code == 1
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert left(tmp_path) == ["run.jsonl"]
    assert all(json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines())  # whole lines


def test_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    code, _, error = command(*BUILD, "--checkpoint", "run", at=tmp_path, largest=50_000)
    assert code == 1
    assert error.splitlines()[-1] == "exporter: run/training.pt cannot be written: File too large"
    assert left(tmp_path) == []


@pytest.mark.long
def test_a_study_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ["study", "--depths", "8", "--seeds", "1", "--epochs", "1", "--out"]
    code, out, error = command(*words, "file/study", at=tmp_path)
    assert (code, out) == (1, "")
    assert error == "exporter: file/study/runs cannot be made: Not a directory\n"
    code, _, error = command(*words, "study", "--limit", "50", "--workers", "1", at=tmp_path, largest=2000)
    assert code == 1
    assert "study/runs/" in error.splitlines()[-1]
    assert "cannot be written: File too large" in error.splitlines()[-1]
    assert left(tmp_path) == ["file"]


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    class Disk:
        """A file that takes ten bytes, and then none."""

        name, content = "disk", bytearray(b"before\n")

        def write(self, data: bytes) -> int:
            if len(self.content) > 10:
                raise OSError(28, "No space left on device")
            self.content += data[:10]
            return len(data[:10])

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return len(self.content)

        def truncate(self, size: int) -> None:
            del self.content[size:]

    with pytest.raises(ExporterError, match="disk cannot be written: No space left"):
        loggers._append(Disk(), b"a line that is longer\n")  # type: ignore[arg-type]
    assert bytes(Disk.content) == b"before\n"


def test_a_finished_run_that_is_resumed_writes_nothing(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*BUILD, "--checkpoint", "run", "--log-file", "run.jsonl", "--json"]
    code, first, _ = run("exporter", *words)
    assert code == 0
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in left(tmp_path)}
    code, out, error = run("exporter", *words, "--resume")
    assert code == 0
    assert "run/training.pt is of a finished run, which was written as" in error
    assert "nothing is new" in error
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in left(tmp_path)} == before
    assert json.loads(out)["version"] == json.loads(first)["version"] == "1"
    assert run("exporter", *words, "--resume", "--name", "other")[0] == 0  # not written there yet
    assert (tmp_path / "models" / "other" / "1" / "model.json").is_file()
    (tmp_path / "models" / "resnet8" / "1" / "model.json").unlink()  # as after a kill between training and writing
    assert run("exporter", *words, "--resume")[0] == 0
    assert (tmp_path / "models" / "resnet8" / "2" / "model.json").is_file()


def test_a_repository_is_looked_at_before_a_checkpoint_is_converted(
    run: Run,
    tmp_path: Path,
) -> None:
    torch.save(small_net().state_dict(), tmp_path / "net.pt")
    (tmp_path / "file").touch()
    words = ["--mean", "0.3", "--std", "0.3", "--height", "8", "--width", "8"]
    code, _, error = run(
        "exporter", "convert", str(tmp_path / "net.pt"), *words, "--repository", str(tmp_path / "file")
    )
    assert code == 1
    assert "file/resnet8 cannot be written: Not a directory" in error
    assert "exporting" not in error
