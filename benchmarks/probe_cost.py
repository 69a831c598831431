"""Cost of the block statistics: the probe graph's time over the lean graph's, on ONNX Runtime, one thread.

    taskset -c 0 python benchmarks/probe_cost.py --depth 110

Both graphs run by turns at every batch size; the ratio compares each at its best batch size. Reported are medians, and
the ratio of the 10th percentiles, which a noisy neighbour disturbs less.
"""

import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import tyro
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.writer import write_version


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    depth: int = 110
    """Depth of the net, which is untrained: weights do not change the time."""
    size: int = 32
    """Height and width of the images, which are noise."""
    seconds: float = 60.0
    """Seconds to measure."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Batch sizes to measure."""


def write_model(depth: int, size: int, root: Path, name: str = "net") -> Path:
    """Publishes an untrained net with calibrated batch norms. Returns the directory of its version."""
    torch.manual_seed(0)
    net = ResNet(Architecture(depth=depth, height=size, width=size))
    noise = data.Part(torch.randint(0, 256, (64, 3, size, size), dtype=torch.uint8), torch.zeros(64, dtype=torch.int64))
    labels = tuple("0123456789")
    mean, std = (0.5,) * 3, (0.29,) * 3
    trainer.train(net, data.Data("noise", noise, noise, labels, mean, std, False), trainer.Recipe(0), 0, lambda _: None)
    candidate = net_candidate(net, Preprocessing(mean, std), labels, Origin("benchmark"))
    return write_version(candidate, root, name).directory


def session(path: Path) -> onnxruntime.InferenceSession:
    """Opens a session with one thread, as for the published figures."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(directory: Path, options: Options) -> dict[tuple[str, int], list[float]]:
    """Measures the milliseconds for an image, by graph and batch size."""
    graphs = {name: session(directory / f"{name}.onnx") for name in ("model", "probe")}
    shape = (max(options.batches), options.size, options.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end:
        for batch in options.batches:
            for _ in range(max(1, 8 // batch)):
                for name, graph in graphs.items():
                    begin = time.perf_counter()
                    graph.run(None, {"image": images[:batch]})
                    times[name, batch].append((time.perf_counter() - begin) / batch * 1e3)
    return times


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as root:
        times = measure(write_model(options.depth, options.size, Path(root)), options)
    for label, share in (("median", 50), ("10th percentile", 10)):
        value = {key: float(np.percentile(series, share)) for key, series in times.items()}
        print(f"{label}, ms an image")
        for name in ("model", "probe"):
            cells = "  ".join(f"{batch}: {value[name, batch]:.3f}" for batch in options.batches)
            print(f"  {name}.onnx  {cells}")
        best = {name: min(value[name, batch] for batch in options.batches) for name in ("model", "probe")}
        print(f"  probe / lean, each at its best: {best['probe'] / best['model']:.3f}")


if __name__ == "__main__":
    main()
