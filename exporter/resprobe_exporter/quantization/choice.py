"""Chooses the graph of a version: which blocks stay in float32, and whether its accuracy is within bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe._classes import match

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.quantization.agreement import Answers, answer, compare
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.float16 import halve
from resprobe_exporter.quantization.int8 import Quantiser
from resprobe_exporter.quantization.noise import Noise, TappedGraph, measure
from resprobe_exporter.quantization.record import Comparison
from resprobe_exporter.quantization.regions import block_nodes
from resprobe_exporter.quantization.settings import AUTO, Settings
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.versions.test_set import LabelledImages

SHOWN = 3  # noisiest blocks in an error


@dataclass(frozen=True, eq=False)
class Attempt:
    """One graph in fewer bits.

    Attributes:
        lean: The graph, with its weights in memory.
        float_blocks: Names of the blocks that stayed in float32.
        comparison: Float32 version and this one on test images. If None, there are none.
    """

    lean: ir.Model
    float_blocks: Sequence[str]
    comparison: Comparison | None

    @property
    def drop(self) -> float:
        """Accuracy that was lost, as a share of the test images."""
        return 0.0 if self.comparison is None else -self.comparison.change.accuracy


class Chooser:
    """Makes graphs of a version in fewer bits and measures them, until one is within bounds."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        calibration: Calibration | None,
        test_set: LabelledImages | None,
        directory: Path,
    ) -> None:
        """Takes its collaborators.

        Args:
            source: Float32 version.
            settings: How it is quantised.
            calibration: Images to calibrate on. If None, none are needed.
            test_set: Images to measure on. If None, nothing is measured.
            directory: Directory for temporary files.

        Raises:
            ExporterError: There is nothing to quantise, or the settings name a block that does not exist.
        """
        self._source, self._settings, self._test_set = source, settings, test_set
        self._calibration = calibration
        self._answers_before: Answers | None = None
        self._quantiser = None
        if calibration is not None:
            self._quantiser = Quantiser(source.lean, calibration.images, settings, directory, str(source.directory))
        unknown = [name for name in settings.keep_float if name not in (*source.blocks, AUTO)]
        if unknown:
            known = ", ".join(source.blocks) or "none"
            raise ExporterError(f"--keep-float {unknown[0]}: {source.directory} has no such block; it has {known}")

    def choose(self) -> Attempt:
        """Returns the graph to write.

        Raises:
            ExporterError: Its accuracy drops by more than the settings allow.
        """
        automatic = AUTO in self._settings.keep_float
        attempt = self._attempt(() if automatic else self._settings.keep_float)
        if automatic and not self._is_allowed(attempt):
            attempt = self._keep_noisiest(attempt)
        if attempt.comparison is not None and not self._is_allowed(attempt):
            self._refuse(attempt, attempt.comparison)
        return attempt

    def noise(self, lean: ir.Model, images: npt.NDArray[np.uint8]) -> Noise:
        """Measures the noise of a graph over images."""
        return measure(self._before, TappedGraph(lean, "the quantised graph"), images)

    @cached_property
    def _before(self) -> TappedGraph:
        return TappedGraph(self._source.lean, "the float32 graph")

    def _attempt(self, float_blocks: Sequence[str]) -> Attempt:
        kept = f", {len(float_blocks)} blocks in float32" if float_blocks else ""
        progress.say(f"quantising to {self._settings.precision}{kept}")
        if self._quantiser is None:
            lean = halve(self._source.lean)
        else:
            places = [self._source.blocks.index(name) for name in float_blocks]
            nodes = [node for place in places for node in block_nodes(self._quantiser.graph, place)]
            lean = self._quantiser.quantise(nodes)
        return Attempt(lean, float_blocks, self._compare(lean))

    def _compare(self, lean: ir.Model) -> Comparison | None:
        if self._test_set is None:
            return None
        progress.say(f"measuring accuracy on {self._test_set.name}")
        classes = match(self._test_set.classes, self._source.description.classes, "the data set")
        images, labels = self._test_set.images, classes.indices[self._test_set.labels]
        if self._answers_before is None:
            self._answers_before = answer(self._source.lean, "the float32 graph", images, labels)
        before, after = self._answers_before, answer(lean, "the quantised graph", images, labels)
        return Comparison(self._test_set.name, before, after, compare(before, after))

    def _is_allowed(self, attempt: Attempt) -> bool:
        allowed = self._settings.max_drop
        return allowed is None or attempt.drop <= allowed

    def _keep_noisiest(self, attempt: Attempt) -> Attempt:
        """Searches the smallest number of noisiest blocks that must stay in float32; more are taken for better."""
        names = [name for name, _ in self._noisiest(attempt)]
        low, high, best = 1, len(names), attempt
        while low <= high:
            middle = (low + high) // 2
            found = self._attempt(names[:middle])
            if self._is_allowed(found):
                best, high = found, middle - 1
            else:
                low = middle + 1
        return best

    def _noisiest(self, attempt: Attempt) -> list[tuple[str, float]]:
        """Returns the blocks and the noise of their branches over the calibration images, the noisiest first."""
        images = self._calibration if self._calibration is not None else self._test_set
        if images is None or not self._source.blocks:
            return []
        noise = self.noise(attempt.lean, images.images).branch
        return [(self._source.blocks[place], float(noise[place])) for place in np.argsort(-noise)]

    def _refuse(self, attempt: Attempt, comparison: Comparison) -> None:
        before, after = comparison.before, comparison.after
        noisiest = ", ".join(f"{name} ({noise:.3f})" for name, noise in self._noisiest(attempt)[:SHOWN])
        hint = f"; the noisiest blocks are {noisiest}, which --keep-float can leave in float32" if noisiest else ""
        raise ExporterError(
            f"accuracy on {len(before.classes):,} test images of {comparison.dataset} drops by {attempt.drop:.4f}, "
            f"from {before.accuracy:.4f} to {after.accuracy:.4f}; --max-drop allows {self._settings.max_drop}{hint}"
        )
