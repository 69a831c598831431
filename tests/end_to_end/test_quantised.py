"""The published CIFAR-10 nets in float16 and int8, on 2,000 test images, against float32.

Needs the checkpoints and the data, which are not part of this project: see CONTRIBUTING.md.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.quantization import calibration, quantize, source
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import convert, metadata
from resprobe_exporter.versions.test_set import LabelledImages

ROOT = os.environ.get("RESPROBE_TEST_DATA")
pytestmark = [pytest.mark.long, pytest.mark.skipif(ROOT is None, reason="RESPROBE_TEST_DATA is not set")]
CHECKPOINTS = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
IMAGES = 2000


@pytest.fixture(scope="module")
def images() -> tuple[Calibration, LabelledImages]:
    drawn, test = calibration.load("cifar10", Path(str(ROOT)) / "data", (32, 32, 3), 512, 0)
    return drawn, replace(test, images=test.images[:IMAGES], labels=test.labels[:IMAGES])


def published(depth: int, root: Path) -> Source:
    """Converts a published net to a float32 version."""
    weights = state_dict.read(Path(str(ROOT)) / "checkpoints" / CHECKPOINTS[depth])
    net = reading.architecture_of(weights, reading.NetOptions(depth=depth))
    preprocessing = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    return source.read(convert.convert(weights, net, preprocessing, tuple(names), None, root).directory)


def ratios(directory: Path, images: np.ndarray) -> np.ndarray:
    """Returns the mean ratio of every block, from a version's probe graph."""
    blocks = np.concatenate([one["blocks"] for one in Graph(directory / "probe.onnx").run_batches(images)])
    means: np.ndarray = (blocks[..., 0].astype(np.float64) / blocks[..., 1]).mean(axis=0)
    return means


@pytest.mark.parametrize("depth", CHECKPOINTS)
def test_float16_agrees_with_float32(depth: int, images: tuple[Calibration, LabelledImages], tmp_path: Path) -> None:
    float32 = published(depth, tmp_path)
    version = quantize.quantise(float32, Settings("float16"), None, images[1], tmp_path, "half")
    assert version.description.quantization.agreement >= 0.999
    some = images[1].images[:500]
    np.testing.assert_allclose(ratios(version.directory, some), ratios(float32.directory, some), rtol=1e-2)
    for block in version.description.blocks:
        assert block.noise["test"].ratio_after == pytest.approx(block.noise["test"].ratio_before, rel=1e-2)


def test_int8_keeps_the_accuracy(images: tuple[Calibration, LabelledImages], tmp_path: Path) -> None:
    float32 = published(20, tmp_path)
    version = quantize.quantise(float32, Settings("int8"), *images, tmp_path, "int8")
    known = metadata.read(version.directory).quantization
    assert known.after.image_count == IMAGES
    # 0.3 points are promised over all 10,000 images; of 2,000, the interval of the change must allow for as much.
    assert known.accuracy_change_lower <= 0.003
    assert known.accuracy_change_upper >= -0.003
    assert known.agreement >= 0.985
    assert known.calibration.image_count == 512
