"""Measurements of one net: a JSON file in DIR/runs, written whole or not at all, so that a study can be resumed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resprobe import _files

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.study.inside import Inside
from resprobe_exporter.study.plan import Family, Job, StudyPlan


@dataclass(frozen=True)
class Snapshot:
    """Measurements of a net at one moment, in evaluation mode, on images without augmentation.

    Attributes:
        train_error: Share of training images that are classified wrongly.
        test_error: Share of test images that are classified wrongly.
        train_loss: Mean cross-entropy on training images, in nats.
        test_loss: Mean cross-entropy on test images, in nats.
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
    """Measurements of one net, before and after training.

    Attributes:
        family: `resnet` has shortcuts, `plain` has none.
        depth: Number of weighted layers.
        seed: Seed of the net's `Job`.
        untrained: The net as initialised, its batch norms calibrated on training images.
        trained: The net after training.
        gradients: L2 norm of the gradient of each layer's weight, by moment (initial, early, late); early is missing
            for an imported net.
        closed_form: sqrt(mean(γ²) + var(β)) of the trained batch norm of each 3×3 layer.
        curve: Error of each epoch during training, on augmented images; empty for an imported net.
        lesions: Test accuracy without each block; empty for a plain net.
        lesion_accuracy: Accuracy of the intact net on the images of `lesions`.
        inside: Findings about the inside of the net. If None, it is a plain net.
        seconds: Seconds that training and measurement took.
    """

    family: Family
    depth: int
    seed: int
    untrained: Snapshot
    trained: Snapshot
    gradients: Mapping[str, Mapping[str, float]]
    closed_form: Mapping[str, float]
    curve: list[float]
    lesions: Mapping[str, float]
    lesion_accuracy: float
    inside: Inside | None
    seconds: float

    def look_inside(self) -> Inside:
        """Returns the findings about the inside of a residual net.

        Raises:
            ValueError: It is a plain net.
        """
        if self.inside is None:
            raise ValueError(f"nothing is known of the inside of a {self.family} net")
        return self.inside


class Store:
    """Records in a study's directory."""

    def __init__(self, directory: Path) -> None:
        """Creates the directory.

        Raises:
            Error: The directory cannot be created or written.
        """
        self._runs = directory / "runs"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExporterError(f"{self._runs} cannot be made: {error.strerror}") from error
        for place in (directory / "index.html", self._runs / "net.json"):
            _files.check(place)

    def write(self, plan: StudyPlan, job: Job, record: Record) -> None:
        """Writes the measurements of a net."""
        content = {"conditions": plan.conditions(job), **asdict(record)}
        _files.write(self._path(job), json.dumps(content, indent=1))

    def read(self, plan: StudyPlan, job: Job) -> Record | None:
        """Returns the measurements of a net. If None, it has not been measured yet.

        Raises:
            ExporterError: The net was measured under other conditions, which the text names, or by another version.
        """
        path = self._path(job)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if content.keys() ^ {"conditions", *(field.name for field in fields(Record))}:
            raise ExporterError(
                f"{path} was measured by another version of resprobe, which measured something else: choose another "
                "--out, or delete that directory"
            )
        before, now = content.pop("conditions"), json.loads(json.dumps(plan.conditions(job)))
        if before != now:
            changed = "; ".join(_changes(before, now))
            raise ExporterError(
                f"{path} was measured by another plan ({changed}): choose another --out, or delete that directory"
            )
        for name in ("untrained", "trained"):
            content[name] = Snapshot(**content[name])
        if content["inside"] is not None:
            content["inside"] = Inside.from_json(content["inside"])
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
