"""Reads the images of a ClassifyRequest, and makes ClassifyResponses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from resprobe._pictures.images import Encoded, Pixels, Size
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCKS, CAM, CHANNELS, EXIT_BLOCK, MAPS, READOUTS

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.graph import Arrays
from resprobe_server.images.format import Array, Format
from resprobe_server.models.version import Version
from resprobe_server.rpc.status import set_duration
from resprobe_server.scheduling.request import Outcome


def stack(images: Sequence[pb.Image], wanted: Format) -> Array | None:
    """Joins images in one array, uint8 [n, height, width, channels].

    This is the common case of a busy server: bytes are joined once, and nothing is decoded.

    Args:
        images: Images of a request.
        wanted: Format that the model takes.

    Returns:
        The array. If None, not every image is raw pixels of this format, or one is to be preprocessed.
    """
    shape = wanted.shape
    size = math.prod(shape)
    rows = []
    for image in images:
        if image.WhichOneof("source") != "pixels":
            return None
        pixels = image.pixels
        data = pixels.data
        if len(data) != size or (pixels.height, pixels.width, pixels.channels) != shape:
            return None
        if wanted.preprocessing is not None and pixels.is_picture:
            return None
        rows.append(data)
    return np.ndarray((len(rows), *shape), np.uint8, rows[0] if len(rows) == 1 else b"".join(rows))


def sources(images: Sequence[pb.Image]) -> list[Encoded | Pixels]:
    """Returns images for the decoders. Raises InvalidRequest for an image that is empty."""
    return [_source(image, f"images[{index}]") for index, image in enumerate(images)]


def _source(image: pb.Image, name: str) -> Encoded | Pixels:
    kind = image.WhichOneof("source")
    if kind == "pixels":
        pixels = image.pixels
        return Pixels(pixels.height, pixels.width, pixels.channels, pixels.data, name, pixels.is_picture)
    if kind == "encoded":
        return Encoded(image.encoded, name)
    raise InvalidRequest(f"{name} has neither encoded nor pixels", name)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for.

    Attributes:
        identifier: Id of the request.
        top_k: Number of classes to return for each image.
        analyses: Names of the outputs to return beside the classes.
        describes: Whether to return the description of the version.
    """

    identifier: str
    top_k: int
    analyses: frozenset[str]
    describes: bool = False


def response(wish: Wish, version: Version, outcome: Outcome) -> pb.ClassifyResponse:
    """Makes a response without the fields that all responses of a version share: those of Version.signature.

    Args:
        wish: What the request asks for; the graph may have returned more.
        version: Version that ran it.
        outcome: Outcome of the request.
    """
    # Setting fields one by one is twice as fast as passing them to a constructor or to `add`.
    labels = version.labels
    made = pb.ClassifyResponse(id=wish.identifier, batch_size=outcome.batch_size)
    if wish.describes:
        made.description.CopyFrom(version.description)
    set_duration(made.timings.queue, outcome.queued)
    set_duration(made.timings.inference, outcome.ran)
    indices, probabilities = outcome.results.best(wish.top_k, version.probabilities)
    arrays, analyses = outcome.results.arrays, wish.analyses
    blocks = arrays[BLOCKS] if BLOCKS in analyses else None
    inspects = len(analyses) > (blocks is not None)
    exits = arrays[EXIT_BLOCK].tolist() if EXIT_BLOCK in arrays else None
    for row in range(outcome.start, outcome.stop):
        result = made.results.add()
        add = result.classes.add
        for index, probability in zip(indices[row], probabilities[row], strict=True):
            found = add()
            found.index, found.label, found.probability = index, labels[index], probability
        if blocks is not None:
            for name, values in zip(version.description.statistics, blocks[row].T.tolist(), strict=True):
                result.statistics.add(name=name, values=values)
        if exits is not None:
            result.exit_block = exits[row]
        if inspects:
            _add_inspection(result, {name: arrays[name][row] for name in analyses}, indices[row])
    return made


def _add_inspection(result: pb.ImageResult, found: Arrays, classes: Sequence[int]) -> None:
    """Adds what inspect.onnx returned for one image, by the names of its outputs, to its result."""
    for name, norms in ((MAPS, result.maps), (CHANNELS, result.channels)):
        if name in found:
            branch, shortcut = found[name].tolist()
            norms.branch.extend(branch)
            norms.shortcut.extend(shortcut)
    if READOUTS in found:
        result.readouts.extend(found[READOUTS].ravel().tolist())
    if CAM in found:
        for one, index in zip(result.classes, classes, strict=True):
            one.cam.extend(found[CAM][index].ravel().tolist())


def set_sizes(made: pb.ClassifyResponse, sizes: Sequence[Size | None]) -> None:
    """Sets the sizes that images were resized from. If None, an image was not resized."""
    for result, size in zip(made.results, sizes, strict=False):
        if size is not None:
            result.resized_from.height, result.resized_from.width = size
