"""Files as other tools write them: what they take and return is read rightly, or they are refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import resprobe
from onnx import helper
from resprobe_exporter.commands.probe import Probe
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx

from tests.support.onnx_files import (
    CLASSES,
    OPTIONS,
    SIZE,
    File,
    images,
    import_file,
    model_of,
    net,
    normalised,
    returned,
    save,
    softmax,
)
from tests.support.servers import Serve


def channels_last() -> onnx.ModelProto:
    """As Keras writes it: additions are [n, h, w, c], with a Transpose around each Conv."""
    file = File(("n", SIZE, SIZE, 3))

    def conv(x: str, inputs: int, outputs: int, stride: int = 1) -> str:
        first = file.op("Transpose", x, perm=[0, 3, 1, 2])
        return file.op("Transpose", file.conv(first, inputs, outputs, stride), perm=[0, 2, 3, 1])

    x = file.op("Relu", conv("data", 3, 4))
    x = file.op("Relu", file.op("Add", conv(file.op("Relu", conv(x, 4, 4)), 4, 4), x))
    x = file.op("Add", conv(x, 4, 16, 2), conv(file.op("Relu", conv(x, 4, 16, 2)), 16, 16))
    mean = file.op("ReduceMean", x, file.weight(np.array([1, 2])), keepdims=0)
    return file.model(file.op("Gemm", mean, file.random(16, CLASSES)))


def test_additions_that_have_their_channels_last(tmp_path: Path) -> None:
    model = channels_last()
    built = import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
    shapes = [(one.name, one.channels, one.height, one.width, one.stride) for one in built.description.blocks]
    assert shapes == [("stage1.block0", 4, 8, 8, 1), ("stage2.block0", 16, 4, 4, 2)]
    (expected,) = returned(model, np.moveaxis(normalised(images()), 1, -1), "out")
    found = Graph(built.directory / "lesion_probe.onnx").run(images(), np.ones((3, 2), np.float32))
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-5)


def test_channels_that_are_last_after_an_attention_over_windows(tmp_path: Path) -> None:
    """Swin: [n, h, w, c] is cut into windows and put together again, between additions."""
    file = File()
    x = file.op("Transpose", file.conv("data", 3, 6, 2), perm=[0, 2, 3, 1])  # [n, 4, 4, 6]
    windows = file.op("Reshape", x, file.weight(np.array([-1, 2, 2, 2, 2, 6])))
    rows = file.op("Reshape", file.op("Transpose", windows, perm=[0, 1, 3, 2, 4, 5]), file.weight(np.array([-1, 4, 6])))
    mixed = file.op("MatMul", file.op("Softmax", file.op("MatMul", rows, file.random(6, 4))), rows)
    back = file.op("Reshape", mixed, file.weight(np.array([-1, 2, 2, 2, 2, 6])))
    branch = file.op(
        "Reshape", file.op("Transpose", back, perm=[0, 1, 3, 2, 4, 5]), file.weight(np.array([-1, 4, 4, 6]))
    )
    mean = file.op("ReduceMean", file.op("Add", x, branch), file.weight(np.array([1, 2])), keepdims=0)
    path = save(file.model(file.op("Gemm", mean, file.random(6, CLASSES))), tmp_path / "net.onnx")
    (block,) = import_file(path, tmp_path / "models").description.blocks
    assert (block.channels, block.height, block.width, block.stride) == (6, 4, 4, 1)


def test_nodes_may_stand_in_any_order(tmp_path: Path) -> None:
    model = model_of(net())
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert len(import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models").description.blocks) == 1


@pytest.mark.parametrize("rows", ["n", 1, 4])
def test_a_flattening_of_minus_one_can_be_served(start: Serve, tmp_path: Path, rows: int | str) -> None:
    """x.view(-1, C): the batch size is worked out from the others."""
    file = File((rows, 3, SIZE, SIZE))
    x = file.op("GlobalAveragePool", file.block(file.stem(), 4))
    flat = file.op("Reshape", x, file.weight(np.array([-1, 4])))
    model = file.model(file.op("Gemm", flat, file.random(4, CLASSES)), returns=(rows, CLASSES))
    path = save(model, tmp_path / "net.onnx")
    import_file(path, tmp_path / "models")
    pixels = images()
    filled = np.resize(normalised(pixels), (4, 3, SIZE, SIZE))
    scores = [Graph(path).run(part)["out"] for part in ([filled] if rows == 4 else np.split(filled, 4))]
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        result = client.classify(pixels, blocks=True)
    np.testing.assert_allclose(result.probabilities[:, 0], softmax(np.concatenate(scores))[:3].max(axis=1), rtol=1e-4)


def halves_the_batch(file: File, scores: str) -> str:
    """Takes two images for one: x.view(-1, 2 · C)."""
    two = file.op("Reshape", scores, file.weight(np.array([-1, 2 * CLASSES])))
    return file.op("Gemm", two, file.random(2 * CLASSES, CLASSES))


def mixes_rows(file: File, scores: str) -> str:
    return file.op("Sub", scores, file.op("ReduceMean", scores, file.weight(np.array([0]))))


def takes_one(file: File, scores: str) -> str:
    return file.op("Reshape", scores, file.weight(np.array([1, CLASSES], np.int64)))


def sorts_rows(file: File, scores: str) -> str:
    """Rows of one batch change places: the largest first."""
    rows = file.op("ArgMax", file.op("ReduceMax", scores, file.weight(np.array([1]))), axis=0, keepdims=0)
    return file.op("Add", scores, file.op("Gather", scores, rows, axis=0))


def quantises_the_batch(file: File, scores: str) -> str:
    """The scale is that of the largest number of all rows, as onnxruntime.quantization.quantize_dynamic has it."""
    quantised = file.op("DynamicQuantizeLinear", scores)
    file.nodes[-1].output.extend(["scale", "zero"])
    return file.op("DequantizeLinear", quantised, "scale", "zero")


@pytest.mark.parametrize(
    ("tail", "rows", "message"),
    [
        (halves_the_batch, "n", "ONNX Runtime cannot run net.onnx"),
        (halves_the_batch, 2, "returns out \\[1, 5\\] for 2 images; expected a row for each"),
        (mixes_rows, "n", "logits of one image depends on the others that run with it"),
        (mixes_rows, 4, "logits of one image depends on the others that run with it"),
        (quantises_the_batch, "n", "the scale of DynamicQuantizeLinear is that of a whole batch"),
        (sorts_rows, "n", "logits of one image depends on the others that run with it"),
        (takes_one, "n", "net.onnx cannot be served, as it does not work with 2 images at a time"),
    ],
)
def test_a_graph_that_takes_no_other_number_of_images_is_refused(
    tmp_path: Path, tail: Callable[[File, str], str], rows: int | str, message: str
) -> None:
    file = File((rows, 3, SIZE, SIZE))
    output = tail(file, file.head(file.block(file.stem(), 4), 4))
    path = save(file.model(output, returns=("m", CLASSES)), tmp_path / "net.onnx")
    with pytest.raises(ExporterError, match=message):
        import_file(path, tmp_path / "models")
    assert not list((tmp_path / "models").glob("*"))


def trained_norm(file: File, x: str) -> str:
    ones = file.weight(np.ones(CLASSES, np.float32))
    normed = file.op("BatchNormalization", x, ones, ones, ones, ones, training_mode=1)
    file.nodes[-1].output.extend(["mean", "variance"])
    file.op("Identity", normed)
    return normed


def trained_dropout(file: File, x: str) -> str:
    return file.op("Dropout", x, file.weight(np.float32(0.5)), file.weight(np.array(True)))


def random_noise(file: File, x: str) -> str:
    return file.op("Add", x, file.op("RandomNormalLike", x))


@pytest.mark.parametrize(
    ("tail", "name"),
    [(trained_norm, "BatchNormalization"), (trained_dropout, "Dropout"), (random_noise, "RandomNormalLike")],
)
def test_training_mode_is_refused_by_its_name(tmp_path: Path, tail: Callable[[File, str], str], name: str) -> None:
    path = save(model_of(net(tail)), tmp_path / "net.onnx")
    with pytest.raises(ExporterError, match=rf"was exported in training mode \({name} {name}\d+\): .*net\.eval\(\)"):
        import_file(path, tmp_path / "models")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = save(model_of(net(lambda file, x: file.op("Log", file.op("Neg", file.op("Abs", x))))), tmp_path / "net.onnx")
    with pytest.raises(ExporterError, match="returns out with numbers that are not finite"):
        import_file(path, tmp_path / "models")


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((float("nan"),) * 3, (0.2,) * 3, "--mean nan: expected numbers of 0 to 1"),
        ((0.5,) * 3, (float("inf"),) * 3, "--std inf: expected numbers of 0 to 1"),
        ((123.675, 116.28, 103.53), (0.2,) * 3, "give --mean 0.485 0.456 0.406"),
        ((0.5,) * 3, (58.395, 57.12, 57.375), "give --std 0.229 0.224 0.225"),
        ((0.5,) * 3, (0.2, 0.0, 0.2), "--std 0.0: expected numbers above 0"),
        ((0.5,) * 3, (0.2,), "--mean has 3 values and --std 1"),
    ],
)
def test_numbers_that_no_net_was_trained_with_are_refused_before_the_file_is_read(
    tmp_path: Path, mean: tuple[float, ...], std: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ExporterError, match=message):
        Probe(tmp_path / "nothing.onnx", mean=mean, std=std, repository=tmp_path / "models").run()


def test_a_repository_that_cannot_be_written_is_said_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ExporterError, match="models/net cannot be written: Not a directory"):
        Probe(tmp_path / "net.onnx", repository=tmp_path / "models").run()


def test_another_kind_of_net_needs_another_name(tmp_path: Path) -> None:
    path = save(model_of(net()), tmp_path / "net.onnx")
    import_file(path, tmp_path / "models")
    named = import_onnx.OnnxOptions(OPTIONS.preprocessing, tuple("abcde"))
    with pytest.raises(ExporterError, match=r"calls its classes '0', '1', '2' from number 0 on.*--name"):
        import_file(path, tmp_path / "models", named)
    with pytest.raises(ExporterError, match=r"takes images of 8×8×3, and this net tensors instead of images.*--name"):
        import_file(path, tmp_path / "models", import_onnx.OnnxOptions())
    assert [one.name for one in (tmp_path / "models" / "net").iterdir()] == ["1"]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 22])
def test_files_of_other_times(tmp_path: Path, opset: int) -> None:
    model = net().model("Gemm9", opset)
    if opset < 9:  # weights had to be inputs too
        model.ir_version = 3
        for weight in model.graph.initializer:
            model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
    built = import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
    (expected,) = returned(model, normalised(images()), "out")
    found = Graph(built.directory / "model.onnx").run(images())["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_weights_in_other_files(tmp_path: Path) -> None:
    model = model_of(net())
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    assert len(import_file(tmp_path / "net.onnx", tmp_path / "models").description.blocks) == 1
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ExporterError, match=r"the weights of .*net\.onnx, which are in other files, cannot be read"):
        onnx_source.read(tmp_path / "net.onnx")


def test_an_output_of_another_shape_is_named(tmp_path: Path) -> None:
    model = model_of(net(lambda file, x: file.op("ReduceSum", x, keepdims=0)), returns=())
    with pytest.raises(ExporterError, match=r"returns out \[\] for 1 image; expected a row for each"):
        import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
