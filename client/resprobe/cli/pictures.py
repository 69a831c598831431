"""Asks about picture files: those that cannot be used are named, and the others are answered."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resprobe._client import Client
from resprobe._pictures.batches import batches
from resprobe._pictures.ready import Place
from resprobe._results.model import Model
from resprobe._results.result import Result, join
from resprobe.analysis import resized
from resprobe.errors import InvalidImage, InvalidRequest, RequestTooLarge

STDIN = Path("-")
STDIN_NAME = "standard input"


@dataclass(frozen=True)
class Answers:
    """Results of picture files.

    Attributes:
        sources: Names of the pictures that were classified; at least one.
        result: Result of these pictures, in this order.
        model: Description of the model that answered.
        refused: Sentences on what was wrong with each of the other pictures.
    """

    sources: list[str]
    result: Result
    model: Model
    refused: list[str]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on pictures that were resized."""
        return resized.notes(self.sources, self.result.resized_from, self.model)

    def check(self) -> None:
        """Raises InvalidImage if a picture could not be used."""
        if self.refused:
            raise InvalidImage(_sentence(self.refused, len(self.sources) + len(self.refused)))


def ask(
    client: Client,
    paths: Sequence[Path],
    name: str,
    version: str,
    top_k: int,
    *,
    blocks: bool = False,
    exit: float | None = None,
    preprocess: Place = "server",
) -> Answers:
    """Classifies picture files, of which some may be damaged.

    Args:
        client: Client of the server.
        paths: Files, at least one; `-` is standard input.
        name: NAME or NAME/VERSION of the model. If empty, the only model.
        version: Version of the model. If empty, the default; all files are then sent to that one version.
        top_k: Number of classes for each picture.
        blocks: Whether to ask for block statistics too.
        exit: Threshold of an early exit. If None, the whole net answers.
        preprocess: Place where pictures are preprocessed.

    Raises:
        InvalidImage: None of the pictures can be used.
        Error: Any of resprobe.errors.
    """
    answered: list[tuple[Sequence[Path], Result]] = []
    refused: list[str] = []
    stdin = _read_stdin() if STDIN in paths else b""

    def send(part: Sequence[Path]) -> Result:
        which = (answered[0][1].model, answered[0][1].version) if answered else (name, version)
        images = [stdin if path == STDIN else path for path in part]
        return client.classify(
            images, model=which[0], version=which[1], blocks=blocks, top_k=top_k, exit=exit, preprocess=preprocess
        )

    for part, found in _send(paths, send):
        if isinstance(found, Result):
            answered.append((part, found))
        else:
            refused.append(found)
    if not answered:
        raise InvalidImage(_sentence(refused, len(paths)))
    result = join([found for _, found in answered])
    sources = [_name(path) for part, _ in answered for path in part]
    return Answers(sources, result, client.model(result.model, result.version), refused)


def _send(
    paths: Sequence[Path], send: Callable[[Sequence[Path]], Result]
) -> Iterator[tuple[Sequence[Path], Result | str]]:
    """Sends files in parts, and the files of a part that is refused one by one; yields a result, or what is wrong."""
    for part in batches(paths):
        try:
            found: Result | str = send(part)
        except (InvalidImage, RequestTooLarge) as error:
            if len(part) > 1:
                for path in part:
                    yield from _send([path], send)
                continue
            found = _reason(error, part[0])
        yield part, found


def _reason(error: InvalidImage | RequestTooLarge, path: Path) -> str:
    """Returns what is wrong with one picture, with its name."""
    if not isinstance(error, InvalidImage):
        return f"{_name(path)}: {error}"
    text = str(error)
    return text.replace("image 0", STDIN_NAME, 1) if path == STDIN else text


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InvalidRequest("standard input is closed; expected the bytes of a picture file")
    data = sys.stdin.buffer.read()
    if not data:
        raise InvalidRequest("standard input is empty; expected the bytes of a picture file")
    return data


def _name(path: Path) -> str:
    return STDIN_NAME if path == STDIN else str(path)


def _sentence(refused: Sequence[str], count: int) -> str:
    if count == 1:
        return refused[0]
    return f"{len(refused)} of {count} pictures were not classified: {'; '.join(refused)}"
