"""The float32 version that the tests of this room quantise, and images to do it with."""

from pathlib import Path

import pytest
from resprobe_exporter.quantization import calibration, quantize, source
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.versions.test_set import LabelledImages


@pytest.fixture(scope="session")
def float32(repository: Path) -> Source:
    """A net of depth 8, trained on digits for two epochs."""
    return source.read(repository / "digits" / "1")


@pytest.fixture(scope="session")
def digit_images(float32: Source) -> tuple[Calibration, LabelledImages]:
    return calibration.load("digits", None, float32.image, 64, 0)


@pytest.fixture(scope="session")
def int8(
    float32: Source, digit_images: tuple[Calibration, LabelledImages], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Directory of an int8 version."""
    root = tmp_path_factory.mktemp("int8")
    return quantize.quantise(float32, Settings(), *digit_images, root, "digits-int8").directory


@pytest.fixture(scope="session")
def float16(
    float32: Source, digit_images: tuple[Calibration, LabelledImages], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Directory of a float16 version."""
    root = tmp_path_factory.mktemp("float16")
    settings = Settings("float16")
    return quantize.quantise(float32, settings, None, digit_images[1], root, "digits-float16").directory
