"""The numbers of an imported ONNX file: its outputs as it came, and statistics and lesions of the lean graph.

Statistics are worked out in float64 of the lean graph's own tensors, and blocks are cut out of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe_protos.contract import LEAN

from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.verification.cuts import outputs_without_each_block
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.reference import Array, Inputs, Norms, Reference, block_statistics


@dataclass(frozen=True, eq=False)
class OnnxOracle:
    """Outputs of an ONNX file for some inputs.

    Attributes:
        source: Path of the file, for messages.
        blocks: Names of the residual additions, in the order of the graph.
        channel_axes: Axis of the channels of each.
        inputs: Inputs of the lean graph, [n, …].
        outputs: Outputs of the file for these inputs, by name.
        tolerance: Maximum relative error of a graph.
        probe_tolerance: Maximum relative error of the probe graph's statistics. If None, the same.
    """

    source: str
    blocks: Sequence[str]
    channel_axes: Sequence[int]
    inputs: Inputs
    outputs: Mapping[str, npt.NDArray[np.generic]]
    tolerance: float
    probe_tolerance: float | None = None

    def reference(self, directory: Path) -> Reference:
        """Runs the lean graph in `directory`, tapped and cut."""
        lean = ir.load(directory / LEAN)
        sizes = [int(np.prod(branch_shape(addition))) for addition in find(lean.graph)]
        outputs = {name: array.astype(np.float64) for name, array in self.outputs.items()}
        operands = _operands(lean, self.inputs, directory)
        statistics = block_statistics(operands, len(self.inputs))
        without = outputs_without_each_block(lean, self.inputs[:1], directory)
        return Reference(
            self.source,
            self.inputs,
            self.blocks,
            sizes,
            outputs,
            statistics,
            without.astype(np.float64),
            Norms.of(operands, self.channel_axes),
            self.tolerance,
            self.tolerance if self.probe_tolerance is None else self.probe_tolerance,
        )


def _operands(lean: ir.Model, inputs: Inputs, directory: Path) -> list[tuple[Array, Array]]:
    """Computes branch and shortcut of every block, [n, …] in float64, of their codes if they have any.

    A DequantizeLinear that has a second reader would change how ONNX Runtime computes.
    """
    tapped = lean.clone()
    additions = list(find(tapped.graph))
    if not additions:
        return []
    operands = {value: codes(value) for one in additions for value in (one.branch, one.shortcut)}
    for value in dict.fromkeys(value if found is None else found.tensor for value, found in operands.items()):
        if not value.is_graph_output():
            tapped.graph.outputs.append(value)
    outputs = _run(tapped, inputs, directory)
    arrays = {
        value: outputs[str(value.name)].astype(np.float64)
        if found is None
        else found.decode(outputs[str(found.tensor.name)])
        for value, found in operands.items()
    }
    return [(arrays[one.branch], arrays[one.shortcut]) for one in additions]


def _run(model: ir.Model, inputs: Inputs, directory: Path) -> Mapping[str, npt.NDArray[np.float32]]:
    path = directory / ".reference.onnx"
    try:
        ir.save(model, path)
        return Graph(path, "the graph for any number of images").run(inputs)
    finally:
        path.unlink(missing_ok=True)
