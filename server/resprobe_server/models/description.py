"""Description of a version: model.json, and for a version without one what its graphs show."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from google.protobuf import json_format
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCKS, CAM, CHANNELS, DESCRIPTION, LEAN, LOGITS, MAPS, READOUTS

from resprobe_server.images.format import Format
from resprobe_server.models.repository import Found


class InvalidDescription(Exception):
    """The model.json of a version is not a description; the text says why."""


def read(directory: Path) -> pb.Model | None:
    """Reads model.json. Returns None if a version has none.

    Raises:
        InvalidDescription: It is not JSON of a resprobe.v1.Model.
    """
    path = directory / DESCRIPTION
    if not path.is_file():
        return None
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), pb.Model(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDescription(f"{DESCRIPTION} is not the JSON of a resprobe.v1.Model: {error}") from error


def complete(read_model: pb.Model | None, found: Found, images: Format | None, classes: int) -> pb.Model:
    """Completes the description of a version.

    Args:
        read_model: Description from model.json. If None, there is no model.json.
        found: Directory of the version, which decides its name and number.
        images: Format of the images that its lean graph classifies. If None, it classifies no images.
        classes: Number of classes that its lean graph returned.
    """
    model = pb.Model(provenance=pb.Provenance(source=LEAN))
    if read_model is not None:
        model.CopyFrom(read_model)
    elif images is not None:
        model.image.CopyFrom(pb.ImageFormat(height=images.height, width=images.width, channels=images.channels))
        model.classes.extend(map(str, range(classes)))
    model.name, model.version = found.name, str(found.number)
    return model


def images(model: pb.Model, declared: Format | None) -> Format | None:
    """Returns the format of the images of a version, with the preprocessing that its description declares.

    Args:
        model: Description of the version.
        declared: Format of the images that its graph takes. If None, it takes none.

    Raises:
        InvalidDescription: The preprocessing is none that this server knows.
    """
    if declared is None or not model.image.HasField("preprocessing"):
        return declared
    found = ResizeAndCrop(model.image.preprocessing.resize, model.image.preprocessing.interpolation)
    try:
        found.check()
    except ValueError as error:
        raise InvalidDescription(f"{DESCRIPTION} says image.preprocessing.{error}") from error
    return replace(declared, preprocessing=found)


def shapes(model: pb.Model, classes: int | None) -> Mapping[str, Sequence[int]]:
    """Returns the sizes of outputs by the description, but for the first. If classes is None, it has no scores."""
    blocks, scores = model.blocks, () if classes is None else (classes,)
    shapes: dict[str, Sequence[int]] = {
        LOGITS: scores,
        BLOCKS: (len(blocks), len(model.statistics)),
        MAPS: (2, sum(block.height * block.width for block in blocks)),
        CHANNELS: (2, sum(block.channels for block in blocks)),
        READOUTS: (sum(block.HasField("readout") for block in blocks), *scores),
    }
    if blocks:
        shapes[CAM] = (*scores, blocks[-1].height, blocks[-1].width)
    return {name: shape for name, shape in shapes.items() if scores or name not in (LOGITS, READOUTS, CAM)}


def digest(model: pb.Model) -> str:
    """Returns a digest of a description without `serving`: 16 hexadecimal digits."""
    published = pb.Model()
    published.CopyFrom(model)
    published.ClearField("serving")
    return hashlib.sha256(published.SerializeToString(deterministic=True)).hexdigest()[:16]
