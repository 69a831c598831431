"""What goes to a server: the one place that writes request messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb

from resprobe._classes import nearest
from resprobe._pictures.images import Encoded, Images, Pixels, collect
from resprobe._wire.responses import Model
from resprobe.errors import InvalidRequest, ModelNotFound

LONGEST_NAME = 255  # bytes; models are directories
BlockScale: TypeAlias = npt.ArrayLike | Mapping[str, float]


@dataclass(frozen=True)
class Call:
    """A request that is ready to be sent, and what its images are called in errors."""

    message: pb.ClassifyRequest
    sources: list[str]


@dataclass(frozen=True)
class Options:
    """What `classify` and `stream` take beside the images."""

    model: str
    version: str | int
    blocks: bool = False
    top_k: int = 5
    block_scale: BlockScale | None = None

    def call(self, images: Images) -> Call:
        """The request for these images. Raises InvalidImage or InvalidRequest."""
        return self.call_collected(collect(images))

    def call_collected(self, images: Sequence[Encoded | Pixels]) -> Call:
        """Makes requests from what `collect` returned."""
        which = model_request(self.model, self.version)
        try:
            message = pb.ClassifyRequest(
                model=which.name,
                version=which.version,
                images=[_image(image) for image in images],
                top_k=self.top_k,
                view=pb.VIEW_BLOCKS if self.blocks else pb.VIEW_BASIC,
                block_scale=_scale(self.block_scale),
            )
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"top_k {self.top_k!r}: expected a whole number from 1 to 2147483647") from error
        return Call(message, [image.source for image in images])


def model_request(name: str, version: str | int) -> pb.GetModelRequest:
    """The request for a model's description.

    Raises:
        InvalidRequest: The name or the version cannot be one.
        ModelNotFound: It is longer than any name, so that a server's answer could not repeat it.
    """
    if not isinstance(name, str) or not isinstance(version, str | int) or isinstance(version, bool):
        raise InvalidRequest(f"model {name!r} version {version!r}: expected a name, and a version such as 1 or '1'")
    for what, word in (("model", name), ("version", str(version))):
        if len(word.encode(errors="replace")) > LONGEST_NAME:
            raise ModelNotFound(f"no {what} {word[:20]!r}…: no name has {len(word):,} characters")
    try:
        return pb.GetModelRequest(name=name, version=str(version))
    except ValueError as error:
        raise InvalidRequest(f"model {name!r} version {version!r} is not text: {error}") from error


def factors(scale: Mapping[str, float], model: Model) -> npt.NDArray[np.float32]:
    """Factors on some blocks by their names, as factors on all blocks of a model, [blocks]: 1 where none is given.

    Raises:
        InvalidRequest: The model has no block of this name, or a factor is not a number.
    """
    names = [block.name for block in model.blocks]
    for name in scale:
        if name not in names:
            near = ", ".join(nearest(str(name), names)) or ", ".join(names[:3]) or "none"
            raise InvalidRequest(f"block_scale: model {model.name} has no block {name!r}; nearest: {near}")
    return _numbers([scale.get(name, 1) for name in names])


def _scale(scale: BlockScale | None) -> Sequence[float]:
    flat: list[float] = [] if scale is None else _numbers(scale).ravel().tolist()
    return flat


def _numbers(scale: BlockScale) -> npt.NDArray[np.float32]:
    try:
        array = np.asarray(scale)
        if array.dtype.kind in "biuf":
            return array.astype(np.float32)
    except (TypeError, ValueError):  # rows of different lengths
        pass
    raise InvalidRequest("block_scale: expected numbers [blocks] or [n, blocks], or a dict of them by block")


def _image(source: Encoded | Pixels) -> pb.Image:
    if isinstance(source, Encoded):
        return pb.Image(encoded=source.data)
    pixels = pb.Pixels(height=source.height, width=source.width, channels=source.channels, data=source.data)
    return pb.Image(pixels=pixels)
