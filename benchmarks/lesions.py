"""What a block scale costs: all single lesions of a net through a server, over as many passes of the lean graph.

    python benchmarks/lesions.py --depth 56

One server with one inference thread answers both; lean and lesion requests of the same images run by turns, so that a
noisy neighbour disturbs both alike. Reported is the whole, and the median of the ratios within each turn.
"""

import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resprobe
import tyro
from probe_cost import write_model
from resprobe_server.app import serve
from resprobe_server.config import Config

BATCH = 128  # images in a request


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    depth: int = 56
    """Depth of the net, which is untrained: weights do not change the time."""
    images: int = 1000
    """Images in each pass; they are noise, 32×32."""
    passes: int = 0
    """Number of lesions, each beside a lean pass. If 0, one for every block."""


def start(repository: Path) -> tuple[str, threading.Event]:
    """Serves on a thread of its own until the event is set."""
    stop, ready, ports = threading.Event(), threading.Event(), []

    async def main() -> None:
        async with serve(Config(repository, address="127.0.0.1:0", threads=1)) as port:
            ports.append(port)
            ready.set()
            await asyncio.to_thread(stop.wait)

    threading.Thread(target=asyncio.run, args=(main(),)).start()
    ready.wait()
    return f"127.0.0.1:{ports[0]}", stop


def measure(client: resprobe.Client, options: Options) -> np.ndarray:
    """Returns the seconds of each pass, [passes, 2]: lean, lesion."""
    (model,) = client.models()
    shape = (options.images, model.height, model.width, model.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    batches = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]
    scales = 1 - np.eye(len(model.blocks), dtype=np.float32)
    times = []
    for scale in [scales[0], *scales[: options.passes or len(scales)]]:  # the first warms up
        seconds = []
        for block_scale in (None, scale):
            begin = time.perf_counter()
            for _ in client.stream(batches, top_k=len(model.classes), block_scale=block_scale, timeout=None):
                pass
            seconds.append(time.perf_counter() - begin)
        times.append(seconds)
    return np.array(times[1:])


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as root:
        write_model(options.depth, 32, Path(root))
        address, stop = start(Path(root))
        try:
            with resprobe.Client(address) as client:
                times = measure(client, options)
        finally:
            stop.set()
    lean, lesion = times.sum(axis=0)
    ratios = times[:, 1] / times[:, 0]
    print(f"{len(times)} passes of {options.images} images: lean {lean:.1f} s, lesion {lesion:.1f} s")
    print(f"lesion / lean: {lesion / lean:.3f} of the whole, {np.median(ratios):.3f} median of the turns")


if __name__ == "__main__":
    main()
