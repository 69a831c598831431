"""Folders of pictures as they lie about: what notebooks, archives and parts of a data set put beside the classes."""

from pathlib import Path

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe import datasets
from resprobe_exporter.training import data

from tests.support.datasets import write_folder


def test_what_other_programs_leave_behind_is_no_class_and_no_picture(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 1, ".ipynb_checkpoints": 1, "__MACOSX": 1, ".empty": 0})
    write_folder(tmp_path / "cat", {".ipynb_checkpoints": 1})
    (tmp_path / "cat" / "._0.png").write_bytes(bytes(200))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "cat" / "folder.png").mkdir()
    (tmp_path / "cat" / "a.gif").write_bytes(b"x")
    found = datasets.load("folder", tmp_path)
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [0, 0, 1])
    assert [Path(path).name for path in found.images] == ["0.png", "1.png", "0.png"]
    assert found.notes == (f"1 other files (.gif) in {tmp_path} were left out: not .bmp, .jpeg, .jpg, .png, .webp",)


@pytest.mark.parametrize(
    ("parts", "train", "test"),
    [
        (("train",), "train", "train"),
        (("train", "val"), "train", "val"),
        (("Train", "valid", "Test"), "Train", "Test"),
        (("test", "val"), None, "test"),
        (("validation",), None, "validation"),
    ],
)
def test_parts_are_read_as_such(tmp_path: Path, parts: tuple[str, ...], train: str | None, test: str) -> None:
    for count, part in enumerate(parts, start=1):
        write_folder(tmp_path / part, {"cat": count, "dog": count})
    (tmp_path / ".cache").mkdir()
    found = datasets.load("folder", tmp_path, "test")
    assert found.notes == (f"{test}/ of {tmp_path} was read",)
    assert len(found) == 2 * (1 + parts.index(test))
    if train is None:
        with pytest.raises(resprobe.DatasetError, match="and no train to train on"):
            datasets.load("folder", tmp_path, "train")
    else:
        assert datasets.load("folder", tmp_path, "train").notes == (f"{train}/ of {tmp_path} was read",)


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 1, "bicycle": 1})
    assert datasets.load("folder", tmp_path).classes == ("bicycle", "train")


def test_training_and_a_sweep_read_the_same_files(tmp_path: Path, address: str) -> None:
    write_folder(tmp_path, {"class1": 2, "class2": 2})
    generator = np.random.default_rng(0)
    for name in ("class1", "class2"):
        for place, suffix in enumerate((".bmp", ".BMP", ".jpeg")):
            pixels = generator.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"x{place}{suffix}")
    loaded = data.load("folder", tmp_path, size=12)
    with resprobe.Client(address) as client:
        frame = resprobe.analysis.sweep(client, datasets.load("folder", tmp_path), "colour")
    assert len(loaded.train) + len(loaded.test) == len(frame) == 10
