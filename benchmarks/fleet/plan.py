"""Cost of a million images and devices for a number of images a day, computed from measured rates and stated prices.

    cd benchmarks && python -m fleet.plan --core-hour 0.04 --gpu-hour 4 --images-a-day 100_000_000

Rates are those of benchmarks/README.md; prices, load and peak are assumptions to change. `--rate` adds a row for a rate
that you measured.
"""

import math
from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class Assumptions:
    """Assumptions that no measurement can know."""

    core_hour: float = 0.04
    """Dollars for an hour of a CPU core."""
    gpu_hour: float = 4.0
    """Dollars for an hour of a GPU with its machine."""
    utilisation: float = 0.6
    """Share of its maximum rate that a device is loaded with at the peak."""
    peak: float = 3.0
    """Images a second at the peak of a day, over those of its mean."""
    images_a_day: float = 100e6
    """Images in a day."""
    rate: float = 0.0
    """Images a second of one core that you measured. If 0, there is no row for it."""


@dataclass(frozen=True)
class Row:
    """One net on one kind of device.

    Attributes:
        name: Net, precision and device.
        rate: Images a second that one device was measured to serve.
        is_gpu: Whether the device is a GPU; else it is a core.
        dollars: Cost of a million images at the assumed load.
        devices: Devices for the peak.
    """

    name: str
    rate: float
    is_gpu: bool
    dollars: float
    devices: int


MEASURED = (  # benchmarks/README.md: served, images/s of a core or of an H200
    ("ResNet-20 int8, one core with AVX-512 VNNI", 2218.0, False),
    ("ResNet-20, H200", 32_832.0, True),
    ("ResNet-110, H200", 15_104.0, True),
    ("ResNet-50 at 224×224, H200", 3584.0, True),
)


def rows(assumed: Assumptions) -> list[Row]:
    """Computes the table."""
    own = (("as measured, one core", assumed.rate, False),) if assumed.rate else ()
    return [_row(assumed, *one) for one in (*MEASURED, *own)]


def _row(assumed: Assumptions, name: str, rate: float, is_gpu: bool) -> Row:
    used = rate * assumed.utilisation
    second = (assumed.gpu_hour if is_gpu else assumed.core_hour) / 3600
    at_peak = assumed.images_a_day / 86_400 * assumed.peak
    return Row(name, rate, is_gpu, 1e6 / used * second, math.ceil(at_peak / used))


def main(assumed: Assumptions) -> None:
    """Prints the table as Markdown."""
    print("| net and device | images/s | $ a million images | devices at the peak |\n|---|---|---|---|")
    for row in rows(assumed):
        print(f"| {row.name} | {row.rate:,.0f} | {row.dollars:.3f} | {row.devices} |")


if __name__ == "__main__":
    main(tyro.cli(Assumptions, description=__doc__))
