"""Early exit: accuracy and images a second at several thresholds against the whole net, by turns in one run.

    taskset -c 0 python benchmarks/nets/exits.py models/resnet56/1 --data ~/cifar

One thread; what the server does for a batch, without the network: parts, regrouping and all. `pooled` waits until the
images that stay fill a batch, as a queue for each part would. Times are of the CPU: a busy machine matters less.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tyro
from resprobe import datasets
from resprobe_protos.contract import EXIT_THRESHOLD, EXITS, IMAGE, LEAN, LOGITS, NEXT_STATE, STATE
from resprobe_server.execution.cascade import Cascade, confidence
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    version: tyro.conf.Positional[Path]
    """Directory of a version that is cut for early exits."""
    dataset: datasets.Name = "cifar10"
    """Data set whose test images are classified."""
    data: Path | None = None
    """Directory of its files."""
    limit: int = 1000
    """Maximum number of images."""
    batch: int = 64
    """Images in a batch."""
    turns: int = 5
    """Number of turns."""
    thresholds: tuple[float, ...] = (0.95, 0.99, 0.999, 0.9995, 0.9999)
    """Thresholds to measure."""


def pooled(parts: Sequence[Session], images: Images, threshold: float, batch: int) -> None:
    """Classifies images so that each part runs full batches: those that stay wait for each other."""
    name, values = IMAGE, images.astype(np.uint8)
    rest: list[npt.NDArray[np.generic]] = [values[at : at + batch] for at in range(0, len(values), batch)]
    for place, part in enumerate(parts):
        stay = []
        for one in rest:
            outputs = part.run({name: one})
            if place < len(parts) - 1:
                stay.append(outputs[NEXT_STATE][~(confidence(outputs[LOGITS]) > threshold)])
        name, joined = STATE, np.concatenate(stay) if stay else np.zeros(0)
        rest = [joined[at : at + batch] for at in range(0, len(joined), batch)]


def measure(options: Options, images: Images) -> tuple[Mapping[str, list[float]], Mapping[float, list[np.ndarray]]]:
    """Returns CPU seconds of each turn by what ran, and the classes that were answered by threshold; 1 is the net."""
    count = sum((options.version / file).is_file() for file in EXITS)
    lean = Session(options.version / LEAN, Provider(threads=1))
    parts = [Session(options.version / file, Provider(threads=1)) for file in EXITS[:count]]
    cascade, times, answers = Cascade(parts, range(count)), defaultdict[str, list[float]](list), {}
    batches = [images[at : at + options.batch] for at in range(0, len(images), options.batch)]
    for _ in range(options.turns):
        begin = time.process_time()
        answers[1.0] = [lean.run({IMAGE: one})[LOGITS] for one in batches]
        times["whole"].append(time.process_time() - begin)
        for threshold in options.thresholds:
            begin = time.process_time()
            answers[threshold] = [
                cascade.run({IMAGE: one, EXIT_THRESHOLD: np.full(len(one), threshold, np.float32)})[LOGITS]
                for one in batches
            ]
            times[f"{threshold:g}"].append(time.process_time() - begin)
            begin = time.process_time()
            pooled(parts, images, threshold, options.batch)
            times[f"{threshold:g} pooled"].append(time.process_time() - begin)
    return times, answers


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    part = datasets.load(options.dataset, options.data, "test").head(options.limit)
    if not isinstance(part.images, np.ndarray):
        raise SystemExit("pictures of a folder have no fixed size; give a data set of images")
    times, answers = measure(options, part.images)
    for name, seconds in times.items():
        ratio = np.median(np.array(times["whole"]) / np.array(seconds))
        threshold = 1.0 if name == "whole" else float(name.split()[0])
        accuracy = (np.concatenate(answers[threshold]).argmax(axis=1) == part.labels).mean()
        print(f"{name:16} accuracy {accuracy:.4f}  {ratio:.3f} × the images/s of the whole net")


if __name__ == "__main__":
    main()
