"""One version of a model: how it is loaded, and what it can answer."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb

from resprobe_server import check, digests
from resprobe_server.batching import Batcher
from resprobe_server.config import Config
from resprobe_server.decode import Format
from resprobe_server.device import Device
from resprobe_server.errors import NotSupported
from resprobe_server.providers import CPU, batch_sizes, choose
from resprobe_server.ratios import Ratios, Sampler, Watched
from resprobe_server.repository import (
    BLOCK_SCALE,
    BLOCKS,
    DESCRIPTION,
    IMAGE,
    LEAN,
    LESION,
    LESION_PROBE,
    LOGITS,
    PROBE,
    Found,
)
from resprobe_server.session import Graph, Padded, Session, Tensor, Whole
from resprobe_server.tensors import BY_ONNX

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
        format: Of the images; None if the graph does not take uint8 images under the name `image`.
        inputs: What its graphs take.
        outputs: What model.onnx returns.
        batched: Whether they have a batch axis. If not, a batcher's row is what one request sent.
        lean: Runs model.onnx.
        probe: Runs probe.onnx, which returns block statistics too; None if there is none.
        lesion: Runs lesion.onnx, which takes a block scale too; None if there is none.
        lesion_probe: Runs lesion_probe.onnx, which does both; None if there is none.
        times: Of each graph, by its file.
        ratios: Of its blocks, sampled from what it serves; None if they are not.
    """

    description: pb.Model
    number: int
    format: Format | None
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batched: bool
    lean: Batcher
    probe: Batcher | None
    lesion: Batcher | None
    lesion_probe: Batcher | None
    times: Mapping[str, Times]
    ratios: Ratios | None

    def graphs(self) -> dict[str, Batcher]:
        """What runs its graphs, by their names in metrics."""
        batchers = self.lean, self.probe, self.lesion, self.lesion_probe
        return {name: one for name, one in zip(GRAPHS.values(), batchers, strict=True) if one is not None}

    def images(self) -> Format:
        """The images that it classifies. Raises NotSupported if it takes something else."""
        if self.format is None:
            raise NotSupported(
                f"model {self.description.name} takes no input `image` of uint8 [n, height, width, channels]"
            )
        return self.format

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of its classes."""
        return tuple(self.description.classes)

    @cached_property
    def signature(self) -> bytes:
        """The part of a ClassifyResponse that says who answers."""
        model = self.description
        response = pb.ClassifyResponse(model=model.name, version=model.version, provider=model.serving.provider)
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


class Loader:
    """Loads versions onto a device."""

    def __init__(self, config: Config, device: Device) -> None:
        """Finds out what the device is. Slow; call it on a thread of its own.

        Raises:
            StartError: The configured device cannot be used.
        """
        self._config, self._device = config, device
        self._provider = choose(config)

    def load(self, found: Found) -> Version:
        """Loads a version, runs each of its graphs and checks what they return. Slow, as above.

        Raises:
            Exception: A file of somebody else's making can fail in any way.
        """
        config, sessions, trials, times = self._config, {}, {}, {}
        for file in GRAPHS:
            if (found.directory / file).is_file():
                begin = time.perf_counter()
                session = Session(found.directory / file, self._provider)
                load = time.perf_counter() - begin
                trials[file] = check.run(session, batch_sizes(self._provider.name, config.max_batch))
                sessions[file], times[file] = session, Times(load, trials[file].seconds)
        model = _describe(found, sessions[LEAN])
        described = (found.directory / DESCRIPTION).is_file()
        if not described and len(sessions) > 1:
            others = ", ".join(file for file in sessions if file != LEAN)
            raise check.CheckFailed(f"{others} without {DESCRIPTION}, which names blocks and statistics")
        check.check(trials, len(model.classes), (len(model.blocks), len(model.statistics)), described)
        _check_format(model, _format(sessions[LEAN]))
        digests.check(model, found.directory)
        model.serving.CopyFrom(
            pb.Serving(
                provider=self._provider.name,
                has_blocks=PROBE in sessions,
                has_block_scale=LESION in sessions,
                max_batch=config.max_batch,
            )
        )
        graphs, ratios = self._sampled(model, sessions)
        batchers = {file: self._batcher(file, found, graphs[file], session) for file, session in sessions.items()}
        return Version(
            description=model,
            number=found.number,
            format=_format(sessions[LEAN]),
            inputs={tensor.name: tensor for tensor in sessions[LEAN].inputs},
            outputs={tensor.name: tensor for tensor in sessions[LEAN].outputs},
            batched=sessions[LEAN].batched,
            lean=batchers[LEAN],
            probe=batchers.get(PROBE),
            lesion=batchers.get(LESION),
            lesion_probe=batchers.get(LESION_PROBE),
            times=times,
            ratios=ratios,
        )

    def _sampled(self, model: pb.Model, sessions: Mapping[str, Session]) -> tuple[Mapping[str, Graph], Ratios | None]:
        """The graphs as they are run, and the ratios that they show, if those are sampled."""
        config = self._config
        if PROBE not in sessions or not (config.metrics_address and config.ratio_sample):
            return sessions, None
        lean, probe = sessions[LEAN], sessions[PROBE]
        ratios = Ratios(list(model.statistics), len(model.blocks))
        sampler = Sampler(ratios, probe, BLOCKS, config.ratio_sample, self._device.when_idle)
        watched = {LEAN: Watched(lean, sampler.after_lean), PROBE: Watched(probe, sampler.after_probe)}
        return {**sessions, **watched}, ratios

    def _batcher(self, file: str, found: Found, graph: Graph, session: Session) -> Batcher:
        config = self._config
        if not session.batched:
            graph = Whole(graph)
        elif self._provider.name != CPU:
            graph = Padded(graph, batch_sizes(self._provider.name, config.max_batch))
        limits = config.max_batch if session.batched else 1, config.max_queue, config.max_wait / 1000
        name = f"{found.name}/{found.number}/{GRAPHS[file]}"
        uniform = all(None not in tensor.shape[1:] for tensor in session.inputs)
        return self._device.batcher(graph, *limits, urgent=file == LEAN, name=name, uniform=uniform)


def _format(session: Session) -> Format | None:
    match session.inputs:
        case [image] if session.batched and (image.name, image.dtype, len(image.shape)) == (IMAGE, "tensor(uint8)", 4):
            _, height, width, channels = image.shape
            return Format(height, width, channels) if height and width and channels in (1, 3) else None
    return None


def _check_format(model: pb.Model, taken: Format | None) -> None:
    """Raises CheckFailed if the description has images of another shape than the graph takes."""
    if taken is None or not model.HasField("image"):
        return
    said = model.image.height, model.image.width, model.image.channels
    if said != taken.shape:
        raise check.CheckFailed(f"{LEAN} takes images {list(taken.shape)}; its description says {list(said)}")


def _describe(found: Found, lean: Session) -> pb.Model:
    """From model.json, or, where there is none, from the graph itself."""
    path = found.directory / DESCRIPTION
    if path.is_file():
        model = json_format.Parse(path.read_text(encoding="utf-8"), pb.Model(), ignore_unknown_fields=True)
    else:
        model = pb.Model(provenance=pb.Provenance(source=LEAN))
        if (taken := _format(lean)) is not None:
            height, width, channels = taken.shape
            model.image.CopyFrom(pb.ImageFormat(height=height, width=width, channels=channels))
            count = next((output.shape[-1] for output in lean.outputs if output.name == LOGITS), None)
            model.classes.extend(str(index) for index in range(count or 0))
    model.name, model.version = found.name, str(found.number)  # where it stands decides
    return model
