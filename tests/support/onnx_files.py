"""ONNX files written node by node, as tools other than ours write them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx
from resprobe_exporter.versions.writer import NewVersion

SIZE, CLASSES = 8, 5
OPTIONS = import_onnx.OnnxOptions(Preprocessing((0.5,) * 3, (0.25,) * 3))
Array = npt.NDArray[Any]


class File:
    """A graph that is written node by node. It takes `data`, float32 [n, 3, 8, 8], and returns `out`, [n, 5]."""

    def __init__(self, shape: Sequence[int | str] = ("n", 3, SIZE, SIZE)) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, domain=domain, **attributes))
        return name

    def weight(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:]))
        return self.weight((self._random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))

    def conv(self, x: str, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> str:
        pads = [kernel // 2] * 4
        return self.op("Conv", x, self.random(outputs, inputs, kernel, kernel), strides=[stride] * 2, pads=pads)

    def stem(self, channels: int = 4) -> str:
        return self.op("Relu", self.conv("data", 3, channels))

    def branch(self, x: str, inputs: int, outputs: int, stride: int = 1) -> str:
        return self.conv(self.op("Relu", self.conv(x, inputs, outputs, stride)), outputs, outputs)

    def block(self, x: str, channels: int) -> str:
        return self.op("Relu", self.op("Add", self.branch(x, channels, channels), x))

    def head(self, x: str, channels: int) -> str:
        flat = self.op("Flatten", self.op("GlobalAveragePool", x))
        return self.op("Gemm", flat, self.random(channels, CLASSES), self.random(CLASSES))

    def model(self, output: str, opset: int = 18, returns: Sequence[int | str] = ("n", CLASSES)) -> onnx.ModelProto:
        self.op("Identity", output)
        self.nodes[-1].output[0] = "out"
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("data", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, returns)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def net(tail: Callable[[File, str], str] = lambda _, scores: scores) -> File:
    """A net of one block, and what follows its scores; `file.nodes[-1].output[0]` is the last tensor."""
    file = File()
    tail(file, file.head(file.block(file.stem(), 4), 4))
    return file


def model_of(file: File, **options: object) -> onnx.ModelProto:
    return file.model(file.nodes[-1].output[0], **options)  # type: ignore[arg-type]


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def import_file(path: Path, root: Path, options: import_onnx.OnnxOptions = OPTIONS) -> NewVersion:
    """Imports a file as `exporter probe` does."""
    file = onnx_source.read(path, scores=options.preprocessing is not None)
    return import_onnx.import_onnx(file, options, None, root, "net")


def images(count: int = 3) -> Array:
    return np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def normalised(pixels: Array) -> Array:
    """What the net gets of images: [n, 3, h, w]."""
    return np.moveaxis((pixels / 255 - 0.5) / 0.25, -1, 1).astype(np.float32)


def returned(model: onnx.ModelProto, inputs: Array, *names: str) -> list[Array]:
    """Tensors of a file as it came, one row at a time."""
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    wanted.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    graph = Graph(wanted.SerializeToString())
    rows = [graph.run(inputs[[row]]) for row in range(len(inputs))]
    return [np.concatenate([row[name] for row in rows]) for name in names]


def softmax(scores: Array) -> Array:
    powers = np.exp(scores.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
