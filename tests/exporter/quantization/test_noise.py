"""Noise of quantisation: zero for the graph itself, and what numbers of one block say."""

import numpy as np
import onnx_ir as ir
from resprobe_exporter.graph.residual import find
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.noise import TappedGraph, measure
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.versions.test_set import LabelledImages


def test_a_graph_has_no_noise_against_itself(float32: Source, digit_images: tuple[Calibration, LabelledImages]) -> None:
    graph = TappedGraph(float32.lean, "net")
    noise = measure(graph, graph, digit_images[1].images[:40])
    assert not noise.branch.any()
    assert not noise.total.any()
    np.testing.assert_array_equal(noise.ratio_before, noise.ratio_after)
    assert (noise.ratio_before > 0).all()


def test_noise_of_a_scaled_branch_is_known(float32: Source, digit_images: tuple[Calibration, LabelledImages]) -> None:
    scaled = float32.lean.clone()
    last = list(find(scaled.graph))[-1]
    tape = ir.tape.Tape()
    factor = ir.Value(name="factor", const_value=ir.tensor(np.array(1.25, np.float32), name="factor"))
    scaled.graph.register_initializer(factor)
    product = tape.op("Mul", [last.branch, factor])
    product.shape, product.type = last.branch.shape, last.branch.type
    scaled.graph.insert_before(last.node, tape.nodes)
    last.node.replace_input_with(list(last.node.inputs).index(last.branch), product)
    images = digit_images[1].images[:40]
    noise = measure(TappedGraph(float32.lean, "before"), TappedGraph(scaled, "after"), images)
    np.testing.assert_allclose(noise.branch[:-1], 0, atol=1e-6)
    np.testing.assert_allclose(noise.branch[-1], 0.25, rtol=1e-5)
    np.testing.assert_allclose(noise.ratio_after[-1], 1.25 * noise.ratio_before[-1], rtol=1e-5)
    assert 0 < noise.total[-1] < 0.5
