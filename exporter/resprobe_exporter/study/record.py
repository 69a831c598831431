"""What was measured of one net: a JSON file in DIR/runs, written whole or not at all, so that a study can go on."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resprobe import _files

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.study.plan import Family, Job, Plan


@dataclass(frozen=True)
class State:
    """A net at one moment, in evaluation mode, on images as they are.

    Attributes:
        train_error: Share of training images that are classified wrongly.
        test_error: The same for test images.
        train_loss: Mean cross-entropy in nats.
        test_loss: The same for test images.
        responses: Standard deviation of each 3×3 layer's response over test images, in layer order.
        ratios: ‖F(x)‖ / ‖s(x)‖ of each block, mean over test images; empty for a plain net.
    """

    train_error: float
    test_error: float
    train_loss: float
    test_loss: float
    responses: Mapping[str, float]
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """One net, before and after training.

    Attributes:
        family: With shortcuts or without.
        depth: Weighted layers.
        seed: See Job.
        untrained: As initialised, its batch norms set from training images.
        trained: At the end.
        gradients: L2 norm of the gradient of each layer's weight, by moment (initial, early, late); early is missing
            for a net that was not trained here.
        closed_form: sqrt(mean(γ²) + var(β)) of the batch norm of each 3×3 layer, trained.
        curve: Error of each epoch of training, on the augmented images as they come; empty for a net that was not
            trained here.
        lesions: Test accuracy without each block; empty for a plain net.
        lesion_accuracy: Accuracy of the intact net on the same images.
        seconds: That all of it took.
    """

    family: Family
    depth: int
    seed: int
    untrained: State
    trained: State
    gradients: Mapping[str, Mapping[str, float]]
    closed_form: Mapping[str, float]
    curve: list[float]
    lesions: Mapping[str, float]
    lesion_accuracy: float
    seconds: float


class Store:
    """The records of a study's directory."""

    def __init__(self, directory: Path) -> None:
        """Makes the directory.

        Raises:
            Error: It cannot be made or written.
        """
        self._runs = directory / "runs"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExporterError(f"{self._runs} cannot be made: {error.strerror}") from error
        for place in (directory / "index.html", self._runs / "net.json"):
            _files.check(place)

    def write(self, plan: Plan, job: Job, record: Record) -> None:
        """Keeps what was measured."""
        content = {"conditions": plan.conditions(job), **asdict(record)}
        _files.write(self._path(job), json.dumps(content, indent=1))

    def read(self, plan: Plan, job: Job) -> Record | None:
        """What was measured of a net. If None, nothing yet.

        Raises:
            ExporterError: It was measured under other conditions; the text says which.
        """
        path = self._path(job)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        before, now = content.pop("conditions"), json.loads(json.dumps(plan.conditions(job)))
        if before != now:
            changed = "; ".join(_changes(before, now))
            raise ExporterError(
                f"{path} is of another plan ({changed}): choose another --out, or delete that directory"
            )
        for name in ("untrained", "trained"):
            content[name] = State(**content[name])
        return Record(**content)

    def _path(self, job: Job) -> Path:
        return self._runs / f"{job.name}.json"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new)
        elif old != new:
            yield f"{key} was {old}, is {new}"
