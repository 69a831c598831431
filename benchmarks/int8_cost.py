"""What int8 gains, and what its block statistics and lesions cost: all graphs by turns, ONNX Runtime, one thread.

    taskset -c 0 python benchmarks/int8_cost.py --depth 110

Each round runs every graph once, in another order. Reported are medians over rounds of a graph's time over that of the
int8 lean graph in the same round, once by the clock and once by the thread's CPU time, which leaves out the turns of
other programs but not what they do to the cache.
"""

import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import tyro
from probe_cost import session, write_model
from resprobe_exporter.quantization import quantize, source
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.settings import Settings
from resprobe_protos.contract import BLOCK_SCALE, IMAGE, LEAN, LESION, LESION_PROBE, PROBE

GRAPHS = (LEAN, PROBE, LESION, LESION_PROBE)
BASE = f"int8 {LEAN}"


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    depth: int = 110
    """Depth of the net, which is untrained and calibrated on noise: weights do not change the time."""
    size: int = 32
    """Height and width of the images, which are noise."""
    seconds: float = 60.0
    """How long to measure each batch size."""
    batches: tuple[int, ...] = (32, 1)
    """Batch sizes."""


def write_models(options: Options, root: Path) -> Mapping[str, Path]:
    """Writes a net in float32 and int8; returns the graphs by precision and name."""
    float32 = write_model(options.depth, options.size, root)
    noise = np.random.default_rng(0).integers(0, 256, (64, options.size, options.size, 3), dtype=np.uint8)
    calibration = Calibration("noise", noise, len(noise), 0)
    int8 = quantize.quantise(source.read(float32), Settings(), calibration, None, root, "net-int8").directory
    return {f"{name} {file}": path / file for name, path in (("float32", float32), ("int8", int8)) for file in GRAPHS}


def measure(
    graphs: Mapping[str, onnxruntime.InferenceSession], batch: int, options: Options
) -> Mapping[str, np.ndarray]:
    """Returns clock and CPU seconds of every round by graph, [rounds, 2]."""
    images = np.random.default_rng(0).integers(0, 256, (batch, options.size, options.size, 3), dtype=np.uint8)
    inputs = {name: {IMAGE: images} for name in graphs}
    for name, graph in graphs.items():
        for value in graph.get_inputs():
            if value.name == BLOCK_SCALE:
                inputs[name][BLOCK_SCALE] = np.ones((batch, value.shape[1]), np.float32)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in graphs}
    order, end = list(graphs), time.perf_counter() + options.seconds
    while time.perf_counter() < end or len(times[BASE]) < 5:
        random.shuffle(order)
        for name in order:
            clock, thread = time.perf_counter(), time.thread_time()
            graphs[name].run(None, inputs[name])
            times[name].append((time.perf_counter() - clock, time.thread_time() - thread))
    return {name: np.array(series) for name, series in times.items()}


def main() -> None:
    """Measures and prints."""
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as root:
        graphs = {name: session(path) for name, path in write_models(options, Path(root)).items()}
    cpu = Path("/proc/cpuinfo")
    vnni = "unknown" if not cpu.exists() else "yes" if "vnni" in cpu.read_text() else "no"
    print(f"ResNet-{options.depth}, {options.size}×{options.size}, one thread, VNNI: {vnni}")
    for batch in options.batches:
        times = measure(graphs, batch, options)
        print(f"batch {batch}, {len(times[BASE])} rounds: ms an image, × int8 lean by clock and by CPU time")
        for name, series in times.items():
            clock, thread = np.median(series / times[BASE], axis=0)
            print(f"  {name:26} {np.median(series[:, 0]) / batch * 1e3:8.3f} {clock:8.3f} {thread:8.3f}")


if __name__ == "__main__":
    main()
