"""An imported ONNX file as a model: whichever tool wrote it, its blocks are found, and their numbers are PyTorch's."""

from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import resprobe
import torch
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import response_std
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx, metadata, test_set
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from torch import nn

from tests.support.exported_nets import (
    FREE,
    IMAGES,
    MEAN,
    NORMS,
    OPEN,
    SIZE,
    STD,
    Bottleneck,
    changed,
    export,
    hooked,
    import_net,
    make,
    old,
)
from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve

EXPORTS: dict[str, tuple[dict[str, bool], dict[str, Any]]] = {
    "torch.export": ({}, {"dynamo": True, "dynamic_shapes": {"x": {0: torch.export.Dim("b")}}, "verbose": False}),
    "one image, opset 9": ({}, old(9)),
    "opset 11": ({}, old(11, dynamic_axes=FREE)),
    "with its batch norms": ({}, old(13, dynamic_axes=FREE, **NORMS)),
    "of any size": ({}, old(17, dynamic_axes=OPEN)),
    "weights among the inputs": ({}, old(13, keep_initializers_as_inputs=True)),
    "probabilities": ({"probabilities": True}, old(12)),
    "channels last": ({"channels_last": True}, old(12, dynamic_axes=FREE)),
}


@pytest.mark.parametrize(("net", "options"), EXPORTS.values(), ids=EXPORTS)
def test_whichever_tool_wrote_it_the_numbers_are_pytorchs(
    tmp_path: Path, net: dict[str, bool], options: dict[str, Any]
) -> None:
    module = make(**net)
    shape = (1, SIZE, SIZE, 3) if module.channels_last else (1, 3, SIZE, SIZE)
    directory = import_net(export(module, tmp_path / "net.onnx", shape, **options), tmp_path / "models")
    model = metadata.read(directory)
    assert (model.family, model.depth, len(model.classes)) == ("onnx", 11, 5)
    assert (model.image.height, model.image.width, model.image.channels) == (SIZE, SIZE, 3)
    assert [block.name for block in model.blocks] == ["stage1.block0", "stage1.block1", "stage2.block0"]
    assert [block.stride for block in model.blocks] == [1, 1, 2]
    kinds = metadata.KINDS
    assert [block.shortcut for block in model.blocks] == [kinds["projection"], kinds["identity"], kinds["projection"]]
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    found = Graph(directory / "probe.onnx").run(images)
    scores, statistics = hooked(module, images)
    np.testing.assert_allclose(found["logits"], scores, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["blocks"], statistics, rtol=1e-3, atol=1e-3)


