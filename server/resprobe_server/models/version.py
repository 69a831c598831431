"""One version of a model, and what it can answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, LEAN, LESION, LESION_PROBE, PROBE

from resprobe_server.errors import NotSupported
from resprobe_server.execution.session import Tensor
from resprobe_server.execution.tensors import BY_ONNX
from resprobe_server.images.decode import Format
from resprobe_server.observability.ratio_sampler import Ratios
from resprobe_server.scheduling.batcher import Batcher

LESION_SUFFIX = ".lesion"
GRAPHS = {LEAN: "lean", PROBE: "probe", LESION: "lesion", LESION_PROBE: "lesion_probe"}  # file to name


@dataclass(frozen=True)
class Times:
    """Seconds that a graph took to load, and in the first run of each batch size."""

    load: float
    runs: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Row:
    """What a graph with one input takes for each image: name of the input, its datatype, and the size of a row."""

    name: str
    datatype: str
    dtype: np.dtype[Any]
    shape: list[int]
    bytes: int


@dataclass(frozen=True)
class Version:
    """A loaded version of a model.

    Attributes:
        description: What model.json says, with the serving part filled in.
        number: Of the version.
        format: Of the images that it takes. If None, it does not take batches of uint8 images under the name `image`.
        unclassified: Why it classifies no images; empty if it does.
        probabilities: Whether its logits are probabilities already.
        inputs: What its graphs take.
        outputs: What model.onnx returns.
        batched: Whether their first axis is a batch. If not, a batcher's row is what one request sent.
        lean: Runs model.onnx.
        probe: Runs probe.onnx, which returns block statistics too; None if there is none.
        lesion: Runs lesion.onnx, which takes a block scale too; None if there is none.
        lesion_probe: Runs lesion_probe.onnx, which does both; None if there is none.
        times: Of each graph, by its file.
        ratios: Of its blocks, sampled from what it serves; None if they are not.
        notes: What its operator should know.
    """

    description: pb.Model
    number: int
    format: Format | None
    unclassified: str
    probabilities: bool
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batched: bool
    lean: Batcher
    probe: Batcher | None
    lesion: Batcher | None
    lesion_probe: Batcher | None
    times: Mapping[str, Times]
    ratios: Ratios | None
    notes: tuple[str, ...] = ()

    def graphs(self) -> dict[str, Batcher]:
        """What runs its graphs, by their names in metrics."""
        batchers = self.lean, self.probe, self.lesion, self.lesion_probe
        return {name: one for name, one in zip(GRAPHS.values(), batchers, strict=True) if one is not None}

    def images(self) -> Format:
        """The images that it classifies. Raises NotSupported if it classifies none."""
        if self.format is None or self.unclassified:
            raise NotSupported(
                f"model {self.description.name} {self.unclassified}; "
                "ask for its own tensors over the Open Inference Protocol"
            )
        return self.format

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes."""
        return tuple(self.description.classes)

    @cached_property
    def signature(self) -> bytes:
        """The part of a ClassifyResponse that says who answers."""
        model = self.description
        serving = model.serving
        response = pb.ClassifyResponse(
            model=model.name, version=model.version, provider=serving.provider, digest=serving.digest
        )
        return response.SerializeToString()

    @cached_property
    def row(self) -> "Row | None":
        """One row of the only input; None if there are several, or if its rows have no fixed size."""
        if len(self.inputs) > 1 or not self.batched:
            return None
        (tensor,) = self.inputs.values()
        datatype = BY_ONNX.get(tensor.dtype)
        sizes = [size for size in tensor.shape[1:] if size is not None]
        if datatype is None or datatype.dtype.kind == "O" or len(sizes) < len(tensor.shape) - 1:
            return None
        return Row(tensor.name, datatype.name, datatype.dtype, sizes, math.prod(sizes) * datatype.dtype.itemsize)

    def batcher(self, with_blocks: bool, with_scale: bool) -> Batcher:
        """The graph that answers. Raises NotSupported if there is none."""
        if with_scale:
            found, file = (self.lesion_probe, LESION_PROBE) if with_blocks else (self.lesion, LESION)
            lacks, instead = "cannot scale its blocks", "leave block_scale out"
        else:
            probe = LESION_PROBE if self.is_lesioned else PROBE
            found, file = (self.probe, probe) if with_blocks else (self.lean, LEAN)
            lacks, instead = "has no block statistics", "ask without them"
        if found is None:
            residual = self.description.blocks or not self.description.depth
            why = f"it comes without {file}" if residual else "it has no residual blocks"
            raise NotSupported(f"model {self.description.name} {lacks}: {why}; {instead}")
        return found

    @property
    def is_lesioned(self) -> bool:
        """Whether it is the lesion graphs of a model, which take the input `block_scale`."""
        return BLOCK_SCALE in self.inputs

    @cached_property
    def lesioned(self) -> "Version | None":
        """Its lesion graphs as a model of their own, NAME.lesion, with the input `block_scale` float32 [n, blocks]."""
        if self.lesion is None:
            return None
        description = pb.Model()
        description.CopyFrom(self.description)
        description.name += LESION_SUFFIX
        scale = Tensor(BLOCK_SCALE, "tensor(float)", (None, len(description.blocks)))
        inputs = {**self.inputs, BLOCK_SCALE: scale}
        return replace(
            self, description=description, inputs=inputs, lean=self.lesion, probe=self.lesion_probe, ratios=None
        )
