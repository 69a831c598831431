"""Data sets as tensors: splits, resizing, normalisation and held-out images."""

from pathlib import Path

import pytest
import resprobe
import torch
from resprobe_exporter.training import data

from tests.support.datasets import write_cifar, write_folder


def test_the_digits_have_their_shape_mean_and_deviation(digits: data.Data) -> None:
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


def test_mirroring_can_be_switched_off(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    assert data.load("cifar10", tmp_path).mirrored
    assert not data.load("cifar10", tmp_path, mirrored=False).mirrored


def test_a_class_too_small_to_split_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 1})
    with pytest.raises(resprobe.DatasetError, match="class dog has 1 picture; at least 2"):
        data.load("folder", tmp_path)


def test_a_test_part_with_an_unknown_class_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 2, "dog": 2})
    write_folder(tmp_path / "test", {"cat": 2, "cow": 2})
    with pytest.raises(resprobe.DatasetError, match="part to train on has no class 'cow'"):
        data.load("folder", tmp_path)


def test_the_test_part_may_lack_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ape": 1, "cat": 2, "dog": 2, ".cache": 1})
    write_folder(tmp_path / "val", {"dog": 3, "cat": 1})
    loaded = data.load("folder", tmp_path)
    assert loaded.classes == ("ape", "cat", "dog")
    assert loaded.test.labels.tolist() == [1, 2, 2, 2]
    assert loaded.notes == (f"train/ of {tmp_path} was read", f"val/ of {tmp_path} was read")


def test_images_without_any_contrast_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        (tmp_path / name / "1.png").write_bytes((tmp_path / name / "0.png").read_bytes())
    with pytest.raises(resprobe.DatasetError, match="are one colour"):
        data.load("folder", tmp_path)


def test_the_mean_of_each_pixel_is_only_subtracted() -> None:
    loaded = data.load("digits", mean="pixel")
    pixels = loaded.train.images.double() / 255
    assert isinstance(loaded.mean, torch.Tensor)
    torch.testing.assert_close(loaded.mean, pixels.mean(0).float())
    expected = (pixels[:3] - pixels.mean(0)).float()
    torch.testing.assert_close(data.normalise(loaded.train.images[:3], loaded), expected)


def test_images_are_held_out_of_training(digits: data.Data) -> None:
    loaded, again, other = (data.load("digits", validation=200, seed=seed) for seed in (1, 1, 2))
    assert loaded.validation is not None
    assert again.validation is not None
    assert other.validation is not None
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (1237, 200, 360)
    assert torch.equal(loaded.validation.images, again.validation.images)
    assert not torch.equal(loaded.validation.images, other.validation.images)
    both = torch.cat([loaded.train.images, loaded.validation.images]).flatten(1)
    assert sorted(both.tolist()) == sorted(digits.train.images.flatten(1).tolist())
    assert loaded.mean[0] == pytest.approx(loaded.train.images.float().mean().item() / 255)
    with pytest.raises(resprobe.DatasetError, match="1437 images to validate with: expected 1 to 1436"):
        data.load("digits", validation=1437)
