"""Writes request messages: the one place that does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat, TypeAlias

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb

from resprobe._classes import nearest
from resprobe._pictures.arrays import Layout
from resprobe._pictures.images import Encoded, Images, Pixels, Size, collect
from resprobe._pictures.ready import Place, check_place, make_ready
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe.errors import InvalidRequest, ModelNotFound

LONGEST_NAME = 255  # bytes; models are directories
SHOWN = 12  # names of blocks in an error
VIEWS: Mapping[str, pb.View.ValueType] = {
    "blocks": pb.VIEW_BLOCKS,
    "maps": pb.VIEW_MAPS,
    "channels": pb.VIEW_CHANNELS,
    "readouts": pb.VIEW_READOUTS,
    "cam": pb.VIEW_CAM,
}
BlockScale: TypeAlias = npt.ArrayLike | Mapping[str, float]


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is ready to be sent.

    Attributes:
        message: Request.
        sources: Names of its images in errors.
        sizes: Sizes that its pictures were resized from on this side, as in Result.resized_from.
        parts: Names of the views that it asks for, which the result will have.
    """

    message: pb.ClassifyRequest
    sources: list[str]
    sizes: Sequence[Size | None] = ()
    parts: frozenset[str] = frozenset()

    def complete(self, response: pb.ClassifyResponse) -> pb.ClassifyResponse:
        """Adds to a response the sizes that the server did not see, and returns it."""
        for result, size in zip(response.results, self.sizes, strict=False):
            if size is not None:
                result.resized_from.height, result.resized_from.width = size
        return response


@dataclass(frozen=True)
class RequestOptions:
    """Arguments of `classify` and `stream` beside the images.

    Attributes:
        description: Description of the model. If None, it was not needed.
    """

    model: str
    version: str | int
    blocks: bool = False
    top_k: int = 5
    block_scale: BlockScale | None = None
    layout: Layout = "nhwc"
    preprocess: Place = "server"
    description: Model | None = None
    views: Sequence[View] = ()
    request_id: str = ""
    exit: float | None = None

    @property
    def needs_description(self) -> bool:
        """Whether `resolve` must be called. Raises InvalidRequest for a place of preprocessing that does not exist."""
        check_place(self.preprocess)
        return isinstance(self.block_scale, Mapping) or self.preprocess == "client"

    def resolve(self, model: Model) -> "RequestOptions":
        """Fixes the version that was described, and replaces names of blocks by factors.

        Raises:
            InvalidRequest: The model has no block of such a name, or takes no images that could be preprocessed here.
        """
        scale = factors(self.block_scale, model) if isinstance(self.block_scale, Mapping) else self.block_scale
        if self.preprocess == "client" and not model.height:
            raise InvalidRequest(f"preprocess 'client': model {model.name} does not say which images it takes")
        return replace(self, model=model.name, version=model.version, block_scale=scale, description=model)

    def prepare(self, images: Images) -> PreparedRequest:
        """Creates the request for these images. Raises InvalidImage or InvalidRequest."""
        return self.prepare_collected(collect(images, self.layout))

    def prepare_collected(self, images: Sequence[Encoded | Pixels]) -> PreparedRequest:
        """Creates the request for images that `collect` returned."""
        which = model_request(self.model, self.version)
        sizes: Sequence[Size | None] = ()
        if self.preprocess == "client" and (model := self.description) is not None:
            images, sizes = make_ready(images, (model.height, model.width, model.channels), model.preprocessing)
        parts = _parts(self.blocks, self.views)
        try:
            message = pb.ClassifyRequest(
                model=which.name,
                version=which.version,
                images=[_image(image) for image in images],
                top_k=self.top_k,
                view=pb.VIEW_BLOCKS if self.blocks else pb.VIEW_BASIC,  # servers of version 0.1 know no `views`
                views=[VIEWS[name] for name in VIEWS if name in parts and name != "blocks"],
                block_scale=_flat(self.block_scale),
                id=_checked(self.request_id),
                exit_threshold=_threshold(self.exit),
            )
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"top_k {self.top_k!r}: expected a whole number from 1 to 2147483647") from error
        return PreparedRequest(message, [image.source for image in images], sizes, parts)


