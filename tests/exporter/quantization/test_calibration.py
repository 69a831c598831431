"""Calibration images are training images, a reproducible sample, and never those of the test."""

from pathlib import Path

import numpy as np
import pytest
from resprobe import datasets
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.quantization import calibration

from tests.support.datasets import write_cifar, write_folder


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_digits_are_drawn_from_the_training_part() -> None:
    drawn, test = calibration.load("digits", None, (8, 8, 1), 100, 3)
    again, _ = calibration.load("digits", None, (8, 8, 1), 100, 3)
    others, _ = calibration.load("digits", None, (8, 8, 1), 100, 4)
    assert (len(drawn.images), drawn.drawn_from, drawn.seed) == (100, 1437, 3)
    np.testing.assert_array_equal(drawn.images, again.images)
    assert rows(drawn.images) != rows(others.images)
    assert len(test.images) == 360
    assert not rows(drawn.images) & rows(test.images)


def test_fewer_training_images_than_wanted_are_all_taken(tmp_path: Path) -> None:
    drawn, test = calibration.load("cifar10", write_cifar(tmp_path), (32, 32, 3), 512, 0)
    assert (len(drawn.images), drawn.drawn_from, len(test.images)) == (15, 15, 3)


def test_a_folder_without_a_split_is_split_as_for_training(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    drawn, test = calibration.load("folder", tmp_path, (8, 8, 3), 100, 5)
    assert (len(drawn.images), len(test.images)) == (32, 8)


@pytest.mark.parametrize(
    ("dataset", "shape", "count", "message"),
    [
        ("digits", (8, 8, 1), 0, r"^--calibration-images 0: expected 1 or more$"),
        ("digits", (32, 32, 3), 10, r"^images of digits are 8×8×1; the model takes 32×32×3$"),
        ("folder", (8, 8, 1), 10, r"square RGB images; the model takes 8×8×1$"),
    ],
)
def test_what_cannot_calibrate_is_one_sentence(
    dataset: str, shape: tuple[int, int, int], count: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExporterError, match=message):
        calibration.load(dataset, tmp_path, shape, count, 0)  # type: ignore[arg-type]


def test_a_data_set_without_training_images_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    load = datasets.load
    monkeypatch.setattr(datasets, "load", lambda *words: load(*words).head(0 if words[2] == "train" else None))
    with pytest.raises(ExporterError, match=r"^data set digits has no training images to calibrate on$"):
        calibration.load("digits", None, (8, 8, 1), 10, 0)
