"""What is known of a version before and after its graphs have run: model.json, and what the graphs show without one."""

import hashlib
from pathlib import Path

from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import DESCRIPTION, LEAN

from resprobe_server.images.decode import Format
from resprobe_server.models.repository import Found


class Unreadable(Exception):
    """The model.json of a version is not a description; the text says why."""


def read(directory: Path) -> pb.Model | None:
    """Reads model.json. Returns None if a version comes without one.

    Raises:
        Unreadable: It is not JSON of a resprobe.v1.Model.
    """
    path = directory / DESCRIPTION
    if not path.is_file():
        return None
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), pb.Model(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{DESCRIPTION} is not the JSON of a resprobe.v1.Model: {error}") from error


def complete(read_model: pb.Model | None, found: Found, images: Format | None, classes: int) -> pb.Model:
    """Says what a version is.

    Args:
        read_model: See `read`.
        found: Where it stands, which decides its name and number.
        images: That its lean graph classifies. If None, it classifies none.
        classes: How many its lean graph returned.
    """
    model = pb.Model(provenance=pb.Provenance(source=LEAN))
    if read_model is not None:
        model.CopyFrom(read_model)
    elif images is not None:
        model.image.CopyFrom(pb.ImageFormat(height=images.height, width=images.width, channels=images.channels))
        model.classes.extend(map(str, range(classes)))
    model.name, model.version = found.name, str(found.number)
    return model


def digest(model: pb.Model) -> str:
    """Returns a digest of a description without `serving`: 16 hexadecimal digits."""
    published = pb.Model()
    published.CopyFrom(model)
    published.ClearField("serving")
    return hashlib.sha256(published.SerializeToString(deterministic=True)).hexdigest()[:16]
