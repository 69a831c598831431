"""Shortcuts as other people's graphs have them: each kind is found, and its numbers are the file's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ShortcutKind
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata

from tests.support.onnx_files import File, images, import_file, normalised, returned, save

Block = Callable[[File, str], str]  # from x, [n, 4, 8, 8], to the sum


def maxpool(file: File, x: str) -> str:
    """Keras' ResNet50V2."""
    return file.op("Add", file.branch(x, 4, 4, 2), file.op("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2]))


def cat_of_zeros(file: File, x: str) -> str:
    """Option A as cat(x, x · 0)."""
    half = file.op("AveragePool", x, kernel_shape=[1, 1], strides=[2, 2])
    zeros = file.op("Mul", half, file.weight(np.float32(0)))
    return file.op("Add", file.op("Concat", half, zeros, axis=1), file.branch(x, 4, 8, 2))


def cat_of_differences(file: File, x: str) -> str:
    """Option A as cat(x, x - x)."""
    return file.op("Add", file.op("Concat", x, file.op("Sub", x, x), axis=1), file.branch(x, 4, 8))


def zeros_of_its_shape(file: File, x: str) -> str:
    """Option A as cat(x, zeros_like(x))."""
    shape = file.op("Shape", x)
    zeros = file.op("ConstantOfShape", shape)
    return file.op("Add", file.op("Concat", zeros, x, axis=1), file.branch(x, 4, 8))


def standardised(file: File, x: str) -> str:
    """A projection whose weights are standardised in the graph."""
    weights = file.random(8, 4, 1, 1)
    centred = file.op("Sub", weights, file.op("ReduceMean", weights, file.weight(np.array([1, 2, 3]))))
    return file.op("Add", file.branch(x, 4, 8), file.op("Conv", x, centred))


def normed_weights(file: File, x: str) -> str:
    """The same by a batch norm of the weights in training mode, as timm has it."""
    weights = file.op("Reshape", file.random(8, 4, 1, 1), file.weight(np.array([1, 8, 4])))
    ones, zeros = file.weight(np.ones(8, np.float32)), file.weight(np.zeros(8, np.float32))
    normed = file.op("BatchNormalization", weights, ones, zeros, zeros, ones, training_mode=1)
    file.nodes[-1].output.extend(["mean", "variance"])
    return file.op(
        "Add", file.branch(x, 4, 8), file.op("Conv", x, file.op("Reshape", normed, file.weight(np.array([8, 4, 1, 1]))))
    )


def dequantised(file: File, x: str) -> str:
    """A projection whose weights are stored as int8."""
    numbers = np.random.default_rng(2).integers(-127, 128, (8, 4, 1, 1)).astype(np.int8)
    scale = file.weight(np.full(8, 0.01, np.float32))
    weights = file.op("DequantizeLinear", file.weight(numbers), scale, file.weight(np.zeros(8, np.int8)), axis=0)
    return file.op("Add", file.op("Conv", x, weights), file.branch(x, 4, 8))


def quantise(file: File, x: str) -> str:
    scale, zero = file.weight(np.float32(0.05)), file.weight(np.int8(0))
    return file.op("DequantizeLinear", file.op("QuantizeLinear", x, scale, zero), scale, zero)


def quantised_by_itself(file: File, x: str) -> str:
    """A Q/DQ pair of the shortcut's own, as TensorRT's residual quantizer writes it."""
    branch = quantise(file, file.branch(quantise(file, x), 4, 4))
    return file.op("Add", branch, quantise(file, x))


def quantised_with_the_branch(file: File, x: str) -> str:
    """One Q/DQ pair for branch and shortcut."""
    x = quantise(file, x)
    return file.op("Add", quantise(file, file.branch(x, 4, 4)), x)


def dropped(file: File, x: str) -> str:
    """A shortcut through what does nothing."""
    return file.op("Add", file.op("Dropout", x), file.branch(x, 4, 4))


def layer_scale(file: File, x: str) -> str:
    """ConvNeXt: F(x) ends in a factor for each channel, and works on [n, h, w, c] inside."""
    last = file.op("Transpose", file.conv(x, 4, 4), perm=[0, 2, 3, 1])
    hidden = file.op("Tanh", file.op("MatMul", last, file.random(4, 8)))
    first = file.op("Transpose", file.op("MatMul", hidden, file.random(8, 4)), perm=[0, 3, 1, 2])
    return file.op("Add", x, file.op("Mul", file.random(4, 1, 1), first))


KINDS: dict[str, tuple[Block, str, tuple[int, int, int]]] = {
    "MaxPool(1, 2)": (maxpool, "pad", (4, 4, 2)),
    "cat(x, x · 0)": (cat_of_zeros, "pad", (8, 4, 2)),
    "cat(x, x - x)": (cat_of_differences, "pad", (8, 8, 1)),
    "cat(zeros of x, x)": (zeros_of_its_shape, "pad", (8, 8, 1)),
    "standardised weights": (standardised, "projection", (8, 8, 1)),
    "weights through a batch norm": (normed_weights, "projection", (8, 8, 1)),
    "dequantised weights": (dequantised, "projection", (8, 8, 1)),
    "its own Q/DQ": (quantised_by_itself, "identity", (4, 8, 1)),
    "a shared Q/DQ": (quantised_with_the_branch, "identity", (4, 8, 1)),
    "Dropout": (dropped, "identity", (4, 8, 1)),
    "layer scale": (layer_scale, "identity", (4, 8, 1)),
}


@pytest.mark.parametrize(("block", "kind", "sizes"), KINDS.values(), ids=KINDS)
def test_each_kind_of_shortcut_is_found_and_has_the_files_numbers(
    tmp_path: Path, block: Block, kind: ShortcutKind, sizes: tuple[int, int, int]
) -> None:
    file = File()
    total = block(file, file.stem())
    left, right = file.nodes[-1].input
    model = file.model(file.head(file.block(file.op("Relu", total), sizes[0]), sizes[0]))
    built = import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
    first, second = built.description.blocks
    assert first.shortcut == metadata.KINDS[kind]
    assert (first.channels, first.height, first.width, first.stride) == (sizes[0], *sizes[1:2] * 2, sizes[2])
    assert second.shortcut == metadata.KINDS["identity"]
    pixels = images()
    found = Graph(built.directory / "probe.onnx").run(pixels)
    scores, one, other = returned(model, normalised(pixels), "out", left, right)
    coarse = "Q/DQ" in str([key for key, value in KINDS.items() if value[0] is block])
    rounding = 2e-2 if coarse else 1e-4  # a number that is rounded elsewhere is a whole step off
    scale = np.abs(scores).max()
    np.testing.assert_allclose(found["logits"], scores, atol=rounding * scale)
    lengths = sorted(np.linalg.norm(array.reshape(3, -1), axis=1)[0] for array in (one, other))
    np.testing.assert_allclose(sorted(found["blocks"][0, 0, :2]), lengths, rtol=rounding)


def spread(file: File, x: str) -> str:
    """GCNet: what is added is one number for each channel."""
    context = file.conv(file.op("GlobalAveragePool", x), 4, 4, kernel=1)
    return file.op("Add", x, context)


def spread_over_channels(file: File, x: str) -> str:
    return file.op("Add", file.conv(x, 4, 1), x)


def cubed(file: File, x: str) -> str:
    """A part of GELU: x + 0.04 · x³."""
    cube = file.op("Mul", file.op("Mul", x, x), x)
    return file.op("Add", x, file.op("Mul", cube, file.weight(np.float32(0.04))))


def pooled(file: File, x: str) -> str:
    """A maximum over positions is no shortcut."""
    pool = file.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
    return file.op("Add", pool, file.branch(x, 4, 4))


def summed(file: File, x: str) -> str:
    return file.op("Sum", x, file.branch(x, 4, 4), file.branch(x, 4, 4))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (spread, "one operand is broadcast: [n,4,8,8] and [n,4,1,1]"),
        (spread_over_channels, "one operand is broadcast: [n,1,8,8] and [n,4,8,8]"),
        (cubed, "no layer with weights between x and F(x)"),
        (pooled, "the operands start from a MaxPool of 3×3 and"),
        (summed, "a Sum of 3"),
    ],
    ids=["context", "one channel", "a part of GELU", "MaxPool 3×3", "Sum of 3"],
)
def test_other_additions_are_left_out_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], block: Block, reason: str
) -> None:
    file = File()
    total = block(file, file.stem())
    path = save(file.model(file.head(file.block(file.op("Relu", total), 4), 4)), tmp_path / "net.onnx")
    assert len(import_file(path, tmp_path / "models").description.blocks) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("left out")]
    assert f"{total} (" in line
    assert reason in line


