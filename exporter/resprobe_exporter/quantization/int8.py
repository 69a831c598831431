"""Makes an int8 graph of a float32 one with ONNX Runtime's static quantisation: QuantizeLinear and DequantizeLinear.

Traps that this avoids: ONNX Runtime changes the model that it is given and cannot read weights beside it, so it gets a
file with the weights in it; its defaults are signed activations, which CPUs multiply slowly, and one scale for all
channels of a weight; it would quantise normalisation and logits.
"""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from resprobe_protos.contract import IMAGE

from resprobe_exporter.errors import ExporterError, one_line
from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.quantization.regions import before_weights, name_nodes, quantise_shortcuts_only
from resprobe_exporter.quantization.settings import Method, Settings

METHODS: Mapping[Method, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
HEADS = ("Gemm", "MatMul")  # their outputs, logits among them, stay float
OPERATORS = frozenset(  # those with kernels for 8 bits, or that pass on what they get
    {"Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Mul", "Pad", "Relu", "Reshape"}
    | {"Resize", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", *CONVOLUTIONS, *HEADS}
)
VALUES_IN_MEMORY = 2**26  # numbers of all tensors of a batch of calibration images


class Quantiser:
    """Quantises one float32 graph, perhaps several times with other blocks left in float32; it calibrates once."""

    def __init__(
        self, lean: ir.Model, images: npt.NDArray[np.uint8], settings: Settings, directory: Path, name: str
    ) -> None:
        """Writes the graph for ONNX Runtime.

        Args:
            lean: Graph with its weights in memory.
            images: Images to calibrate on, uint8 [n, height, width, channels].
            settings: Method and target.
            directory: Directory for temporary files.
            name: Name of the version in errors.

        Raises:
            ExporterError: The graph has no convolutions, or is quantised already.
        """
        operators = {node.op_type for node in lean.graph}
        if operators & QUANTISING:
            raise ExporterError(f"{name} is quantised already; quantise the float32 version that it was made of")
        if not operators & CONVOLUTIONS:
            raise ExporterError(f"{name} has no convolutions to quantise")
        self._images, self._settings, self._directory, self._name = images, settings, directory, name
        self._float = lean.clone()
        name_nodes(self._float.graph)
        self._operators = sorted(OPERATORS & operators)
        ir.save(self._float, directory / "float.onnx")

    @property
    def graph(self) -> ir.Graph:
        """The float32 graph, each node with a name."""
        return self._float.graph

    def quantise(self, float_nodes: Sequence[str] = ()) -> ir.Model:
        """Returns the int8 graph.

        Args:
            float_nodes: Names of nodes that stay in float32.

        Raises:
            ExporterError: ONNX Runtime cannot quantise the graph.
        """
        path = self._directory / "int8.onnx"
        try:
            with _quiet():
                self._run(path, float_nodes)
        except Exception as error:  # ONNX Runtime's tools have no class of their own
            raise ExporterError(f"ONNX Runtime cannot quantise {self._name}: {one_line(error)}") from error
        model = ir.load(path)
        if self._settings.target == "tensorrt":
            quantise_shortcuts_only(model.graph)
        tidy(model)
        return model

    def _run(self, path: Path, float_nodes: Sequence[str]) -> None:
        signed = self._settings.target == "tensorrt"
        quantize_static(
            str(self._directory / "float.onnx"),
            str(path),
            _Reader(self._images, _batch(self.graph)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=self._operators,
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*before_weights(self.graph), *float_nodes],
            calibrate_method=METHODS[self._settings.method],
            calibration_cache_path=self._directory / "ranges.json",
            extra_options={
                "ActivationSymmetric": signed,
                "CalibStridedMinMax": 1,  # batches whose tensors are in memory together
                "OpTypesToExcludeOutputQuantization": list(HEADS),
                "QuantizeBias": not signed,  # TensorRT takes no bias of whole numbers
            },
        )


def tidy(model: ir.Model) -> None:
    """Sorts a graph that a tool wrote, infers its shapes, and removes the tool's own notes."""
    common_passes.TopologicalSortPass()(model)
    common_passes.RemoveUnusedNodesPass()(model)
    common_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    common_passes.ClearMetadataAndDocStringPass()(model)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Gives ONNX Runtime the calibration images, a range of batches at a time."""

    def __init__(self, images: npt.NDArray[np.uint8], size: int) -> None:
        self._batches = [images[start : start + size] for start in range(0, len(images), size)]
        self._left: Iterator[npt.NDArray[np.uint8]] = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Sets which batches come next."""
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """Returns the next batch. If None, there is none."""
        batch = next(self._left, None)
        return None if batch is None else {IMAGE: batch}


def _batch(graph: ir.Graph) -> int:
    """Returns how many images' tensors fit into memory, at most 32."""
    shapes = [value.shape for node in graph for value in node.outputs if value.shape is not None]
    values = sum(int(np.prod([size for size in shape if isinstance(size, int)])) for shape in shapes)
    return max(1, min(32, VALUES_IN_MEMORY // max(values, 1)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the advice of ONNX Runtime's tools, which is followed already, off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
