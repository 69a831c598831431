"""Sweeps with a Ray cluster of two nodes, whose frames test_ray.py compares with those of one process.

A program and not a module of the tests: Ray has an environment of its own, see constraints-ray.txt. Arguments:
HOST:PORT of servers with the models `digits` and `colour`, and a folder with images.npy and pictures/.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster
from resprobe import Client, analysis
from resprobe.datasets import Dataset
from resprobe.errors import Error

ADDRESS, FOLDER = sys.argv[1], Path(sys.argv[2])
ENGINE = analysis.Ray(actors=2)
STORE = 80 << 20  # bytes, near Ray's minimum


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """This process is connected to a cluster of two nodes with a CPU each, so that each has one of two actors."""
    node = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        ray.init(cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def actors() -> dict[int, int]:
    """Process of each actor of this cluster, with its parent: the raylet of its node."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_text()
        except OSError:  # it has ended
            continue

    def is_ours(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_ours(parents[process]))

    return {
        process: parents[process]
        for process, name in names.items()
        if name.startswith("ray::MapWorker") and is_ours(process)
    }


def main() -> dict[str, Any]:
    """Runs all sweeps and returns what their frames do not say."""
    pixels = np.load(FOLDER / "images.npy")
    count = len(pixels)
    images = Dataset("digits", pixels, np.arange(count) % 10, tuple("0123456789"), np.arange(count)[::-1])
    pictures = sorted((FOLDER / "pictures").rglob("*.png"))
    progress: list[list[int]] = []
    nodes: set[int] = set()
    killed: list[int] = []

    def on_progress(done: int, total: int) -> None:
        progress.append([done, total])
        nodes.update(actors().values())
        if 0 < done < total and not killed:
            killed.append(next(iter(actors())))
            os.kill(killed[0], signal.SIGKILL)

    with two_nodes(), Client(ADDRESS) as client:
        frame = analysis.sweep(client, images, "digits", engine=ENGINE, readouts=True, progress=on_progress)
        assert frame.early is not None
        np.save(FOLDER / "early.npy", frame.early.classes)
        analysis.write(frame, FOLDER / "images.parquet")
        analysis.write(analysis.sweep(client, pictures, "colour", engine=ENGINE), FOLDER / "pictures.parquet")
        try:
            analysis.sweep(client, [*pictures[:9], FOLDER / "none.png"], "colour", engine=ENGINE)
        except Error as failure:
            error = f"{type(failure).__name__}: {failure}"
    return {"progress": progress, "nodes": len(nodes), "killed": len(killed), "error": error}


if __name__ == "__main__":
    print(json.dumps(main()))
