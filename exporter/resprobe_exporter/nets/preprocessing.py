"""Normalisation of pixels, which becomes part of a served graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resprobe_exporter.errors import ExporterError

if TYPE_CHECKING:  # an ONNX file is imported without torch
    from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation of pixels in [0, 1]: the mean is subtracted, then the rest is divided by the standard deviation.

    Attributes:
        mean: A value for each channel [c], or for each pixel [c, height, width].
        std: Standard deviation, in the shape of the mean.
    """

    mean: "Sequence[float] | Tensor"
    std: "Sequence[float] | Tensor"

    def check(self, channels: int) -> None:
        """Raises ExporterError if it does not fit images with so many channels."""
        self.check_values()
        for option, values in self._options():
            if len(values) != channels:
                raise ExporterError(f"--{option} has {len(values)} values; expected {channels}, one a channel")

    def check_values(self) -> None:
        """Raises ExporterError for values that fit no images."""
        if len(self.mean) != len(self.std):
            raise ExporterError(f"--mean has {len(self.mean)} values and --std {len(self.std)}; expected one a channel")
        for option, values in self._options():
            if strange := [float(value) for value in values if not math.isfinite(value)]:
                raise ExporterError(f"--{option} {strange[0]}: expected numbers of 0 to 1, for pixels in [0, 1]")
        if (smallest := min(map(float, self.std))) <= 0:
            raise ExporterError(f"--std {smallest}: expected numbers above 0")
        for option, values in self._options():
            if max(map(float, values)) > 1 or min(map(float, values)) < 0:
                given, divided = (" ".join(f"{float(one) / by:.6g}" for one in values) for by in (1, 255))
                raise ExporterError(
                    f"--{option} {given}: expected numbers of 0 to 1, for pixels in [0, 1]; if they are for pixels in "
                    f"[0, 255], give --{option} {divided}"
                )

    def as_lists(self) -> tuple[list[float], list[float]]:
        """Returns mean and standard deviation as a number for each channel."""
        return list(map(float, self.mean)), list(map(float, self.std))

    def _options(self) -> "tuple[tuple[str, Sequence[float] | Tensor], ...]":
        return ("mean", self.mean), ("std", self.std)
