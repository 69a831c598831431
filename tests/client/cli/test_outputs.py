"""Output that cannot be written: refused before the work where possible, in one sentence, and no half file is left."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe import _files
from resprobe.report import page

from tests.support.commands import Run

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def command(*arguments: str, redirect: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `resprobe` in a shell of its own, with its output led elsewhere."""
    words = [sys.executable, "-m", "resprobe", *arguments]
    return subprocess.run(["sh", "-c", f'"$@" {redirect}', "sh", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def arguments(address: str) -> list[str]:
    return ["--dataset", "digits", "--limit", "30", "--address", address, "--model", "digits"]


@needs_full
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["models"], 1),
        (["models", "--json"], 1),
        (["drift"], 2),
        (["drift", "--json"], 2),
        (["drift", "--help"], 2),
        (["classify", "--help"], 1),
    ],
)
@pytest.mark.parametrize("redirect", ["> /dev/full", ">&-"])
def test_a_standard_output_that_takes_nothing(
    address: str, arguments: list[str], words: list[str], code: int, redirect: str
) -> None:
    rest = [] if "--help" in words else arguments if words[0] == "drift" else ["--address", address]
    if not rest and redirect == ">&-":
        pytest.skip("argparse writes its help nowhere then")
    done = command(*words, *rest, redirect=redirect)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("resprobe: ")
    assert "No space left" in done.stderr or "standard output is closed" in done.stderr


def test_a_reader_that_left_is_no_verdict(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "resprobe", "drift", *arguments]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, "")


@needs_full
def test_a_table_is_shown_even_if_its_plot_is_not_written(
    run: Run,
    arguments: list[str],
    tmp_path: Path,
) -> None:
    plot, page, rows = tmp_path / "plot.svg", tmp_path / "page.html", tmp_path / "rows.parquet"
    for path in (plot, page, rows):
        path.symlink_to(FULL)
    digits = arguments[:-2]
    for words, shown in (
        (["blocks", *arguments, "--plot", str(plot)], "on 30 images of digits: accuracy"),
        (["blocks", *arguments, "--plot", str(plot), "--json"], '"accuracy"'),
        (["blocks", *arguments, "--out", str(rows)], "on 30 images of digits: accuracy"),
        (["lesions", *arguments, "--plot", str(plot)], "intact"),
        (["compare", "digits/1", "digits/2", *digits, "--out", str(page)], "agree on"),
    ):
        code, out, error = run("resprobe", *words)
        assert (code, shown in out) == (1, True)
        assert error.endswith("cannot be written: No space left on device\n")
        assert len(error.splitlines()) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["page.html", "plot.svg", "rows.parquet"]
    assert FULL.is_char_device()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.with_name("nowhere") / path.name, "is not a directory"),
        (lambda path: path.mkdir() or path, "it is a directory"),
        (lambda path: path.with_name("x" * 300 + path.suffix), "File name too long"),
        (lambda path: path.with_name("file").touch() or path.with_name("file") / path.name, "is not a directory"),
    ],
    ids=["missing", "directory", "long", "file"],
)
@pytest.mark.parametrize("words", [["blocks", "--plot", "x.svg"], ["blocks", "--out", "x.parquet"]])
def test_it_is_said_before_the_work(
    run: Run,
    tmp_path: Path,
    words: list[str],
    spoil: Callable[[Path], Path],
    message: str,
) -> None:
    path = spoil(tmp_path / words[-1])
    code, out, error = run("resprobe", *words[:-1], str(path), "--dataset", "digits", "--address", "127.0.0.1:1")
    assert (code, out) == (1, "")
    assert message in error  # and nothing of the server, which is not there


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), _files.replacing(path) as part:
            part.write_text("half")
            raise error
    assert path.read_text() == "before"
    page.write(path, "after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "link.html").symlink_to(path)
    page.write(tmp_path / "link.html", "through")
    assert path.read_text() == "through"
    with pytest.raises(resprobe.Error, match="cannot be written"):
        _files.check(tmp_path)


def test_threads_write_beside_each_other(tmp_path: Path) -> None:
    texts = {tmp_path / f"{number}.html": str(number) * 100_000 for number in range(40)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(page.write, texts, texts.values()))
    assert {path: path.read_text() for path in tmp_path.iterdir()} == texts


def test_a_failure_of_any_kind_is_no_verdict(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    from resprobe.analysis import drift

    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a mistake of ours")

    monkeypatch.setattr(drift, "drift", broken)
    code, _, error = run("resprobe", "drift", *arguments)
    assert (code, "a mistake of ours" in error) == (2, True)


@pytest.mark.parametrize(("name", "message"), [("gone", "No such file or directory"), (".", "Is a directory")])
def test_statistics_that_are_not_there(run: Run, tmp_path: Path, name: str, message: str) -> None:
    code, out, error = run("resprobe", "drift", "--stats", str(tmp_path / name))
    assert (code, out, error) == (2, "", f"resprobe: {tmp_path / name} cannot be read: {message}\n")


def test_too_few_images_are_no_verdict(run: Run, arguments: list[str]) -> None:
    few = [*arguments, "--limit", "1"]
    code, out, error = run("resprobe", "drift", *few)
    assert (code, out) == (2, "")
    assert "too few images for a verdict: 1; expected at least 10" in error


def test_other_pictures_are_answered(run: Run, address: str, tmp_path: Path) -> None:
    pictures = [tmp_path / f"{place}.png" for place in range(4)]
    for place in (0, 2):
        Image.fromarray(np.full((8, 8), place * 60, np.uint8)).save(pictures[place])
    pictures[1].write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    at = ["--address", address, "--model", "digits"]
    for more in ([], ["--json"]):
        code, out, error = run("resprobe", "classify", *map(str, pictures), *at, *more)
        assert code == 1
        assert [f"{place}.png" in out for place in range(4)] == [True, False, True, False]
        assert len(error.splitlines()) == 1
        assert "2 of 4 pictures" in error
        assert "1.png" in error
        assert "3.png cannot be read" in error
    code, out, error = run("resprobe", "classify", str(pictures[1]), *at)
    assert (code, out, "1.png" in error) == (1, "", True)
