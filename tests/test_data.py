"""Tensors to train on."""

from pathlib import Path

import pytest
import resprobe
from resprobe_exporter import data
from test_datasets import write_cifar, write_folder


def test_digits(digits: data.Data) -> None:
    assert digits.shape == (1, 8, 8)
    assert not digits.mirrored
    assert digits.mean[0] == pytest.approx(digits.train.images.float().mean().item() / 255)
    assert digits.std[0] == pytest.approx(digits.train.images.float().std().item() / 255, rel=1e-4)


def test_a_folder_is_split_by_class_and_resized(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 5})
    loaded = data.load("folder", tmp_path, size=16)
    assert loaded.shape == (3, 16, 16)
    assert sorted(loaded.test.labels.tolist()) == [0, 0, 1]
    assert len(loaded.train) == 12
    assert loaded.mirrored


def test_whether_to_mirror_can_be_chosen(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    assert data.load("cifar10", tmp_path).mirrored
    assert not data.load("cifar10", tmp_path, mirrored=False).mirrored


def test_a_class_too_small_to_split_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 1})
    with pytest.raises(resprobe.DatasetError, match="class dog has 1 picture; at least 2"):
        data.load("folder", tmp_path)


def test_parts_with_other_classes_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 2, "dog": 2})
    write_folder(tmp_path / "test", {"cat": 2, "cow": 2})
    with pytest.raises(resprobe.DatasetError, match="hold different classes"):
        data.load("folder", tmp_path)


def test_images_without_any_contrast_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        (tmp_path / name / "1.png").write_bytes((tmp_path / name / "0.png").read_bytes())
    with pytest.raises(resprobe.DatasetError, match="are one colour"):
        data.load("folder", tmp_path)
