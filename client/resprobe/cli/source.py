"""Options of the commands that ask about many images: which ones, and a bar that shows how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resprobe import datasets
from resprobe._client import Client
from resprobe._results.model import Model
from resprobe.analysis.collect import sweep
from resprobe.analysis.dataset_result import Frame
from resprobe.cli.options import progress_bar
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Source:
    """Which images of a labelled data set."""

    dataset: datasets.Name | None = None
    """The test images of a data set, or all of a folder with one directory for each class."""
    data: Path | None = None
    """Directory of the data set's files."""
    limit: int | None = None
    """Maximum images of the data set."""
    offset: int = 0
    """Images of the data set to skip."""
    seed: int | None = None
    """Draw --limit images at random with this seed, instead of the first ones."""
    resize: bool = False
    """Take a data set whose images are of another size or colour than the model's, and resize them."""

    def load(self) -> Dataset:
        """Reads the images.

        Raises:
            DatasetError: They cannot be read.
            InvalidRequest: The options do not say which.
        """
        if self.dataset is None:
            raise InvalidRequest("no images were given: expected --dataset")
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest(f"--limit {self.limit}: expected 1 or more")
        if self.offset < 0:
            raise InvalidRequest(f"--offset {self.offset}: expected 0 or more")
        return datasets.load(self.dataset, self.data, "test").window(self.limit, self.offset, self.seed)


def ask(client: Client, source: Dataset | Sequence[Path], model: Model, resize: bool = False) -> Frame:
    """Sends images and shows a bar on a terminal meanwhile; see sweep."""
    with progress_bar(f"{model.name} version {model.version}") as report:
        return sweep(client, source, model, report, resize=resize)
