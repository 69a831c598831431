"""Options of the commands that ask about many images: which images of a labelled data set to send."""

from dataclasses import dataclass
from pathlib import Path

from resprobe import datasets
from resprobe.datasets import Dataset, Name
from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Source:
    """Options that choose images of a labelled data set."""

    dataset: Name | None = None
    """Labelled images to send: the test images of digits, cifar10 or cifar100, or a folder with one directory of
    pictures for each class."""
    data: Path | None = None
    """Directory with the files of --dataset. Not needed for digits."""
    limit: int | None = None
    """Maximum number of images to send. Default: all."""
    offset: int = 0
    """Number of images to skip at the start of the data set."""
    seed: int | None = None
    """Seed with which --limit images are drawn at random. Default: the first images are sent."""
    resize: bool = False
    """Resize images whose size or channels differ from the model's. Without it, such a data set is refused."""

    def load(self) -> Dataset:
        """Reads the images.

        Raises:
            DatasetError: They cannot be read.
            InvalidRequest: No data set was named, or an option is out of range.
        """
        if self.dataset is None:
            raise InvalidRequest("no images were given: expected --dataset")
        check_limit(self.limit)
        if self.offset < 0:
            raise InvalidRequest(f"--offset {self.offset}: expected 0 or more")
        return datasets.load(self.dataset, self.data, "test").window(self.limit, self.offset, self.seed)


def check_limit(limit: int | None) -> None:
    """Raises InvalidRequest if --limit is not a number of images."""
    if limit is not None and limit < 1:
        raise InvalidRequest(f"--limit {limit}: expected 1 or more")
