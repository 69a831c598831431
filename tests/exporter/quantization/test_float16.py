"""float16 graphs: types, agreement with float32, and what is refused."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.variants import VARIANTS
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.float16 import halve
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.verification.ort import Graph, Outputs
from resprobe_exporter.versions.test_set import LabelledImages

from tests.support.graph_builder import Builder


def run(model: ir.Model, images: np.ndarray) -> Outputs:
    return Graph(ir.to_proto(model).SerializeToString()).run(images)


def test_weights_and_tensors_are_halved_images_normalisation_and_logits_are_not(float32: Source) -> None:
    before = ir.to_proto(float32.lean).SerializeToString(deterministic=True)
    model = halve(float32.lean)
    assert ir.to_proto(float32.lean).SerializeToString(deterministic=True) == before
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    types = {node.op_type: node.outputs[0].dtype for node in model.graph if node.op_type != "Cast"}
    assert {types[name] for name in ("Sub", "Div")} == {ir.DataType.FLOAT}
    assert {types[name] for name in ("Conv", "Relu", "Add", "Gemm")} == {ir.DataType.FLOAT16}
    assert [value.dtype for value in model.graph.outputs] == [ir.DataType.FLOAT]
    assert [value.name for value in model.graph.outputs] == ["logits"]
    assert sum(node.op_type == "Cast" for node in model.graph) == 3  # pixels to floats, to halves, and logits back


def test_classes_and_ratios_are_those_of_float32(
    float32: Source, digit_images: tuple[Calibration, LabelledImages]
) -> None:
    images = digit_images[1].images
    probes = [VARIANTS["probe.onnx"](model.clone()).model for model in (float32.lean, halve(float32.lean))]
    full, half = (run(probe, images) for probe in probes)
    assert (full["logits"].argmax(1) == half["logits"].argmax(1)).mean() >= 0.999
    ratios = [outputs["blocks"][..., 0] / outputs["blocks"][..., 1] for outputs in (full, half)]
    np.testing.assert_allclose(ratios[1], ratios[0], rtol=1e-2)


def test_a_weight_that_does_not_fit_is_refused() -> None:
    build = Builder()
    weights = build.constant(np.full((4, 4, 1, 1), 1e5, np.float32))
    model = build.model(build.op("Conv", build.input, weights))
    with pytest.raises(ExporterError, match=r"^float16 cannot say all numbers of c0: its largest is 65504"):
        halve(model)
