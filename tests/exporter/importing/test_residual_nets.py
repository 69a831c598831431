"""Transformers, mixers, ConvNeXts and MLPs: their blocks are found, and statistics and lesions are PyTorch's."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
import torch
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx
from resprobe_protos import resprobe_pb2 as pb
from torch import nn

from tests.support.residual_nets import KINDS, SIZE, export, make, residuals
from tests.support.servers import Serve

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
OPTIONS = import_onnx.OnnxOptions(Preprocessing(MEAN, STD))


def in_pytorch(net: nn.Module, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], ...]:
    """Scores, block statistics, and scores of the first image without each block, in float64."""
    pixels = torch.from_numpy(np.moveaxis((images / 255 - MEAN) / STD, -1, 1).copy())
    blocks, rows, without = residuals(net.double()), [], []
    with torch.no_grad():
        scores = net(pixels)
        for block in blocks:
            assert block.seen is not None
            branch, shortcut = (one.flatten(1) for one in block.seen)
            rows.append(
                torch.stack([branch.norm(dim=1), shortcut.norm(dim=1), (branch * shortcut).sum(1), branch.mean(1)], 1)
            )
        for block in blocks:
            block.is_cut = True
            without.append(net(pixels[:1])[0])
            block.is_cut = False
    return scores.numpy(), torch.stack(rows, 1).numpy(), torch.stack(without).numpy()


@pytest.mark.parametrize("is_new", [True, False], ids=["torch.export", "older exporter"])
@pytest.mark.parametrize("name", KINDS)
def test_blocks_of_any_rank_have_pytorchs_numbers(tmp_path: Path, name: str, is_new: bool) -> None:
    net = make(name)
    file = onnx_source.read(export(net, tmp_path / "net.onnx", is_new), scores=True)
    built = import_onnx.import_onnx(file, OPTIONS, None, tmp_path / "models", "net")
    described = [
        (
            block.name,
            block.channels,
            block.height,
            block.width,
            pb.BranchKind.Name(block.branch).removeprefix("BRANCH_KIND_").lower(),
            tuple(pb.AxisKind.Name(axis).removeprefix("AXIS_KIND_").lower() for axis in block.axes),
        )
        for block in built.description.blocks
    ]
    assert described == list(KINDS[name].blocks)
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    scores, statistics, without = in_pytorch(net, images)
    found = Graph(built.directory / "probe.onnx").run(images)
    np.testing.assert_allclose(found["logits"], scores, rtol=1e-4, atol=1e-4)
    lengths = statistics[..., :1] * statistics[..., 1:2]
    scale = np.concatenate([statistics[..., :2], lengths, statistics[..., :1]], axis=-1)
    assert (np.abs(found["blocks"] - statistics) / scale).max() < 1e-4
    lesions = np.float32(1) - np.eye(len(without), dtype=np.float32)
    cut = Graph(built.directory / "lesion.onnx").run(np.repeat(images[:1], len(without), 0), lesions)["logits"]
    np.testing.assert_allclose(cut, without, rtol=1e-4, atol=1e-4)


def test_a_client_sees_kinds_and_axes_of_a_served_transformer(start: Serve, tmp_path: Path) -> None:
    file = onnx_source.read(export(make("vit"), tmp_path / "net.onnx", False), scores=True)
    import_onnx.import_onnx(file, OPTIONS, None, tmp_path / "models", "vit")
    images = np.random.default_rng(1).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        (model,) = client.models()
        result = client.classify(images, blocks=True)
        cut = client.classify(images, block_scale={"stage1.block0.attention": 0})
    assert [block.branch for block in model.blocks] == ["attention", "mlp"] * 2
    assert {(block.shape, block.axes, block.size) for block in model.blocks} == {("17×8", ("tokens", "channels"), 136)}
    assert result.blocks is not None
    _, statistics, _ = in_pytorch(make("vit"), images)
    np.testing.assert_allclose(result.blocks.ratio, statistics[..., 0] / statistics[..., 1], rtol=1e-4)
    assert not np.allclose(cut.probabilities, result.probabilities, rtol=1e-3)
