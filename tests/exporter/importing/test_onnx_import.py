"""An imported ONNX file as a model: whoever wrote it, its blocks are found, and their numbers are PyTorch's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import resprobe
import torch
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import response_std
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx, metadata, test_set
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from torch import nn

from tests.support.foreign_nets import FREE, MEAN, NORMS, OPEN, SIZE, STD, Bottleneck, export, hooked, make, old
from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve

TYPED = import_onnx.OnnxOptions(Preprocessing(MEAN, STD))
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


def take(path: Path, root: Path, options: import_onnx.OnnxOptions = TYPED, **more: Any) -> Path:
    size = (SIZE, SIZE)
    file = onnx_source.read(path, size, scores=options.preprocessing is not None)
    return import_onnx.import_onnx(file, options, None, root, more.get("name", "net")).directory


@pytest.mark.parametrize(("net", "options"), EXPORTS.values(), ids=EXPORTS)
def test_whoever_wrote_it_the_numbers_are_pytorchs(
    tmp_path: Path, net: dict[str, bool], options: dict[str, Any]
) -> None:
    module = make(**net)
    shape = (1, SIZE, SIZE, 3) if module.channels_last else (1, 3, SIZE, SIZE)
    directory = take(export(module, tmp_path / "net.onnx", shape, **options), tmp_path / "models")
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
    model = metadata.read(take(path, tmp_path / "models"))
    for block, info in zip(net.blocks, model.blocks, strict=True):
        assert isinstance(block, Bottleneck)
        norm = block.branch[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        assert info.response_std == pytest.approx(response_std(norm), rel=1e-5)
    assert model.parameter_count == sum(parameter.numel() for parameter in net.parameters())


def test_half_precision_is_kept(tmp_path: Path) -> None:
    net = make().half()
    directory = take(export(net, tmp_path / "net.onnx", **old(17, dynamic_axes=FREE)), tmp_path / "models")
    weights = sum(parameter.numel() for parameter in net.parameters()) * 2
    assert weights / 2 < (directory / "weights.bin").stat().st_size < 1.5 * weights


def test_it_is_served_like_a_net_of_our_own(start: Serve, tmp_path: Path) -> None:
    net = make(probabilities=True)
    options = import_onnx.OnnxOptions(Preprocessing(MEAN, STD), tuple("abcde"), "bottleneck")
    take(export(net, tmp_path / "net.onnx", **old(12)), tmp_path / "models", options)
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
    directory = take(export(net, tmp_path / "net.onnx", **old(12)), tmp_path / "models", import_onnx.OnnxOptions())
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
    taken = import_onnx.import_onnx(
        onnx_source.read(ours / "model.onnx"), import_onnx.OnnxOptions(), load, tmp_path, "digits"
    ).description
    model = metadata.read(ours)
    assert taken.evaluation == model.evaluation
    assert taken.classes == model.classes
    for one, other in zip(taken.blocks, model.blocks, strict=True):
        assert one.name == other.name
        assert one.baseline["ratio"].mean == pytest.approx(other.baseline["ratio"].mean, rel=1e-4)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_net_of_our_own_that_comes_as_a_file(tmp_path: Path, shortcut: str) -> None:
    net = small_net(shortcut=shortcut, depth=14)
    file = export(net, tmp_path / "net.onnx", (1, 1, 8, 8), **old(13, dynamic_axes=FREE))
    options = import_onnx.OnnxOptions(Preprocessing((0.4,), (0.3,)))
    taken = import_onnx.import_onnx(onnx_source.read(file), options, None, tmp_path / "models", "taken")
    published = publish_net(net, tmp_path / "models", "published")
    for one, other in zip(taken.description.blocks, metadata.read(published).blocks, strict=True):
        for field in ("name", "stage", "index", "channels", "height", "width", "stride", "shortcut"):
            assert getattr(one, field) == getattr(other, field)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    found, expected = (Graph(one / "probe.onnx").run(images) for one in (taken.directory, published))
    for name in ("logits", "blocks"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4)
    if shortcut == "A":  # zero-padded shortcuts stay in the layout of their neighbours
        assert not {"Slice", "Pad"} & {node.op_type for node in onnx.load(taken.directory / "model.onnx").graph.node}


def written(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    path = export(make(), tmp_path / "net.onnx", **old(13, dynamic_axes=FREE))
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def test_reshapes_may_share_what_they_are_told_and_have_no_names(tmp_path: Path) -> None:
    path = export(make(), tmp_path / "net.onnx", **old(13))  # for one image
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 5]), "shape"))
    model.graph.node.extend(onnx.helper.make_node("Reshape", [a, "shape"], [b]) for a, b in (("prob", "b"), ("b", "c")))
    model.graph.output[0].name = "c"
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)
    directory = take(path, tmp_path / "models")
    assert Graph(directory / "model.onnx").run(np.zeros((3, SIZE, SIZE, 3), np.uint8))["logits"].shape == (3, 5)


def test_names_that_are_ours_may_be_taken(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        names = ("image", "logits", "blocks", "block_scale", "last")
        pairs = zip(("prob", *names), names, strict=False)
        model.graph.node.extend(onnx.helper.make_node("Neg", [one], [other]) for one, other in pairs)
        model.graph.output[0].name = "last"

    path = written(tmp_path, change)
    for root, options in (("typed", TYPED), ("tensors", import_onnx.OnnxOptions())):
        assert len(metadata.read(take(path, tmp_path / root, options)).blocks) == 3


def test_a_sum_of_two_is_an_addition(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "Add":
                node.op_type = "Sum"

    assert len(metadata.read(take(written(tmp_path, change), tmp_path / "models")).blocks) == 3


@pytest.mark.parametrize("operands", [("Sigmoid", "Tanh"), ("Relu", "prob")], ids=["no shortcut", "no images"])
def test_other_additions_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], operands: tuple[str, str]
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.extend([onnx.helper.make_node(kind, ["prob"], [kind]) for kind in operands if kind != "prob"])
        model.graph.node.append(onnx.helper.make_node("Add", operands, ["both"]))
        model.graph.output[0].name = "both"

    directory = take(written(tmp_path, change), tmp_path / "models", import_onnx.OnnxOptions())
    assert len(metadata.read(directory).blocks) == 3
    assert "left out, as not F(x) + s(x) of images: both" in capsys.readouterr().err


def no_additions(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Add":
            node.op_type = "Mul"


def mixes_images(model: onnx.ModelProto) -> None:
    """The scores of an image depend on the others of its batch."""
    (output,) = model.graph.output
    mean = onnx.helper.make_node("ReduceMean", ["prob"], ["mean"], axes=[0], keepdims=1)
    model.graph.node.extend([mean, onnx.helper.make_node("Sub", ["prob", "mean"], ["centred"])])
    output.name = "centred"


def takes_one_image(model: onnx.ModelProto) -> None:
    """In a way that no shape shows."""
    (output,) = model.graph.output
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 5, 1]), "one"))
    nodes = [onnx.helper.make_node("Expand", ["prob", "one"], ["wide"])]
    nodes += [onnx.helper.make_node("Reshape", ["wide", "flat"], ["scores"])]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 25]), "flat"))
    model.graph.node.extend(nodes)
    output.name = "scores"
    output.type.tensor_type.shape.dim[1].dim_value = 25


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(onnx.helper.make_tensor_value_info(model.graph.node[2].output[0], 1, [None] * 4))


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (no_additions, TYPED, ExporterError, r"net\.onnx has no residual additions F\(x\) \+ s\(x\)"),
        (mixes_images, TYPED, CheckFailed, "logits of one image depends on the others that run with it"),
        (
            takes_one_image,
            TYPED,
            ExporterError,
            "does not work with 2 images at a time: ONNX Runtime cannot run model.onnx",
        ),
        (two_outputs, TYPED, ExporterError, "--output chooses that output"),
        (
            lambda _: None,
            import_onnx.OnnxOptions(Preprocessing((0.5,), (0.5,))),
            ExporterError,
            "--mean has 1 values; expected 3, one a channel",
        ),
        (
            lambda _: None,
            import_onnx.OnnxOptions(Preprocessing(MEAN, STD), ("a", "b")),
            ExporterError,
            r"has 5 classes, and --classes names 2",
        ),
    ],
    ids=["no additions", "mixes images", "takes one image", "two outputs", "mean", "labels"],
)
def test_what_is_not_taken(
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    options: import_onnx.OnnxOptions,
    error: type[Exception],
    message: str,
) -> None:
    path = written(tmp_path, change)
    with pytest.raises(error, match=message):
        take(path, tmp_path / "models", options)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())


def test_files_that_are_none(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "net.onnx").write_text("no model")
    for path, message in (
        (tmp_path / "net.onnx", "is not an ONNX model"),
        (tmp_path / "nothing.onnx", "cannot be read: No such file"),
        (repository / "digits" / "1" / "lesion.onnx", r"takes 2 tensors \(image, block_scale\); expected one"),
    ):
        with pytest.raises(ExporterError, match=message):
            onnx_source.read(path)
    probe = repository / "digits" / "1" / "probe.onnx"
    with pytest.raises(ExporterError, match="returns blocks already; give the graph that it was made from"):
        import_onnx.import_onnx(onnx_source.read(probe), import_onnx.OnnxOptions(), None, tmp_path, "net")
    with pytest.raises(ExporterError, match=r"no output 'scores'; its outputs: logits"):
        onnx_source.read(repository / "digits" / "1" / "model.onnx", output="scores")