def test_a_graph_with_none_but_others_is_refused(tmp_path: Path) -> None:
    file = File()
    path = save(file.model(file.head(spread(file, file.stem()), 4)), tmp_path / "net.onnx")
    with pytest.raises(ExporterError, match=r"net\.onnx has no residual additions F\(x\) \+ s\(x\)"):
        import_file(path, tmp_path / "models")


class Noise(CalibrationDataReader):  # type: ignore[misc]
    """Images to find the scales of a net's tensors with."""

    def __init__(self) -> None:
        self._left = [{"data": normalised(images())}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


def write(path: Path) -> Path:
    """A net as onnxruntime.quantization takes it: two blocks, one with a projection."""
    file = File()
    x = file.block(file.stem(), 4)
    x = file.op("Relu", file.op("Add", file.branch(x, 4, 8, 2), file.conv(x, 4, 8, 2, kernel=1)))
    return save(file.model(file.head(x, 8), opset=13), path)


@pytest.mark.parametrize("activations", [QuantType.QInt8, QuantType.QUInt8])
def test_what_onnx_runtimes_own_quantiser_writes_has_the_files_numbers(tmp_path: Path, activations: QuantType) -> None:
    quantize_static(write(tmp_path / "net.onnx"), tmp_path / "q.onnx", Noise(), activation_type=activations)
    built = import_file(tmp_path / "q.onnx", tmp_path / "models")
    kinds = [metadata.KINDS["identity"], metadata.KINDS["projection"]]
    assert [block.shortcut for block in built.description.blocks] == kinds
    expected = Graph(tmp_path / "q.onnx").run(normalised(images()))["out"]
    for name in ("model", "probe"):  # with the same kernels, which differ from those of float32 by more than that
        found = Graph(built.directory / f"{name}.onnx").run(images())["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_additions_inside_other_operators_are_named(tmp_path: Path) -> None:
    format_ = QuantFormat.QOperator
    quantize_static(write(tmp_path / "net.onnx"), tmp_path / "q.onnx", Noise(), quant_format=format_)
    with pytest.raises(ExporterError, match="it adds inside QLinearAdd: give the file from before it was optimised"):
        import_file(tmp_path / "q.onnx", tmp_path / "models")
