"""Reading data sets: the official layouts are understood, and every broken file is named."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from resprobe import datasets
from resprobe.datasets import CIFAR

from tests.support.datasets import write_cifar, write_folder


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("nested", [False, True], ids=["directory", "parent"])
def test_cifar_binary_layout(tmp_path: Path, name: datasets.Name, nested: bool) -> None:
    write_cifar(tmp_path / CIFAR[name].folder if nested else tmp_path, name)
    train, test = (datasets.load(name, tmp_path, split) for split in ("train", "test"))
    assert len(train) == 3 * len(CIFAR[name].train)
    assert len(test) == 3
    assert isinstance(test.images, np.ndarray)
    assert test.images.shape == (3, 32, 32, 3)
    assert test.images[2, 5, 7].tolist() == [2, 102, 2]  # channels last
    assert test.labels.tolist() == [0, 1, 2]
    assert test.classes[:2] == ("c0", "c1")


def break_truncated(directory: Path) -> None:
    path = directory / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])


def break_empty(directory: Path) -> None:
    (directory / "data_batch_2.bin").write_bytes(b"")


def break_missing(directory: Path) -> None:
    (directory / "data_batch_5.bin").unlink()


def break_label(directory: Path) -> None:
    path = directory / "data_batch_1.bin"
    data = bytearray(path.read_bytes())
    data[3073] = 10
    path.write_bytes(bytes(data))


def break_names(directory: Path) -> None:
    (directory / "batches.meta.txt").write_text("cat\ndog\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_truncated, r"data_batch_3.bin has 9218 bytes; expected a whole number of records of 3073"),
        (break_empty, r"data_batch_2.bin has 0 bytes"),
        (break_missing, r"data_batch_5.bin cannot be read: No such file"),
        (break_label, r"data_batch_1.bin: record 1 has label 10; expected 0 to 9"),
        (break_names, r"batches.meta.txt names 2 classes; expected 10"),
    ],
    ids=["truncated", "empty", "missing", "label", "names"],
)
def test_a_broken_cifar_file_is_named(tmp_path: Path, damage: object, message: str) -> None:
    write_cifar(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(resprobe.DatasetError, match=message):
        datasets.load("cifar10", tmp_path, "train")


@given(st.binary(max_size=200).map(lambda tail: bytes(3073) + tail))
def test_no_file_content_gets_through_unchecked(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = write_cifar(tmp_path_factory.mktemp("cifar"))
    (directory / "test_batch.bin").write_bytes(content)
    if len(content) % 3073 == 0:
        assert len(datasets.load("cifar10", directory)) == len(content) // 3073
    else:
        with pytest.raises(resprobe.DatasetError, match=f"has {len(content)} bytes"):
            datasets.load("cifar10", directory)


def test_digits_have_a_fixed_stratified_split() -> None:
    train, test = datasets.load("digits", split="train"), datasets.load("digits")
    assert (len(train), len(test)) == (1437, 360)
    assert np.bincount(test.labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert isinstance(test.images, np.ndarray)
    assert test.images.shape[1:] == (8, 8, 1)
    assert (test.images.min(), test.images.max()) == (0, 255)
    again = datasets.load("digits")
    assert np.array_equal(test.images, np.asarray(again.images))


BLOCKED = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_blocked(names: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in which packages cannot be imported."""
    program = BLOCKED.format(names=names) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)


EXPORTER = {"torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "safetensors"}
BLOCKS = "from resprobe.__main__ import main; sys.argv[1:] = {words}; main()"


def test_digits_need_no_torch(address: str) -> None:
    code = "from resprobe import datasets; print(len(datasets.load('digits')))"
    assert run_blocked(EXPORTER, code).stdout == "360\n"
    words = ["blocks", "--dataset", "digits", "--limit", "20", "--model", "digits", "--json", "--address", address]
    done = run_blocked(EXPORTER, BLOCKS.format(words=words))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["images"] == 20


def test_digits_say_which_extra_is_missing(address: str) -> None:
    words = ["blocks", "--dataset", "digits", "--model", "digits", "--address", address]
    done = run_blocked(EXPORTER | {"sklearn"}, BLOCKS.format(words=words))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("the digits come with scikit-learn: pip install 'resprobe[digits]'\n")
    assert done.stderr.count("\n") == 1
    code = """
from resprobe import MissingPackage, datasets
try: datasets.load('digits')
except MissingPackage as error: print(error)
"""
    assert (
        run_blocked({"sklearn"}, code).stdout == "the digits come with scikit-learn: pip install 'resprobe[digits]'\n"
    )


def test_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog": 2, "cat": 3})
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    found = datasets.load("folder", tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    assert [Path(path).name for path in found.images] == ["0.png", "1.png", "2.png", "0.png", "1.png"]


def test_folder_with_parts(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"dog": 2, "cat": 3})
    write_folder(tmp_path / "test", {"dog": 1, "cat": 1})
    assert len(datasets.load("folder", tmp_path, "train")) == 5
    assert len(datasets.load("folder", tmp_path, "test")) == 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"cat": 1, "dog": 0}, "class dog is empty"),
        ({"cat": 1}, "there is only cat"),
        ({}, "there is none"),
    ],
    ids=["empty class", "one class", "no class"],
)
def test_a_folder_that_cannot_be_learned_from(tmp_path: Path, sizes: dict[str, int], message: str) -> None:
    write_folder(tmp_path, sizes)
    with pytest.raises(resprobe.DatasetError, match=message):
        datasets.load("folder", tmp_path)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(resprobe.DatasetError, match=r"broken.png cannot be read as a picture"):
        datasets.read_picture(path, 8, 8, 3)


@pytest.mark.parametrize(
    ("name", "directory", "message"),
    [
        ("cifar10", None, "--dataset cifar10 needs --data DIR"),
        ("cifar10", Path("/nowhere"), "/nowhere is not a directory"),
        ("mnist", Path("."), "unknown data set 'mnist'; there are digits"),
    ],
)
def test_what_is_not_there_is_said(name: datasets.Name, directory: Path | None, message: str) -> None:
    with pytest.raises(resprobe.DatasetError, match=message):
        datasets.load(name, directory)


def test_head_takes_the_first() -> None:
    whole = datasets.load("digits")
    assert len(whole.head(7)) == 7
    assert len(whole.head(None)) == len(whole)
    assert len(whole.head(10**6)) == len(whole)
