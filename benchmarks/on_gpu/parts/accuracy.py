"""Seconds in which `exporter build` trains a ResNet-20 on CIFAR-10, and whether it reaches He et al.'s accuracy."""

import json
import subprocess
import sys
import tempfile

from resprobe_exporter.training import data

from on_gpu.results import Results
from on_gpu.settings import Settings

WANTED = 0.9125  # He et al. 2015, Table 6: ResNet-20 errs on 8.75 % of the test images
ALL = 50_000  # training images of CIFAR-10
NOTES = (
    "One run of `exporter build --depth 20 --dataset cifar10`: 30 epochs, bfloat16 on a GPU. It needs --data with all "
    "50,000 training images.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds one row. Raises RuntimeError if the training images are not all there, or the command fails."""
    table = results.table("Accuracy", "net", "data set", "training, s", "accuracy", f"≥ {WANTED}", notes=NOTES)
    if settings.quick:
        depth, dataset, more = 8, "digits", ["--epochs", "1"]
    elif settings.data is None or len(data.load("cifar10", settings.data).train.images) < ALL:
        raise RuntimeError(f"--data has not all {ALL:,} training images of CIFAR-10")
    else:
        depth, dataset, more = 20, "cifar10", ["--data", str(settings.data)]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "resprobe_exporter",
            "build",
            "--depth",
            str(depth),
            "--dataset",
            dataset,
            *more,
        ]
        where = ["--device", settings.device, "--repository", folder, "--json"]
        done = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exporter build failed: {' '.join(done.stderr.split())[-500:]}")
    found = json.loads(done.stdout)
    table.add(found["name"], dataset, found["training_seconds"], found["accuracy"], found["accuracy"] >= WANTED)
