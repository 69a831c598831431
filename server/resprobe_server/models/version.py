"""One version of a model, and which requests it can answer."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import (
    BLOCK_SCALE,
    BLOCKS,
    CAM,
    CHANNELS,
    EXIT_THRESHOLD,
    EXITS,
    INSPECT,
    LEAN,
    LESION,
    LESION_PROBE,
    MAPS,
    PROBE,
    READOUTS,
)

from resprobe_server.errors import NotSupported
from resprobe_server.execution.cascade import Cascade
from resprobe_server.execution.dtypes import BY_ONNX
from resprobe_server.execution.graph import Tensor
from resprobe_server.images.format import Format
from resprobe_server.models.sampling.sampled import Sampled
from resprobe_server.scheduling.batcher import Batcher

LESION_SUFFIX = ".lesion"
EXIT = EXITS[0]  # stands for all parts of a net that is cut for early exits, which are run as one graph
# File to name.
GRAPHS = {
    LEAN: "lean",
    PROBE: "probe",
    LESION: "lesion",
    LESION_PROBE: "lesion_probe",
    INSPECT: "inspect",
    EXIT: "exit",
}
INSPECTED = (MAPS, CHANNELS, READOUTS, CAM)  # outputs of inspect.onnx alone
WHY_ABSENT = {
    READOUTS: "has no readouts: its scores are not computed of its last block alone",
    CAM: "has no class activation maps: it does not end in a mean over positions and a linear layer",
}


@dataclass(frozen=True)
class Times:
    """Seconds of a graph's start.

    Attributes:
        load: Seconds to load the graph.
        runs: Seconds of the first run of each batch size.
    """

    load: float
    runs: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Row:
    """Row of the only input of a graph: one image.

    Attributes:
        name: Name of the input.
        datatype: Datatype of the input in the Open Inference Protocol.
        dtype: NumPy's type of its elements.
        shape: Size of each axis but the first.
        bytes: Size in bytes.
    """

    name: str
    datatype: str
    dtype: np.dtype[Any]
    shape: list[int]
    bytes: int


@dataclass(frozen=True)
class Version:
    """Loaded version of a model.

    Attributes:
        description: Description from model.json, with its `serving` part filled in.
        number: Number of the version.
        format: Format of its images. If None, it has no input `image` with batches of uint8 images.
        unclassified: Why it classifies no images; empty if it does.
        probabilities: Whether its logits are probabilities.
        inputs: Inputs of its lean graph, by name.
        outputs: Outputs of its lean graph, by name.
        batched: Whether the first axis of its tensors is a batch. If not, a row of a batcher is a whole request.
        batchers: Batchers of its graphs, by file, with one of model.onnx; none if it is not in memory.
        times: Seconds of the start of each graph, by file.
        inspected: Outputs that inspect.onnx alone has, by name; none if there is no such graph.
        sampled: What is sampled of its images.
        notes: What its operator should know.
        cascade: Parts of the net, where images may leave early. If None, it is not cut.
    """

    description: pb.Model
    number: int
    format: Format | None
    unclassified: str
    probabilities: bool
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batched: bool
    batchers: Mapping[str, Batcher]
    times: Mapping[str, Times]
    inspected: Mapping[str, Tensor]
    sampled: Sampled
    notes: tuple[str, ...] = ()
    cascade: Cascade | None = None

    @cached_property
    def name(self) -> str:
        """Name of its model."""
        return self.description.name

    @property
    def is_loaded(self) -> bool:
        """Whether its graphs are in memory."""
        return bool(self.batchers)

    def unloaded(self) -> "Version":
        """Returns what is left of the version when its graphs are not in memory: all that describes it."""
        return replace(self, batchers={}, sampled=Sampled())

    @property
    def lean(self) -> Batcher:
        """Batcher of model.onnx."""
        return self.batchers[LEAN]

    def graphs(self) -> dict[str, Batcher]:
        """Returns the batchers by the names of their graphs in metrics."""
        return {GRAPHS[file]: batcher for file, batcher in self.batchers.items()}

    def images(self) -> Format:
        """Returns the format of the images that it classifies. Raises NotSupported if it classifies none."""
        if self.format is None or self.unclassified:
            raise NotSupported(
                f"model {self.description.name} {self.unclassified}; "
                "ask for its own tensors over the Open Inference Protocol"
            )
        return self.format

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of its classes."""
        return tuple(self.description.classes)

    @cached_property
    def signature(self) -> bytes:
        """Serialized part of every ClassifyResponse: model, version, provider, digest and precision, if known."""
        model = self.description
        serving = model.serving
        response = pb.ClassifyResponse(
            model=model.name,
            version=model.version,
            provider=serving.provider,
            digest=serving.digest,
            precision=model.precision or None,
        )
        return response.SerializeToString()

    @cached_property
    def row(self) -> Row | None:
        """Row of the only input. If None, there are several inputs, or the size of a row is not fixed."""
        if len(self.inputs) > 1 or not self.batched:
            return None
        (tensor,) = self.inputs.values()
        datatype = BY_ONNX.get(tensor.dtype)
        sizes = [size for size in tensor.shape[1:] if size is not None]
        if datatype is None or datatype.dtype.kind == "O" or len(sizes) < len(tensor.shape) - 1:
            return None
        return Row(tensor.name, datatype.name, datatype.dtype, sizes, math.prod(sizes) * datatype.dtype.itemsize)

    def batcher(self, analyses: Collection[str], with_scale: bool) -> Batcher:
        """Returns the batcher of the graph that answers a request. Raises NotSupported if there is none.

        Args:
            analyses: Names of the outputs that the request asks for beside those of the lean graph.
            with_scale: Whether the request has a block scale.
        """
        if analyses and (asked := [name for name in INSPECTED if name in analyses]):
            return self._inspecting(asked)
        files = (LESION, LESION_PROBE) if with_scale else (LEAN, PROBE)
        file = files[BLOCKS in analyses]
        found = self.batchers.get(file)
        if found is None:
            lacks, hint = (
                ("cannot scale its blocks", "leave block_scale out")
                if with_scale
                else ("has no block statistics", "ask without them")
            )
            raise self._lacks(lacks, LESION_PROBE if self.is_lesioned else file, hint)
        return found

    def _inspecting(self, asked: Sequence[str]) -> Batcher:
        """Returns the batcher of inspect.onnx. Raises NotSupported if it lacks what is asked for."""
        found = self.batchers.get(INSPECT)
        if found is None:
            raise self._lacks(f"cannot return {', '.join(asked)}", INSPECT, "ask without them")
        for name in asked:
            if name not in self.inspected:
                raise NotSupported(f"model {self.description.name} {WHY_ABSENT[name]}; ask without them")
        return found

    def exiting(self) -> Batcher:
        """Returns the batcher of the net's parts. Raises NotSupported if it is not cut for early exits."""
        found = self.batchers.get(EXIT)
        if found is None:
            raise self._lacks("has no early exits", EXIT, f"leave {EXIT_THRESHOLD} out")
        return found

    def _lacks(self, lacks: str, file: str, hint: str) -> NotSupported:
        residual = self.description.blocks or not self.description.depth
        why = f"it comes without {file}" if residual else "it has no residual blocks"
        return NotSupported(f"model {self.description.name} {lacks}: {why}; {hint}")

    def row_values(self, analyses: Collection[str]) -> int:
        """Returns how many numbers inspect.onnx returns for a row, of the outputs that are asked for."""
        shapes = [self.inspected[name].shape[1:] for name in INSPECTED if name in analyses]
        return sum(math.prod(size or 1 for size in shape) for shape in shapes)

    @property
    def is_lesioned(self) -> bool:
        """Whether its graphs are the lesion graphs of a model, with the input `block_scale`."""
        return BLOCK_SCALE in self.inputs

    @cached_property
    def lesioned(self) -> "Version | None":
        """Lesion graphs as a model of their own, NAME.lesion, with the input `block_scale` float32 [n, blocks].

        If None, it has no lesion graphs.
        """
        if not self.description.serving.has_block_scale:
            return None
        description = pb.Model()
        description.CopyFrom(self.description)
        description.name += LESION_SUFFIX
        scale = Tensor(BLOCK_SCALE, "tensor(float)", (None, len(description.blocks)))
        lesions = {LEAN: LESION, PROBE: LESION_PROBE, INSPECT: INSPECT}
        batchers = {file: self.batchers[lesion] for file, lesion in lesions.items() if lesion in self.batchers}
        inputs = {**self.inputs, BLOCK_SCALE: scale}
        return replace(self, description=description, inputs=inputs, batchers=batchers, sampled=Sampled(), cascade=None)
