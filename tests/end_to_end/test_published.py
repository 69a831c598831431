"""The published CIFAR-10 nets on the original pixels: accuracy and ratios as PyTorch measured them, over gRPC.

Needs the checkpoints and the data, which are not part of this project: see CONTRIBUTING.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import resprobe
from resprobe import datasets
from resprobe.analysis.collect import sweep
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.commands import block_table
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.versions import convert, evaluation, metadata, test_set

from tests.support.servers import Serve

ROOT = os.environ.get("RESPROBE_TEST_DATA")
pytestmark = [pytest.mark.long, pytest.mark.skipif(ROOT is None, reason="RESPROBE_TEST_DATA is not set")]
CHECKPOINTS = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
# Mean over the images of the test set, from forward hooks in float64.
RATIO_20 = [0.621, 0.653, 0.644, 0.952, 0.629, 0.598, 1.681, 1.227, 2.043]
RATIO_56 = [
    0.388, 0.385, 0.300, 0.273, 0.216, 0.177, 0.237, 0.262, 0.193,
    0.442, 0.205, 0.214, 0.209, 0.194, 0.203, 0.225, 0.217, 0.216,
    0.664, 0.426, 0.403, 0.434, 0.465, 0.517, 0.515, 0.536, 0.761,
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with both nets."""
    root = tmp_path_factory.mktemp("published")
    preprocessing = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for depth, file in CHECKPOINTS.items():
        path = Path(str(ROOT)) / "checkpoints" / file
        weights = state_dict.read(path)
        net = reading.architecture_of(weights, reading.NetOptions(depth=depth))
        convert.convert(weights, net, preprocessing, None, None, root)
    return root


@pytest.fixture(scope="module")
def published(models: Path, start: Serve) -> Iterator[resprobe.Client]:
    """A client of a server with both nets."""
    with start(models) as address, resprobe.Client(address) as client:
        yield client


def test_resnet20_on_the_whole_test_set(published: resprobe.Client) -> None:
    images = datasets.load("cifar10", Path(str(ROOT)) / "data")
    swept = sweep(published, images, published.model("resnet20"))
    assert len(swept.blocks) == 10_000
    assert abs((swept.predicted == swept.labels).sum() - 9173) <= 1
    assert np.round(swept.blocks.ratio.mean(axis=0, dtype=np.float64), 3).tolist() == RATIO_20


def test_resnet56_on_a_thousand_images(published: resprobe.Client) -> None:
    images = datasets.load("cifar10", Path(str(ROOT)) / "data").head(1000)
    swept = sweep(published, images, published.model("resnet56"))
    np.testing.assert_allclose(swept.blocks.ratio.mean(axis=0), RATIO_56, rtol=0.02)  # they are of all images


def test_the_closed_form_agrees_with_what_is_measured(models: Path) -> None:
    directory = models / "resnet20" / "1"
    images = test_set.load("cifar10", Path(str(ROOT)) / "data", (32, 32, 3), 1000)
    model = metadata.read(directory)
    for row in block_table.rows(model, evaluation.measure_version(directory, model, images)):
        assert row.deviation is not None
        assert abs(row.deviation) < 0.15, row.name
