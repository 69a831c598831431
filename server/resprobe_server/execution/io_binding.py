"""Keeps the inputs and outputs of a graph on its device, in the same place for each batch size.

https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnxruntime

from resprobe_server.execution.dtypes import BY_ONNX
from resprobe_server.execution.graph import Arrays, Tensor


def can_be_bound(tensor: Tensor) -> bool:
    """Returns whether a tensor can stay on a device: it holds no strings, and only its first axis is free."""
    datatype = BY_ONNX.get(tensor.dtype)
    return datatype is not None and datatype.dtype.kind != "O" and None not in tensor.shape[1:]


@dataclass(frozen=True)
class Places:
    """Places of the tensors of one batch size, and the options of its runs."""

    binding: onnxruntime.IOBinding
    options: onnxruntime.RunOptions
    inputs: Mapping[str, onnxruntime.OrtValue]


class Bound:
    """Graph whose tensors stay on the device."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        device: str,
        recorded: bool,
    ) -> None:
        """Creates the graph; its places are allocated with the first batch of each size.

        Args:
            session: Session to run.
            inputs: Inputs of the graph. All their sizes but the first are known.
            outputs: Outputs of the graph. All their sizes but the first are known.
            device: ONNX Runtime's name of the device that holds them: cuda or cpu.
            recorded: Whether the session records CUDA graphs, one for each batch size.
        """
        self._session, self._inputs, self._outputs = session, inputs, outputs
        self._names = [output.name for output in outputs]
        self._device, self._recorded = device, recorded
        self._places: dict[int, Places] = {}

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does."""
        rows = len(next(iter(inputs.values())))
        places = self._places.get(rows)
        if places is None:
            places = self._places[rows] = self._place(rows)
        for name, array in inputs.items():
            places.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(places.binding, places.options)
        return dict(zip(self._names, places.binding.copy_outputs_to_cpu(), strict=True))

    def _place(self, rows: int) -> Places:
        binding, options = self._session.io_binding(), onnxruntime.RunOptions()
        if self._recorded:
            options.add_run_config_entry("gpu_graph_id", str(rows))
        inputs = {tensor.name: self._allocate(tensor, rows) for tensor in self._inputs}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for tensor in self._outputs:  # the binding keeps them
            binding.bind_ortvalue_output(tensor.name, self._allocate(tensor, rows))
        return Places(binding, options, inputs)

    def _allocate(self, tensor: Tensor, rows: int) -> onnxruntime.OrtValue:
        shape = [rows, *(size for size in tensor.shape[1:] if size is not None)]
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, BY_ONNX[tensor.dtype].dtype.type, self._device)
