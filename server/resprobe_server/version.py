"""One version of a model: how it is loaded, and what it can answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb

from resprobe_server import check
from resprobe_server.batching import Batcher
from resprobe_server.config import Config
from resprobe_server.decode import Format
from resprobe_server.device import Device
from resprobe_server.errors import NotSupported
from resprobe_server.repository import DESCRIPTION, IMAGE, LEAN, LOGITS, PROBE, Found
from resprobe_server.session import Session, Tensor, Whole, batch_sizes, choose_provider

GRAPHS = (LEAN, PROBE)


@dataclass(frozen=True)
class Times:
    """Seconds that a graph took to load, and in the first run of each batch size."""

    load: float
    runs: Mapping[int, float]


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
        probe: Runs probe.onnx; None if there is none.
        times: Of each graph, by its file.
    """

    description: pb.Model
    number: int
    format: Format | None
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batched: bool
    lean: Batcher
    probe: Batcher | None
    times: Mapping[str, Times]

    def images(self) -> Format:
        """The images that it classifies. Raises NotSupported if it takes something else."""
        if self.format is None:
            raise NotSupported(
                f"model {self.description.name} takes no input `image` of uint8 [n, height, width, channels]"
            )
        return self.format

    def batcher(self, with_blocks: bool) -> Batcher:
        """The graph that answers. Raises NotSupported if it has no block statistics."""
        if not with_blocks:
            return self.lean
        if self.probe is None:
            why = "it has no residual blocks" if self.description.depth else f"it comes without {PROBE}"
            raise NotSupported(f"model {self.description.name} has no block statistics: {why}; ask without them")
        return self.probe


class Loader:
    """Loads versions onto a device."""

    def __init__(self, config: Config, device: Device) -> None:
        """Finds out what the device is. Slow; call it on a thread of its own.

        Raises:
            StartError: The configured device cannot be used.
        """
        self._config, self._device = config, device
        self._provider = choose_provider(config.device)

    def load(self, found: Found) -> Version:
        """Loads a version, runs each of its graphs and checks what they return. Slow, as above.

        Raises:
            Exception: A file of somebody else's making can fail in any way.
        """
        config, sessions, trials, times = self._config, {}, {}, {}
        for file in GRAPHS:
            if (found.directory / file).is_file():
                begin = time.perf_counter()
                session = Session(found.directory / file, self._provider, config.threads)
                load = time.perf_counter() - begin
                trials[file] = check.run(session, batch_sizes(self._provider, config.max_batch))
                sessions[file], times[file] = session, Times(load, trials[file].seconds)
        model = _describe(found, sessions[LEAN])
        check.check(trials, len(model.classes), (len(model.blocks), len(model.statistics)))
        model.serving.CopyFrom(
            pb.Serving(provider=self._provider, has_blocks=PROBE in sessions, max_batch=config.max_batch)
        )
        return Version(
            description=model,
            number=found.number,
            format=_format(sessions[LEAN]),
            inputs={tensor.name: tensor for tensor in sessions[LEAN].inputs},
            outputs={tensor.name: tensor for tensor in sessions[LEAN].outputs},
            batched=sessions[LEAN].batched,
            lean=self._batcher(sessions[LEAN], urgent=True),
            probe=self._batcher(sessions[PROBE], urgent=False) if PROBE in sessions else None,
            times=times,
        )

    def _batcher(self, session: Session, urgent: bool) -> Batcher:
        config = self._config
        graph, max_batch = (session, config.max_batch) if session.batched else (Whole(session), 1)
        return self._device.batcher(graph, max_batch, config.max_queue, config.max_wait / 1000, urgent)


def _format(session: Session) -> Format | None:
    match session.inputs:
        case [image] if session.batched and (image.name, image.dtype, len(image.shape)) == (IMAGE, "tensor(uint8)", 4):
            _, height, width, channels = image.shape
            return Format(height, width, channels) if height and width and channels in (1, 3) else None
    return None


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
