"""Compares the files of a version with the digests in its description: only published files may be served."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import structlog
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import DESCRIPTION, WEIGHTS

SHOWN = 12  # hexadecimal digits of a digest in a message
log = structlog.get_logger()


class WrongDigest(Exception):
    """A file of a version is not the one that was published; the text names the file."""


def check(model: pb.Model | None, directory: Path, graphs: Sequence[str]) -> None:
    """Compares weights and graphs with the description, before any of them is used.

    Each file is read once; ONNX Runtime then finds it in the system's cache. A version without digests passes, with a
    line in the log, and so do files that are not served.

    Args:
        model: Description of the version. If None, there is none.
        directory: Directory of the version.
        graphs: Names of the graphs that are served.

    Raises:
        WrongDigest: A file differs or is missing, or a graph is not among those that were published.
    """
    expected = {} if model is None else dict(model.provenance.graph_sha256)
    if expected:
        _check_published(expected, directory, graphs)
    if model is not None and model.provenance.weights_sha256:
        expected[WEIGHTS] = model.provenance.weights_sha256
    if not expected:
        log.info("version without digests: its files are served unchecked", directory=str(directory))
    for name, digest in sorted(expected.items()):
        _check_file(directory / name, digest)


def _check_published(expected: dict[str, str], directory: Path, graphs: Sequence[str]) -> None:
    published = ", ".join(sorted(expected))
    for name in expected:
        if Path(name).name != name:
            raise WrongDigest(f"{DESCRIPTION} has a digest of {name!r}; expected the name of a file in its directory")
    for name in graphs:
        if name not in expected:
            raise WrongDigest(f"{name} is not among the graphs that were published: {published}")
    if others := sorted(path.name for path in directory.glob("*.onnx") if path.name not in {*expected, *graphs}):
        log.info("passed over: not among the graphs that are served", directory=str(directory), files=others)


def _check_file(path: Path, digest: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WrongDigest(f"{path.name} is missing; the description names its digest") from error
    if found != digest.lower():
        raise WrongDigest(
            f"{path.name} is not the file that was published: its SHA-256 begins with {found[:SHOWN]}, and the "
            f"description says {digest[:SHOWN]}"
        )
