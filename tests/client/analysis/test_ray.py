"""Sweeps on a real Ray cluster give the frames of one process, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe import analysis
from resprobe.datasets import Dataset, load

from tests.support.servers import Serve
from tests.support.statistics import assert_same
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
PYTHON = str(ROOT / ".venv-ray" / "bin" / "python")
SECONDS = 220  # maximum for a program: Ray starts slowly on a busy machine
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("protos", "client"))}
IMAGES, PICTURES = 20_000, 1_500  # several parts of each
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path(PYTHON).exists(), reason="needs Ray in .venv-ray, which `make test-long` installs"),
]


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Noise, as much as several parts hold."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 1), dtype=np.uint8)
    return Dataset("digits", pixels, np.arange(IMAGES) % 10, tuple("0123456789"), np.arange(IMAGES)[::-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Dataset) -> Path:
    """Images.npy, and pictures of two sizes in pictures/0 and pictures/1."""
    made = tmp_path_factory.mktemp("ray")
    pixels = np.asarray(images.images)
    np.save(made / "images.npy", pixels)
    for place in range(PICTURES):
        path = made / "pictures" / str(place % 2) / f"{place:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[place, :, : 8 - place % 2, 0]).save(path)
    return made


@pytest.fixture(scope="module")
def reported(address: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Results of the program, which leaves frames in the folder."""
    command = [PYTHON, str(ROOT / "tests" / "support" / "ray_program.py"), address, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout.splitlines()[-1])  # Ray prints that an actor died


def test_two_nodes_give_the_frame_of_one_process_though_an_actor_is_killed(
    reported: dict[str, Any], client: resprobe.Client, folder: Path, images: Dataset
) -> None:
    expected = analysis.sweep(client, images, "digits", readouts=True)
    assert_same(analysis.read(folder / "images.parquet"), expected)
    assert expected.early is not None
    assert np.array_equal(np.load(folder / "early.npy"), expected.early.classes)
    assert (reported["nodes"], reported["killed"]) == (2, 1)
    done, totals = zip(*reported["progress"], strict=True)
    assert (done[0], done[-1], set(totals)) == (0, IMAGES, {IMAGES})
    assert list(done) == sorted(done)


def test_pictures_are_read_by_the_actors(reported: dict[str, Any], client: resprobe.Client, folder: Path) -> None:
    pictures = sorted((folder / "pictures").rglob("*.png"))
    assert_same(analysis.read(folder / "pictures.parquet"), analysis.sweep(client, pictures, "colour"))


def test_what_an_actor_cannot_read_is_named(reported: dict[str, Any], folder: Path) -> None:
    assert reported["error"] == f"InvalidImage: {folder}/none.png cannot be read: No such file or directory"


def test_a_killed_command_goes_on_where_it_was(start: Serve, repository: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "stats.parquet"
    parts = tmp_path / "stats.parquet.parts"
    with start(repository, max_batch=8) as address, resprobe.Client(address) as client:
        words = ["blocks", "--dataset", "folder", "--data", str(folder / "pictures"), "--model", "digits/1", "--resize"]
        words += ["--engine", "ray", "--actors", "1", "--out", str(out), "--address", address, "--json"]

        def begin() -> subprocess.Popen[str]:
            command = [PYTHON, "-m", "resprobe", *words]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)

        def kept() -> int:
            return len([*parts.glob("*.npz")])

        with begin() as first:
            until(lambda: kept() > 0 or first.poll() is not None, SECONDS)
            first.send_signal(signal.SIGKILL)
        before = asked(client)
        with begin() as second:
            printed, complaints = second.communicate(timeout=SECONDS)
        assert second.returncode == 0, complaints  # in which Ray may have said something too
        assert json.loads(printed)
        assert asked(client) < before + PICTURES
        assert not parts.exists()
        expected = analysis.sweep(client, load("folder", folder / "pictures"), "digits/1", resize=True)
        assert_same(analysis.read(out), expected)


def asked(client: resprobe.Client) -> int:
    """Images that version 1 of the model digits was asked about."""
    return sum(one.images for one in client.counters() if (one.model, one.version) == ("digits", "1"))
