"""Nets of timm, exported by both of torch's exporters: blocks, statistics and lesions are those of timm's own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx

from tests.support.timm_nets import NETS, REFUSED, create, export, in_pytorch, size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIONS = import_onnx.OnnxOptions(Preprocessing(MEAN, STD))
EXPORTERS = pytest.mark.parametrize("is_new", [False, True], ids=["older exporter", "torch.export"])

pytestmark = pytest.mark.long


@EXPORTERS
@pytest.mark.parametrize("name", NETS)
def test_blocks_statistics_and_lesions_are_those_of_timms_code(tmp_path: Path, name: str, is_new: bool) -> None:
    net, case = create(name), NETS[name]
    expected_count, length = case.blocks(net), size(net)
    file = onnx_source.read(export(net, tmp_path / "net.onnx", is_new), scores=True)
    version = import_onnx.import_onnx(file, OPTIONS, None, tmp_path / "models", "net")
    assert len(version.description.blocks) == expected_count
    images = np.random.default_rng(0).integers(0, 256, (2, length, length, 3), dtype=np.uint8)
    pixels = torch.from_numpy(np.moveaxis((images / 255 - MEAN) / STD, -1, 1).copy())
    scores, statistics, without = in_pytorch(net, pixels, case.shortcut, lesions=not is_new)
    assert statistics.shape[1] == expected_count
    found = Graph(version.directory / "probe.onnx").run(images)
    assert np.abs(found["logits"] - scores).max() < case.tolerance * np.abs(scores).max()
    sizes = np.array([block.channels * block.height * block.width for block in version.description.blocks])
    branch, shortcut = statistics[..., 0], statistics[..., 1]
    scale = np.stack([branch, shortcut, branch * shortcut, branch / np.sqrt(sizes)], -1)
    assert (np.abs(found["blocks"] - statistics) / scale).max() < case.tolerance
    lesion = Graph(version.directory / "lesion.onnx")
    for block, expected in enumerate(without):
        scales = np.ones((1, expected_count), np.float32)
        scales[0, block] = 0
        cut = lesion.run(images[:1], scales)["logits"][0]
        assert np.abs(cut - expected).max() < case.tolerance * np.abs(expected).max()


@EXPORTERS
@pytest.mark.parametrize("name", REFUSED)
def test_nets_without_x_plus_f_of_x_are_refused(tmp_path: Path, name: str, is_new: bool) -> None:
    file = onnx_source.read(export(create(name), tmp_path / "net.onnx", is_new), scores=True)
    with pytest.raises(ExporterError, match=r"net\.onnx has no residual additions F\(x\) \+ s\(x\)"):
        import_onnx.import_onnx(file, OPTIONS, None, tmp_path / "models", "net")
    assert not any((tmp_path / "models").glob("*/*"))
