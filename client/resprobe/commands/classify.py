"""`resprobe classify`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe import table
from resprobe.commands.common import Selection, console
from resprobe.errors import InvalidRequest


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
        sources = [str(path) for path in self.images]
        with self.client() as client:
            result = client.classify(list(self.images), model=self.model, version=self.version, top_k=self.top_k)
            labels = client.model(result.model, result.version).classes
        if self.json:
            self.show(table.classes_json(sources, result, labels))
        else:
            console.print(table.classes_table(sources, result, labels))
