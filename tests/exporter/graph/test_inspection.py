"""What inspect.onnx returns is what PyTorch's hooks see in float64: norms, readouts, class activation maps."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
import torch
from resprobe_exporter.graph.inspection.cam import AddActivationMaps
from resprobe_exporter.graph.inspection.norms import AddNorms
from resprobe_exporter.graph.inspection.readouts import AddReadouts
from resprobe_exporter.nets.blocks import Addition
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.verification.ort import Graph
from torch import Tensor, nn

from tests.support.graph_builder import Builder, run
from tests.support.nets import publish_net, small_net

Array = npt.NDArray[np.float64]
NETS = [
    ("resnet", "A", 8),
    ("resnet", "A-avgpool", 7),
    ("preact", "A", 7),
    ("preact", "B", 8),
    ("resnet", "C", 8),
]


def noise(size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 1), dtype=np.uint8)


def inspected(directory: Path, images: npt.NDArray[np.uint8], scale: npt.NDArray[np.float32]) -> dict[str, Array]:
    outputs = Graph(directory / "inspect.onnx").run(images, scale)
    return {name: array.astype(np.float64) for name, array in outputs.items()}


def hooked(net: ResNet, images: npt.NDArray[np.uint8]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Branch and shortcut of each block, and what the head reads, in float64."""
    operands: list[tuple[Tensor, Tensor]] = []
    net = net.double()
    features: list[Tensor] = []

    def tap(_module: nn.Module, pair: tuple[Tensor, Tensor], _total: Tensor) -> None:
        operands.append((pair[0].detach(), pair[1].detach()))

    for module in net.modules():
        if isinstance(module, Addition):
            module.register_forward_hook(tap)
    last = net.stage3 if net.architecture.family != "preact" else net.bn
    assert isinstance(last, nn.Module)
    last.register_forward_hook(lambda _module, _inputs, output: features.append(output.detach()))
    with torch.no_grad():
        net((torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255 - 0.4) / 0.3)
    return operands, features[0].relu()


@pytest.mark.parametrize(("family", "shortcut", "size"), NETS)
def test_norms_and_activation_maps_are_pytorchs(tmp_path: Path, family: str, shortcut: str, size: int) -> None:
    net, images = small_net(family, shortcut, size, depth=14), noise(size)
    found = inspected(publish_net(net, tmp_path, "net"), images, np.ones((3, 6), np.float32))
    operands, features = hooked(net, images)
    for place, axis, name in ((0, 1, "maps"), (1, (2, 3), "channels")):
        norms = [torch.stack([one.pow(2).sum(axis).sqrt().flatten(1) for one in pair], 1) for pair in operands]
        expected = torch.cat(norms, dim=2).numpy()
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6, err_msg=f"{name} {place}")
    weights = net.linear.weight.detach().double()
    cam = torch.einsum("kc,nchw->nkhw", weights, features).numpy()
    np.testing.assert_allclose(found["cam"], cam, rtol=1e-4, atol=1e-4 * np.abs(cam).max())
    bias = net.linear.bias.detach().numpy()
    np.testing.assert_allclose(found["cam"].mean((2, 3)) + bias, found["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("family", "shortcut"), [("resnet", "A"), ("resnet", "B"), ("preact", "A"), ("preact", "B")])
def test_readouts_are_the_logits_without_the_later_blocks(tmp_path: Path, family: str, shortcut: str) -> None:
    directory = publish_net(small_net(family, shortcut, depth=20), tmp_path, "net")
    images = noise(8)
    found = inspected(directory, images, np.ones((3, 9), np.float32))
    assert found["readouts"].shape == (3, 3, 10)  # of the last stage
    np.testing.assert_array_equal(found["readouts"][:, -1], found["logits"])
    for row, block in enumerate((6, 7, 8)):
        scale = np.tile((np.arange(9) <= block).astype(np.float32), (3, 1))
        without = Graph(directory / "lesion.onnx").run(images, scale)["logits"]
        np.testing.assert_allclose(found["readouts"][:, row], without, rtol=1e-4, atol=1e-4)


def test_readouts_are_of_the_scaled_net(tmp_path: Path) -> None:
    directory, images = publish_net(small_net(depth=14), tmp_path, "net"), noise(8)
    scale = np.full((3, 6), 0.5, np.float32)
    found = inspected(directory, images, scale)
    expected = Graph(directory / "lesion.onnx").run(images, scale)["logits"]
    np.testing.assert_allclose(found["readouts"][:, -1], expected, rtol=1e-4, atol=1e-5)


def test_norms_of_tokens_and_vectors() -> None:
    generator = np.random.default_rng(1)
    for shape, axis in (((5, 6), 2), ((6,), 1), ((4, 5, 6), 3)):
        build, sizes = Builder(), (None, *shape)
        build.input.shape = ir.Shape(sizes)
        scale = generator.standard_normal(shape[-1]).astype(np.float32)
        branch = build.op("Mul", build.op("Relu", build.input, shape=sizes), build.constant(scale), shape=sizes)
        model = build.model(build.op("Add", branch, build.input, shape=sizes))
        AddNorms([axis])(model)
        x = generator.standard_normal((3, *shape)).astype(np.float32)
        _, maps, channels = run(model, x=x)
        operands = np.stack([np.maximum(x, 0) * scale, x], 1).astype(np.float64) ** 2
        flat = operands.reshape(3, 2, -1, shape[-1])
        np.testing.assert_allclose(maps, np.sqrt(flat.sum(3)), rtol=1e-5)
        np.testing.assert_allclose(channels, np.sqrt(flat.sum(2)), rtol=1e-5)


def test_a_head_that_reads_more_than_the_last_block_has_no_readouts() -> None:
    build = Builder()
    first = build.op("Relu", build.op("Add", build.branch(build.input), build.input))
    last = build.op("Relu", build.op("Add", build.branch(first), first))
    both = build.op("Add", build.op("GlobalAveragePool", last), build.op("GlobalAveragePool", first))
    model = build.model(both)
    model.graph.outputs[0].name = "logits"
    names = [output.name for output in model.graph.outputs]
    AddReadouts({}, [1, 1])(model)
    AddActivationMaps(6, 6)(model)
    assert [output.name for output in model.graph.outputs] == names


def test_codes_are_decoded_where_tensors_are_quantised(quantised: Path) -> None:
    images = np.random.default_rng(3).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    directory = quantised / "digits-int8" / "1"
    found = inspected(directory, images, np.ones((5, 3), np.float32))
    blocks = Graph(directory / "probe.onnx").run(images)["blocks"].astype(np.float64)
    ends = np.cumsum([64, 16, 4])[:-1], np.cumsum([16, 32, 64])[:-1]
    for name, places in zip(("maps", "channels"), ends, strict=True):
        sums = [np.square(part).sum(axis=2) for part in np.split(found[name], places, axis=2)]
        np.testing.assert_allclose(np.sqrt(np.stack(sums, axis=1)), blocks[..., :2], rtol=2e-2)
        np.testing.assert_allclose(np.sqrt(np.stack(sums, axis=1)), found["blocks"][..., :2], rtol=1e-4)
