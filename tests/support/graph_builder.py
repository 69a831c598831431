"""Small ONNX graphs written by hand, and how one is run."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime

SHAPE = (None, 4, 6, 6)


class Builder:
    """A small graph of float32 [n, 4, 6, 6] tensors, written by hand."""

    def __init__(self) -> None:
        self.input = ir.Value(name="x", shape=ir.Shape(SHAPE), type=ir.TensorType(ir.DataType.FLOAT))
        self.graph = ir.Graph([self.input], [], nodes=[], opset_imports={"": 20}, name="test")
        self.tape = ir.tape.Tape(self.graph)

    def constant(self, array: np.ndarray) -> ir.Value:
        return self.tape.initializer(ir.tensor(array, name=f"c{len(self.graph.initializers)}"))

    def op(
        self, kind: str, *inputs: ir.Value | None, shape: Sequence[int | None] = SHAPE, **attributes: object
    ) -> ir.Value:
        value = self.tape.op(kind, inputs, attributes)  # type: ignore[arg-type]
        value.shape, value.type = ir.Shape(shape), self.input.type
        return value

    def conv(self, value: ir.Value) -> ir.Value:
        weights = np.random.default_rng(len(self.graph)).normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)
        return self.op("Conv", value, self.constant(weights), pads=[1, 1, 1, 1])

    def branch(self, value: ir.Value) -> ir.Value:
        return self.conv(self.op("Relu", self.conv(value)))

    def model(self, output: ir.Value) -> ir.Model:
        output.name = "y"
        self.graph.outputs.append(output)
        return ir.Model(self.graph, ir_version=10)


def run(model: ir.Model, **inputs: np.ndarray) -> list[np.ndarray]:
    proto = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, inputs)
    return outputs
