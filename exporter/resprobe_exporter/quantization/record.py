"""What a description says of a quantised version: where it is from, what it cost, and the noise of every block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resprobe_exporter.quantization.agreement import Answers, Change
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.noise import Noise
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.versions.metadata import Model


@dataclass(frozen=True, eq=False)
class Comparison:
    """A version before and after, on the same test images.

    Attributes:
        dataset: Name of the data set.
        before: Answers in float32.
        after: Answers as quantised.
        change: How they differ.
    """

    dataset: str
    before: Answers
    after: Answers
    change: Change


@dataclass(frozen=True, eq=False)
class Record:
    """What was done to a version, and what was measured.

    Attributes:
        source: Description of the float32 version.
        directory: Directory of the float32 version.
        settings: How it was quantised.
        speedup: Images a second of the lean graph over the float32 one's.
        float_blocks: Names of the blocks that stayed in float32.
        calibration: Images that ranges were read off. If None, none were needed.
        comparison: Both versions on test images. If None, there were none.
        noise: Noise over images, by their name: calibration, test.
    """

    source: Model
    directory: Path
    settings: Settings
    speedup: float
    float_blocks: Sequence[str] = ()
    calibration: Calibration | None = None
    comparison: Comparison | None = None
    noise: Mapping[str, Noise] = field(default_factory=dict)

    def annotate(self, model: Model, directory: Path) -> None:
        """Adds the record to a description.

        Args:
            model: Description of the quantised version.
            directory: Directory of its files.
        """
        known = model.quantization
        known.source_name, known.source_version = self.source.name, self.source.version
        known.source_weights_sha256 = self.source.provenance.weights_sha256
        if self.settings.precision == "int8":
            known.method, known.target = self.settings.method, self.settings.target
        known.float_blocks[:] = self.float_blocks
        known.bytes_before, known.bytes_after, known.speedup = _size(self.directory), _size(directory), self.speedup
        if self.calibration is not None:
            images = known.calibration
            images.dataset, images.image_count = self.calibration.dataset, len(self.calibration.images)
            images.drawn_from, images.seed = self.calibration.drawn_from, self.calibration.seed
        if self.comparison is not None:
            _add_comparison(model, self.comparison)
        for name, noise in self.noise.items():
            _add_noise(model, name, noise)


def _add_comparison(model: Model, comparison: Comparison) -> None:
    known, change = model.quantization, comparison.change
    for evaluation, answers in ((known.before, comparison.before), (known.after, comparison.after)):
        evaluation.dataset, evaluation.image_count = comparison.dataset, len(answers.classes)
        evaluation.accuracy, evaluation.loss = answers.accuracy, answers.loss
    known.accuracy_change, known.agreement = change.accuracy, change.agreement
    known.accuracy_change_lower, known.accuracy_change_upper = change.lower, change.upper


def _add_noise(model: Model, name: str, noise: Noise) -> None:
    rows = zip(noise.branch, noise.total, noise.ratio_before, noise.ratio_after, strict=True)
    for block, (branch, total, before, after) in zip(model.blocks, rows, strict=True):
        known = block.noise[name]
        known.branch, known.sum, known.ratio_before, known.ratio_after = branch, total, before, after


def _size(directory: Path) -> int:
    """Returns the bytes of all files of a version but its description."""
    return sum(path.stat().st_size for path in directory.iterdir() if path.suffix in (".onnx", ".bin"))
