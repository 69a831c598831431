"""How a version is quantised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resprobe_exporter.errors import ExporterError

Precision = Literal["int8", "float16"]
Method = Literal["minmax", "entropy", "percentile"]
Target = Literal["cpu", "tensorrt"]
AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """How a version is quantised.

    Attributes:
        precision: What convolutions compute with.
        method: How the range of a tensor is chosen from the calibration images; for int8.
        target: What runs the graphs; for int8. cpu: unsigned tensors, and additions are quantised. tensorrt: signed
            tensors with zero point 0, and of an addition's operands the shortcut is quantised.
        keep_float: Names of blocks that stay in float32. AUTO alone: the noisiest ones, as few as bring the drop of
            accuracy within `max_drop`.
        max_drop: Maximum drop of accuracy on the test images, a share of them. If None, any.
    """

    precision: Precision = "int8"
    method: Method = "minmax"
    target: Target = "cpu"
    keep_float: Sequence[str] = ()
    max_drop: float | None = None

    def check(self) -> None:
        """Raises ExporterError for settings that contradict each other."""
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise ExporterError(f"--max-drop {self.max_drop}: expected a share of the test images, 0 or more, below 1")
        if AUTO in self.keep_float and (self.max_drop is None or len(self.keep_float) > 1):
            raise ExporterError("--keep-float auto needs --max-drop and no names of blocks")
        if self.precision == "float16" and self.keep_float:
            raise ExporterError("--keep-float is for --precision int8")
