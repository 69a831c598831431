"""int8 graphs: what is quantised, how, and what stays in float."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.int8 import Quantiser
from resprobe_exporter.quantization.regions import before_weights, block_nodes
from resprobe_exporter.quantization.settings import Method, Settings
from resprobe_exporter.quantization.source import Source, read
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions.test_set import LabelledImages

from tests.support.nets import publish_net, small_net

Images = tuple[Calibration, LabelledImages]
MINMAX = Settings()


def quantiser(source: Source, images: Images, directory: Path, settings: Settings = MINMAX) -> Quantiser:
    return Quantiser(source.lean, images[0].images, settings, directory, "net")


def logits(model: ir.Model, images: np.ndarray) -> np.ndarray:
    return Graph(ir.to_proto(model).SerializeToString()).run(images)["logits"]


def kinds(model: ir.Model) -> dict[str, list[ir.Node]]:
    found: dict[str, list[ir.Node]] = {}
    for node in model.graph:
        found.setdefault(node.op_type, []).append(node)
    return found


def test_convolutions_and_additions_are_quantised_normalisation_and_logits_are_not(
    float32: Source, digit_images: Images, tmp_path: Path
) -> None:
    model = quantiser(float32, digit_images, tmp_path).quantise()
    nodes = kinds(model)
    for node in nodes["Conv"]:
        assert node.inputs[0] is not None
        assert codes(node.inputs[0]).tensor.dtype == ir.DataType.UINT8  # type: ignore[union-attr]
        weights = node.inputs[1].producer()  # type: ignore[union-attr]
        assert weights is not None
        assert weights.inputs[0].dtype == ir.DataType.INT8  # type: ignore[union-attr]
        assert weights.inputs[1].const_value.size == node.inputs[1].shape[0]  # type: ignore[union-attr, index]
    assert all(codes(one.branch) and codes(one.shortcut) for one in find(model.graph))
    first = nodes["QuantizeLinear"][0]
    assert first.inputs[0].producer().op_type == "Div"  # type: ignore[union-attr]
    assert model.graph.outputs[0].producer().op_type == "Gemm"  # type: ignore[union-attr]
    assert before_weights(model.graph)[-1].endswith("QuantizeLinear") or "Div" in nodes


def test_for_tensorrt_only_the_shortcut_of_an_addition_is_quantised(
    float32: Source, digit_images: Images, tmp_path: Path
) -> None:
    model = quantiser(float32, digit_images, tmp_path, Settings(target="tensorrt")).quantise()
    additions = list(find(model.graph))
    assert len(additions) == len(float32.blocks)
    for addition in additions:
        shortcut = codes(addition.shortcut)
        assert shortcut is not None
        assert (shortcut.tensor.dtype, shortcut.zero_point) == (ir.DataType.INT8, 0)
        assert addition.branch.producer().op_type == "Conv"  # type: ignore[union-attr]
        (reader,) = addition.node.outputs[0].uses()
        assert reader.node.op_type == "Relu"
    for relu in kinds(model)["Relu"]:
        assert relu.inputs[0].producer().op_type in ("Add", "Conv")  # type: ignore[union-attr]
    images = digit_images[1].images
    agreement = (logits(model, images).argmax(1) == logits(float32.lean, images).argmax(1)).mean()
    assert agreement > 0.95


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_every_method_gives_a_net_that_agrees(
    method: Method, float32: Source, digit_images: Images, tmp_path: Path
) -> None:
    model = quantiser(float32, digit_images, tmp_path, Settings(method=method)).quantise()
    images = digit_images[1].images
    agreement = (logits(model, images).argmax(1) == logits(float32.lean, images).argmax(1)).mean()
    assert agreement > 0.95


def test_the_source_is_not_changed(float32: Source, digit_images: Images, tmp_path: Path) -> None:
    before = ir.to_proto(float32.lean).SerializeToString(deterministic=True)
    quantiser(float32, digit_images, tmp_path).quantise()
    assert ir.to_proto(float32.lean).SerializeToString(deterministic=True) == before


def test_blocks_stay_in_float_and_nothing_is_calibrated_again(
    float32: Source, digit_images: Images, tmp_path: Path
) -> None:
    made = quantiser(float32, digit_images, tmp_path)
    made.quantise()
    ranges = (tmp_path / "ranges.json").stat().st_mtime_ns
    model = made.quantise(block_nodes(made.graph, 1))
    assert (tmp_path / "ranges.json").stat().st_mtime_ns == ranges

    def is_quantised(addition: ResidualAddition) -> bool:
        return codes(addition.branch) is not None

    assert [is_quantised(one) for one in find(model.graph)] == [True, False, True]
    floating = [node for node in kinds(model)["Conv"] if node.inputs[1].is_initializer()]  # type: ignore[union-attr]
    assert len(floating) == len([name for name in block_nodes(made.graph, 1) if "conv" in name or "select" in name])


@pytest.mark.parametrize(("family", "shortcut"), [("preact", "B"), ("resnet", "C"), ("resnet", "A-avgpool")])
def test_every_addition_of_other_nets_is_found_again(
    family: str, shortcut: str, digit_images: Images, tmp_path: Path
) -> None:
    net = read(publish_net(small_net(family, shortcut), tmp_path, "net"))
    model = quantiser(net, digit_images, tmp_path).quantise()
    assert len(list(find(model.graph))) == len(net.blocks)


def test_a_graph_without_convolutions_or_with_codes_is_refused(
    float32: Source, digit_images: Images, int8: Path, tmp_path: Path
) -> None:
    quantised = ir.load(int8 / "model.onnx")
    with pytest.raises(ExporterError, match=r"^net is quantised already; quantise the float32 version"):
        Quantiser(quantised, digit_images[0].images, Settings(), tmp_path, "net")
    x = ir.Value(name="x", shape=ir.Shape([None, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="test")
    tape = ir.tape.Tape(graph)
    graph.outputs.append(tape.op("Relu", [x]))
    with pytest.raises(ExporterError, match=r"^net has no convolutions to quantise$"):
        Quantiser(ir.Model(graph, ir_version=10), digit_images[0].images, Settings(), tmp_path, "net")
