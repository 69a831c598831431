"""ONNX files that cannot be imported are refused in one sentence, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.versions import import_onnx

from tests.support.exported_nets import IMAGES, MEAN, STD, changed, import_net


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
        (no_additions, IMAGES, ExporterError, r"net\.onnx has no residual additions F\(x\) \+ s\(x\)"),
        (mixes_images, IMAGES, CheckFailed, "logits of one image depends on the others that run with it"),
        (
            takes_one_image,
            IMAGES,
            ExporterError,
            "does not work with 2 images at a time: ONNX Runtime cannot run model.onnx",
        ),
        (two_outputs, IMAGES, ExporterError, "--output chooses that output"),
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
def test_nets_that_cannot_be_served_are_refused(
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    options: import_onnx.OnnxOptions,
    error: type[Exception],
    message: str,
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(error, match=message):
        import_net(path, tmp_path / "models", options)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())


def test_files_that_are_not_nets(tmp_path: Path, repository: Path) -> None:
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
