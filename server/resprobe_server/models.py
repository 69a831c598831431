"""The model repository as the server sees it: NAME/VERSION/model.onnx, probe.onnx, model.json."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb

from resprobe_server.batching import Batcher, Graph
from resprobe_server.config import Config
from resprobe_server.decode import Format
from resprobe_server.device import Device
from resprobe_server.errors import InvalidRequest, NotFound, NotReady, NotSupported, StartError
from resprobe_server.ratios import Ratios, Sampler, Watched
from resprobe_server.session import CPU, Session, choose_provider

LEAN, PROBE, DESCRIPTION = "model.onnx", "probe.onnx", "model.json"
IMAGE, LOGITS, BLOCKS = "image", "logits", "blocks"
log = structlog.get_logger()


@dataclass(frozen=True)
class Version:
    """A loaded version of a model.

    Attributes:
        description: What model.json says, with the serving part filled in.
        number: Of the version.
        format: Of the images; None if the graph does not take uint8 images under the name `image`.
        lean: Runs model.onnx.
        probe: Runs probe.onnx; None if there is none.
        ratios: Of its blocks, sampled from what it serves; None if they are not.
    """

    description: pb.Model
    number: int
    format: Format | None
    lean: Batcher
    probe: Batcher | None
    ratios: Ratios | None = None

    def graphs(self) -> dict[str, Batcher]:
        """What runs its graphs, by their names in metrics."""
        return {"lean": self.lean} | ({"probe": self.probe} if self.probe else {})

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
            raise NotSupported(f"model {self.description.name} has no block statistics: {why}; ask for VIEW_BASIC")
        return self.probe


class Models:
    """All loaded versions, by name and number."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Version]] = {}
        self._loading = True

    def load(self, config: Config, device: Device) -> None:
        """Loads every version in the repository. Slow; call it on a thread of its own.

        A version that does not load is left out, and the log says why.

        Raises:
            StartError: The repository does not exist or holds nothing that loads, or the device cannot be used.
        """
        found = list(scan(config.repository))
        if not found:
            raise StartError(f"{config.repository} holds no NAME/VERSION/{LEAN}; `exporter build` writes one")
        provider = CPU
        for index, (name, number, directory) in enumerate(found):
            try:
                if index == 0 or not self._versions:
                    provider = choose_provider(config.device, directory / LEAN)
                version = _load(name, number, directory, provider, config, device)
            except StartError:
                raise
            except Exception as error:  # a file of somebody else's making can fail in any way; the others must serve
                log.error("model failed to load", model=name, version=number, reason=str(error))
                continue
            self._versions.setdefault(name, {})[number] = version
            shown = {"blocks": len(version.description.blocks), "provider": version.description.serving.provider}
            log.info("model loaded", model=name, version=number, **shown)
        if not self._versions:
            raise StartError(f"none of the {len(found)} model versions in {config.repository} could be loaded")
        for versions in self._versions.values():
            versions[max(versions)].description.serving.is_default = True
        self._loading = False

    def get(self, name: str, version: str) -> Version:
        """The version that a request names.

        Args:
            name: Empty: the only model there is.
            version: Empty: the highest.

        Raises:
            InvalidRequest: No name, and several models.
            NotFound: There is no such model or version; the text says which there are.
            NotReady: Models are still being loaded.
        """
        if self._loading:
            raise NotReady("models are still being loaded; try again in a moment")
        served = ", ".join(sorted(self._versions))
        if not name and len(self._versions) > 1:
            raise InvalidRequest(f"the request names no model, and several are served: {served}", "model")
        versions = self._versions.get(name or served)
        if versions is None:
            raise NotFound(f"no model {name!r}; there are: {served}")
        if not version:
            return versions[max(versions)]
        if not version.isdecimal() or int(version) not in versions:
            numbers = ", ".join(map(str, sorted(versions)))
            raise NotFound(f"model {name} has no version {version!r}; there are: {numbers}")
        return versions[int(version)]

    def all(self) -> list[Version]:
        """Every version, by name and number. Raises NotReady while they are being loaded."""
        if self._loading:
            raise NotReady("models are still being loaded; try again in a moment")
        return [versions[number] for _, versions in sorted(self._versions.items()) for number in sorted(versions)]

    def names(self) -> list[str]:
        """Of the models that are served."""
        return sorted(self._versions)


def scan(root: Path) -> Iterator[tuple[str, int, Path]]:
    """Name, number and directory of every version in a repository; what is not a version is passed over."""
    if root.is_dir():
        for model in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            numbered = ((int(path.name), path) for path in model.iterdir() if path.name.isdecimal())
            for number, directory in sorted(numbered):
                if (directory / LEAN).is_file():
                    yield model.name, number, directory


def _load(name: str, number: int, directory: Path, provider: str, config: Config, device: Device) -> Version:
    session = Session(directory / LEAN, provider, config.threads)
    description = _describe(name, number, directory, session)
    lean: Graph = session
    probe: Graph | None = None
    ratios = None
    if (directory / PROBE).is_file():
        probe = Session(directory / PROBE, provider, config.threads)
        if config.metrics_address and config.ratio_sample:
            ratios = Ratios(list(description.statistics), len(description.blocks))
            sampler = Sampler(ratios, probe, BLOCKS, config.ratio_sample, device.when_idle)
            lean, probe = Watched(lean, sampler.after_lean), Watched(probe, sampler.after_probe)
    description.serving.CopyFrom(
        pb.Serving(provider=session.provider, has_blocks=probe is not None, max_batch=config.max_batch)
    )
    limits, label = (config.max_batch, config.max_queue, config.max_wait / 1000), f"{name}/{number}"
    return Version(
        description,
        number,
        _format(session),
        device.batcher(lean, *limits, name=f"{label}/lean"),
        device.batcher(probe, *limits, urgent=False, name=f"{label}/probe") if probe else None,
        ratios,
    )


def _format(session: Session) -> Format | None:
    match session.inputs:
        case [image] if image.name == IMAGE and image.dtype == "tensor(uint8)" and len(image.shape) == 4:
            _, height, width, channels = image.shape
            return Format(height, width, channels) if height and width and channels in (1, 3) else None
    return None


def _describe(name: str, number: int, directory: Path, session: Session) -> pb.Model:
    """From model.json, or, where there is none, from the graph itself."""
    path = directory / DESCRIPTION
    if path.is_file():
        model = json_format.Parse(path.read_text(encoding="utf-8"), pb.Model(), ignore_unknown_fields=True)
    else:
        model = pb.Model(provenance=pb.Provenance(source=LEAN))
        if (taken := _format(session)) is not None:
            height, width, channels = taken.shape
            model.image.CopyFrom(pb.ImageFormat(height=height, width=width, channels=channels))
            count = next((output.shape[-1] for output in session.outputs if output.name == LOGITS), None)
            model.classes.extend(str(index) for index in range(count or 0))
    model.name, model.version = name, str(number)  # where it stands decides
    return model
