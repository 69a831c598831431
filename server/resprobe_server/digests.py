"""Compares the files of a version with the digests in its description: they must be those that were published."""

import hashlib
from pathlib import Path

import structlog
from resprobe_protos import resprobe_pb2 as pb

from resprobe_server.repository import WEIGHTS

SHOWN = 12  # hexadecimal digits of a digest in a message
log = structlog.get_logger()


class WrongDigest(Exception):
    """A file of a version is not the one that was published; the text says which."""


def check(model: pb.Model, directory: Path) -> None:
    """Compares weights and graphs with the description. A version without digests passes, with a line in the log.

    Raises:
        WrongDigest: A file differs, or is missing.
    """
    expected = dict(model.provenance.graph_sha256)
    if model.provenance.weights_sha256 and (directory / WEIGHTS).is_file():
        expected[WEIGHTS] = model.provenance.weights_sha256
    if not expected:
        log.info("version without digests: its files are taken as they are", directory=str(directory))
    for name, digest in sorted(expected.items()):
        _check_file(directory / Path(name).name, digest)


def _check_file(path: Path, digest: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WrongDigest(f"{path.name} is missing; the description names its digest") from error
    if found != digest:
        raise WrongDigest(
            f"{path.name} is not the file that was published: its SHA-256 begins with {found[:SHOWN]}, and the "
            f"description says {digest[:SHOWN]}"
        )
