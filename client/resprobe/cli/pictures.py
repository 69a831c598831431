"""Asks about picture files that a user named: those that cannot be used are named, and the others are answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resprobe._client import Client
from resprobe._pictures.batches import batches
from resprobe._results.model import Model
from resprobe._results.result import Result, join
from resprobe.analysis import resized
from resprobe.errors import InvalidImage, RequestTooLarge


@dataclass(frozen=True)
class Answers:
    """What came of picture files.

    Attributes:
        sources: Names of those that were classified; at least one.
        result: Of these, in this order.
        model: That answered.
        refused: What was wrong with each of the others.
    """

    sources: list[str]
    result: Result
    model: Model
    refused: list[str]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was done to the pictures."""
        return resized.notes(self.sources, self.result.resized_from, (self.model.height, self.model.width))

    def check(self) -> None:
        """Raises InvalidImage if a picture could not be used."""
        if self.refused:
            raise InvalidImage(_said(self.refused, len(self.sources) + len(self.refused)))


def ask(client: Client, paths: Sequence[Path], name: str, version: str, top_k: int, *, blocks: bool = False) -> Answers:
    """Classifies picture files, of which some may be damaged.

    Args:
        client: Connected to the server.
        paths: Files, at least one.
        name: Of the model; empty: the only one.
        version: Of the model; empty: the default, which is then asked for all of the files.
        top_k: Classes for each picture.
        blocks: Whether to ask for block statistics too.

    Raises:
        InvalidImage: None of the pictures can be used.
        Error: See the tree in resprobe.errors.
    """
    answered: list[tuple[Sequence[Path], Result]] = []
    refused: list[str] = []

    def send(part: Sequence[Path]) -> Result:
        which = (answered[0][1].model, answered[0][1].version) if answered else (name, version)
        return client.classify(list(part), model=which[0], version=which[1], blocks=blocks, top_k=top_k)

    for part, found in _send(paths, send):
        if isinstance(found, Result):
            answered.append((part, found))
        else:
            refused.append(found)
    if not answered:
        raise InvalidImage(_said(refused, len(paths)))
    result = join([found for _, found in answered])
    sources = [str(path) for part, _ in answered for path in part]
    return Answers(sources, result, client.model(result.model, result.version), refused)


def _send(
    paths: Sequence[Path], send: Callable[[Sequence[Path]], Result]
) -> Iterator[tuple[Sequence[Path], Result | str]]:
    """Sends files in parts, and those of a part that is refused one by one; yields an answer, or what is wrong."""
    for part in batches(paths):
        try:
            found: Result | str = send(part)
        except (InvalidImage, RequestTooLarge) as error:
            if len(part) > 1:
                for path in part:
                    yield from _send([path], send)
                continue
            found = str(error) if isinstance(error, InvalidImage) else f"{part[0]}: {error}"
        yield part, found


def _said(refused: Sequence[str], count: int) -> str:
    if count == 1:
        return refused[0]
    return f"{len(refused)} of {count} pictures were not classified: {'; '.join(refused)}"
