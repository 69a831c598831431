"""Answers of a model to many images, in their order: asked for, joined, and as the bytes of a file."""

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from resprobe._client import Client
from resprobe._pictures.batches import BATCH, batches
from resprobe._pictures.images import Size
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult
from resprobe._results.statistics import STATISTICS, BlockStatistics
from resprobe.analysis.early_answers import EarlyAnswers
from resprobe.errors import Error, ServerBusy

Images = npt.NDArray[np.uint8] | Sequence[Path]
PATIENCE = 300.0  # seconds that a server may be busy without answering anything


@dataclass(frozen=True, eq=False)
class Answers:
    """Classes and block statistics of n images.

    Attributes:
        predicted: Index of each predicted class in the model's classes, int64 [n].
        probability: Probability of each predicted class, float32 [n].
        blocks: Statistics of every block for every image.
        sizes: Height and width of each image before it was resized; None for one that was not.
        early: Best classes after each block with a readout, without labels. If None, they were not asked for.
    """

    predicted: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    blocks: BlockStatistics
    sizes: tuple[Size | None, ...]
    early: EarlyAnswers | None

    def __len__(self) -> int:
        return len(self.predicted)

    @classmethod
    def read(cls, results: Sequence[ProbedResult]) -> "Answers":
        """Reads the responses to several requests; there is at least one."""
        readouts = [result.readouts for result in results if result.readouts is not None]
        early = None
        if readouts:
            classes = np.concatenate([one.classes for one in readouts])
            early = EarlyAnswers(readouts[0].names, readouts[0].places, readouts[0].heads, classes, None)
        return cls(
            np.concatenate([result.classes[:, 0] for result in results]),
            np.concatenate([result.probabilities[:, 0] for result in results]),
            BlockStatistics.concatenate([result.blocks for result in results]),
            tuple(size for result in results for size in result.resized_from),
            early,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Answers"]) -> "Answers":
        """Joins answers of one model for different images, of which the same was asked; there is at least one part."""
        early = [part.early for part in parts if part.early is not None]
        return cls(
            np.concatenate([part.predicted for part in parts]),
            np.concatenate([part.probability for part in parts]),
            BlockStatistics.concatenate([part.blocks for part in parts]),
            tuple(size for part in parts for size in part.sizes),
            replace(early[0], classes=np.concatenate([one.classes for one in early])) if early else None,
        )

    def to_bytes(self) -> bytes:
        """Returns the content of a NumPy .npz file that `from_bytes` reads, to the last bit."""
        early = self.early
        names = {"blocks": self.blocks.names, "early": None if early is None else [early.names, early.heads]}
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
            "predicted": self.predicted,
            "probability": self.probability,
            "statistics": np.stack([getattr(self.blocks, name) for name in STATISTICS]),
            "sizes": np.array([size or (0, 0) for size in self.sizes], np.int64),
        }
        if early is not None:
            arrays |= {"places": early.places, "classes": early.classes}
        file = BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Answers":
        """Reads what `to_bytes` returned. Raises ValueError for anything else."""
        try:
            with np.load(BytesIO(content), allow_pickle=False) as arrays:
                names, early = json.loads(arrays["names"].tobytes()), None
                if names["early"] is not None:
                    blocks, heads = names["early"]
                    early = EarlyAnswers(blocks, arrays["places"], heads, arrays["classes"], None)
                sizes = tuple((height, width) if height else None for height, width in arrays["sizes"].tolist())
                statistics = BlockStatistics(names["blocks"], *arrays["statistics"])
                return cls(arrays["predicted"], arrays["probability"], statistics, sizes, early)
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"not the answers of a model: {error!r}") from error


def ask(
    client: Client, images: Images, model: Model, views: Sequence[View], report: Callable[[int, int], object]
) -> Answers:
    """Sends images in requests of at most BATCH images, several at a time.

    A server that is busy is asked again after the time that it names.

    Args:
        client: Client of the server, or of several that serve the same version.
        images: uint8 [n, height, width, channels], or paths of n picture files; n is at least 1.
        model: Description of the version to ask. No other description may answer.
        views: What to ask for beside classes and block statistics.
        report: Function to call after each response, with the number of images that are done and of all images.

    Raises:
        ServerBusy: It was busy for PATIENCE seconds.
        Error: Any of resprobe.errors.
    """
    results: list[ProbedResult] = []
    done, end = 0, time.monotonic() + PATIENCE
    while True:
        rest = islice(requests(images, model), len(results), None)
        try:
            for result in client.stream(
                rest, model=model.name, version=model.version, blocks=True, top_k=1, views=views
            ):
                _check(result, model)
                results.append(result)
                done, end = done + len(result), time.monotonic() + PATIENCE
                report(done, len(images))
            return Answers.read(results)
        except ServerBusy as busy:
            if time.monotonic() + busy.retry_after > end:
                raise
            time.sleep(max(busy.retry_after, 0.01))


def as_sent(images: npt.NDArray[np.uint8], model: Model) -> npt.NDArray[np.uint8] | list[Image.Image]:
    """Returns arrays of another size than a model's as pictures if it declares how to resize them, else as they are."""
    if model.preprocessing is None or images.shape[1:3] == (model.height, model.width):
        return images
    return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in images]


def _check(result: ProbedResult, model: Model) -> None:
    """Raises Error if another description answered than the one that the sweep began with."""
    if result.digest != model.digest:
        raise Error(
            f"model {model.name} version {model.version} is not the same everywhere or was replaced: description "
            f"{result.digest or 'unknown'} answered; expected {model.digest or 'unknown'}, with which the sweep began"
        )


def requests(images: Images, model: Model) -> Iterator[npt.NDArray[np.uint8] | list[Path] | list[Image.Image]]:
    """Yields the images of each request: arrays as they are or as pictures (`as_sent`), and picture files."""
    if isinstance(images, np.ndarray):
        yield from (as_sent(images[start : start + BATCH], model) for start in range(0, len(images), BATCH))
    else:
        yield from map(list, batches(images))
