"""`resprobe classify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe import resized, table
from resprobe.client import Client
from resprobe.commands.common import Selection, console, print_notes
from resprobe.errors import InvalidImage, InvalidRequest
from resprobe.result import Model, Result


@dataclass(frozen=True)
class Classify(Selection):
    """Classify pictures: JPEG, PNG or WebP files.

    Examples:
      resprobe classify cat.jpg dog.png
      resprobe classify *.png --model resnet110 --top-k 1 --json
    """

    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files."""
    top_k: int = 3
    """Classes to show for each image."""

    def run(self) -> None:
        """Asks and prints."""
        if not self.images:
            raise InvalidRequest("no images were given; see resprobe classify --help")
        with self.client() as client:
            answers, failures = self._ask(client)
            if not answers:
                raise InvalidImage(_said(failures, len(self.images)))
            last = answers[-1][1]
            model = client.model(last.model, last.version)
        self._show(answers, model)
        if failures:
            raise InvalidImage(_said(failures, len(self.images)))

    def _show(self, answers: Sequence[tuple[list[str], Result]], model: Model) -> None:
        if self.json:
            self.show(
                [one for sources, result in answers for one in table.classes_json(sources, result, model.classes)]
            )
            return
        for sources, result in answers:
            console.print(table.classes_table(sources, result, model.classes))
        names = [name for sources, _ in answers for name in sources]
        sizes = [size for _, result in answers for size in result.resized_from]
        print_notes(resized.notes(names, sizes, (model.height, model.width)))

    def _ask(self, client: Client) -> tuple[list[tuple[list[str], Result]], list[str]]:
        """All pictures at once; one by one if one of them cannot be used. Returns answers, and what was refused."""
        try:
            return [self._classify(client, self.images)], []
        except InvalidImage as error:
            if len(self.images) == 1:
                return [], [str(error)]
        answers, failures = [], []
        for path in self.images:
            try:
                answers.append(self._classify(client, [path]))
            except InvalidImage as error:
                failures.append(str(error))
        return answers, failures

    def _classify(self, client: Client, paths: Sequence[Path]) -> tuple[list[str], Result]:
        result = client.classify(list(paths), model=self.model, version=self.version, top_k=self.top_k)
        return [str(path) for path in paths], result


def _said(failures: Sequence[str], count: int) -> str:
    if count == 1:
        return failures[0]
    return f"{len(failures)} of {count} pictures were not classified: {'; '.join(failures)}"