def test_where_batch_norms_are_left_the_closed_form_is_known(tmp_path: Path) -> None:
    net = make()
    path = export(net, tmp_path / "net.onnx", **old(13, **NORMS))
    model = metadata.read(import_net(path, tmp_path / "models"))
    for block, info in zip(net.blocks, model.blocks, strict=True):
        assert isinstance(block, Bottleneck)
        norm = block.branch[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        assert info.response_std == pytest.approx(response_std(norm), rel=1e-5)
    assert model.parameter_count == sum(parameter.numel() for parameter in net.parameters())


def test_half_precision_is_kept(tmp_path: Path) -> None:
    net = make().half()
    directory = import_net(export(net, tmp_path / "net.onnx", **old(17, dynamic_axes=FREE)), tmp_path / "models")
    weights = sum(parameter.numel() for parameter in net.parameters()) * 2
    assert weights / 2 < (directory / "weights.bin").stat().st_size < 1.5 * weights


def test_it_is_served_like_a_net_of_our_own(start: Serve, tmp_path: Path) -> None:
    net = make(probabilities=True)
    options = import_onnx.OnnxOptions(Preprocessing(MEAN, STD), tuple("abcde"), "bottleneck")
    import_net(export(net, tmp_path / "net.onnx", **old(12)), tmp_path / "models", options)
    images = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    scores, statistics = hooked(net, images)
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        result = client.classify(images, blocks=True)
        cut = client.classify(images, block_scale=[1, 0, 1])
        assert client.models()[0].family == "bottleneck"
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert result.labels == ["abcde"[index] for index in scores.argmax(1)]
    np.testing.assert_allclose(result.probabilities, -np.sort(-probabilities, axis=1), rtol=1e-3)
    assert result.blocks is not None
    np.testing.assert_allclose(result.blocks.ratio, statistics[..., 0] / statistics[..., 1], rtol=1e-3)
    assert not np.allclose(cut.probabilities, result.probabilities, rtol=1e-3)


def test_without_a_preprocessing_it_takes_and_returns_what_it_did(start: Serve, tmp_path: Path) -> None:
    net = make(probabilities=True)
    directory = import_net(
        export(net, tmp_path / "net.onnx", **old(12)), tmp_path / "models", import_onnx.OnnxOptions()
    )
    assert not metadata.read(directory).HasField("image")
    data = np.random.default_rng(1).standard_normal((4, 3, SIZE, SIZE)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(data)).numpy()
    request = pb.ModelInferRequest(model_name="net", raw_input_contents=[data.tobytes()])
    request.inputs.add(name="data", datatype="FP32", shape=data.shape)
    with start(tmp_path / "models") as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        (described,) = stub.ModelMetadata(pb.ModelMetadataRequest(name="net")).outputs
        plain = stub.ModelInfer(request)
        request.outputs.add(name="blocks")
        blocks = stub.ModelInfer(request)
    assert (described.name, described.datatype, list(described.shape)) == ("prob", "FP32", [-1, 5])
    np.testing.assert_allclose(np.frombuffer(plain.raw_output_contents[0], np.float32), expected.ravel(), rtol=1e-4)
    assert list(blocks.outputs[0].shape) == [4, 3, 4]


def test_a_graph_in_our_form_keeps_it_and_is_measured(repository: Path, tmp_path: Path) -> None:
    ours = repository / "digits" / "1"
    load = partial(test_set.load, "digits", None)
    imported = import_onnx.import_onnx(
        onnx_source.read(ours / "model.onnx"), import_onnx.OnnxOptions(), load, tmp_path, "digits"
    ).description
    model = metadata.read(ours)
    assert imported.evaluation == model.evaluation
    assert imported.classes == model.classes
    for one, other in zip(imported.blocks, model.blocks, strict=True):
        assert one.name == other.name
        assert one.baseline["ratio"].mean == pytest.approx(other.baseline["ratio"].mean, rel=1e-4)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_net_of_our_own_that_comes_as_a_file(tmp_path: Path, shortcut: str) -> None:
    net = small_net(shortcut=shortcut, depth=14)
    file = export(net, tmp_path / "net.onnx", (1, 1, 8, 8), **old(13, dynamic_axes=FREE))
    options = import_onnx.OnnxOptions(Preprocessing((0.4,), (0.3,)))
    imported = import_onnx.import_onnx(onnx_source.read(file), options, None, tmp_path / "models", "imported")
    published = publish_net(net, tmp_path / "models", "published")
    for one, other in zip(imported.description.blocks, metadata.read(published).blocks, strict=True):
        for field in ("name", "stage", "index", "channels", "height", "width", "stride", "shortcut"):
            assert getattr(one, field) == getattr(other, field)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    found, expected = (Graph(one / "probe.onnx").run(images) for one in (imported.directory, published))
    for name in ("logits", "blocks"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4)
    if shortcut == "A":  # zero-padded shortcuts stay in the layout of their neighbours
        assert not {"Slice", "Pad"} & {node.op_type for node in onnx.load(imported.directory / "model.onnx").graph.node}


def test_reshapes_may_share_what_they_are_told_and_have_no_names(tmp_path: Path) -> None:
    path = export(make(), tmp_path / "net.onnx", **old(13))  # for one image
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 5]), "shape"))
    model.graph.node.extend(onnx.helper.make_node("Reshape", [a, "shape"], [b]) for a, b in (("prob", "b"), ("b", "c")))
    model.graph.output[0].name = "c"
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)
    directory = import_net(path, tmp_path / "models")
    assert Graph(directory / "model.onnx").run(np.zeros((3, SIZE, SIZE, 3), np.uint8))["logits"].shape == (3, 5)


def test_names_that_are_ours_may_be_taken(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        names = ("image", "logits", "blocks", "block_scale", "last")
        pairs = zip(("prob", *names), names, strict=False)
        model.graph.node.extend(onnx.helper.make_node("Neg", [one], [other]) for one, other in pairs)
        model.graph.output[0].name = "last"

    path = changed(tmp_path, change)
    for root, options in (("typed", IMAGES), ("tensors", import_onnx.OnnxOptions())):
        assert len(metadata.read(import_net(path, tmp_path / root, options)).blocks) == 3


def test_a_sum_of_two_is_an_addition(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "Add":
                node.op_type = "Sum"

    assert len(metadata.read(import_net(changed(tmp_path, change), tmp_path / "models")).blocks) == 3


@pytest.mark.parametrize("operands", [("Sigmoid", "Tanh"), ("Relu", "prob")], ids=["no shortcut", "no weights"])
def test_other_additions_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], operands: tuple[str, str]
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.extend([onnx.helper.make_node(kind, ["prob"], [kind]) for kind in operands if kind != "prob"])
        model.graph.node.append(onnx.helper.make_node("Add", operands, ["both"]))
        model.graph.output[0].name = "both"

    directory = import_net(changed(tmp_path, change), tmp_path / "models", import_onnx.OnnxOptions())
    assert len(metadata.read(directory).blocks) == 3
    assert "left out, as not F(x) + s(x): both" in capsys.readouterr().err