def _checked(request_id: str) -> str:
    if not isinstance(request_id, str) or request_id.encode(errors="replace").decode() != request_id:
        raise InvalidRequest(f"request_id {request_id!r}: expected text")
    return request_id


def _threshold(exit: float | None) -> float | None:
    """Checks the threshold of an early exit. Raises InvalidRequest if it is not a number above 0, at most 1."""
    if exit is None:
        return None
    if isinstance(exit, bool) or not isinstance(exit, SupportsFloat) or not 0 < float(exit) <= 1:
        raise InvalidRequest(f"exit {exit!r}: expected a number above 0, at most 1")
    return float(exit)


def _parts(blocks: bool, views: Sequence[View]) -> frozenset[str]:
    """Returns the names of the views to ask for. Raises InvalidRequest if there is no such view."""
    if isinstance(views, str) or not all(isinstance(name, str) for name in views):
        raise InvalidRequest(f"views {views!r}: expected a list of names, such as ['maps', 'readouts']")
    asked = frozenset([*views, *(["blocks"] if blocks else [])])
    if unknown := sorted(asked - VIEWS.keys()):
        raise InvalidRequest(f"views: there is no view {unknown[0]!r}; there are {', '.join(VIEWS)}")
    return asked


def model_request(name: str, version: str | int = "") -> pb.GetModelRequest:
    """Creates the request for a model's description.

    Args:
        name: NAME or NAME/VERSION. If empty, the only model that is served.
        version: Version such as 1 or "1". If empty, the one in `name`, or the default version.

    Raises:
        InvalidRequest: The name or the version cannot be one, or they name two versions.
        ModelNotFound: Either is longer than any name.
    """
    if not isinstance(name, str) or not isinstance(version, str | int) or isinstance(version, bool):
        raise InvalidRequest(f"model {name!r} version {version!r}: expected a name, and a version such as 1 or '1'")
    model, slash, named = name.partition("/")
    if slash and not (model and named):
        raise InvalidRequest(f"model {name!r}: expected NAME or NAME/VERSION")
    if named and version != "" and str(version) != named:
        raise InvalidRequest(f"model {name!r} and version {version!r} contradict each other: expected one version")
    wanted = named or str(version)
    for what, word in (("model", model), ("version", wanted)):
        if len(word.encode(errors="replace")) > LONGEST_NAME:
            raise ModelNotFound(f"no {what} {word[:20]!r}…: no name has {len(word):,} characters")
    try:
        return pb.GetModelRequest(name=model, version=wanted)
    except ValueError as error:
        raise InvalidRequest(f"model {name!r} version {version!r} is not text: {error}") from error


def factors(scale: Mapping[str, float], model: Model) -> npt.NDArray[np.float32]:
    """Converts factors on some blocks by their names to factors on all blocks of a model, [blocks]: 1 for the others.

    Raises:
        InvalidRequest: The model has no block of this name, or a factor is not a number.
    """
    names = [block.name for block in model.blocks]
    if unknown := [name for name in scale if name not in names]:
        near = nearest(str(unknown[0]), names)
        hint = f"nearest: {', '.join(near)}; " if near else ""
        some = ", ".join(names[:SHOWN]) or "none"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise InvalidRequest(
            f"block_scale: model {model.name} has no block {unknown[0]!r}; {hint}its blocks are {some}{more}"
        )
    return _numbers([scale.get(name, 1) for name in names])


def _flat(scale: BlockScale | None) -> Sequence[float]:
    flat: list[float] = [] if scale is None else _numbers(scale).ravel().tolist()
    return flat


def _numbers(scale: BlockScale) -> npt.NDArray[np.float32]:
    try:
        array = np.asarray(scale)
    except (TypeError, ValueError):  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise InvalidRequest("block_scale: expected numbers [blocks] or [n, blocks], or a dict of them by block")
    return array.astype(np.float32)


def _image(source: Encoded | Pixels) -> pb.Image:
    if isinstance(source, Encoded):
        return pb.Image(encoded=source.data)
    pixels = pb.Pixels(
        height=source.height,
        width=source.width,
        channels=source.channels,
        data=source.data,
        is_picture=source.is_picture,
    )
    return pb.Image(pixels=pixels)
