"""Early exits in both clients and on the command line: where images left, and what a threshold does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe._results.result import join

from tests.support.clients import Connect
from tests.support.commands import Run
from tests.support.early_exits import PLACES, all_scores, expected, far_from_confidences
from tests.support.servers import Serve


@pytest.fixture(scope="module")
def where(start: Serve, cut: Path) -> Iterator[str]:
    with start(cut) as address:
        yield address


def test_the_result_says_where_images_left(where: str, cut: Path, connect: Connect, test_images: np.ndarray) -> None:
    images = test_images[:40]
    scores = all_scores(cut / "cut" / "1", images)
    threshold = far_from_confidences(scores, 0.3)
    parts, answers = expected(scores, threshold)
    with connect(where) as client:
        result = client.classify(images, model="cut", exit=threshold)
        whole = client.classify(images, model="cut")
        streamed = list(client.stream([images[:15], images[15:]], model="cut", exit=threshold))
    assert result.exits is not None
    assert result.exits.tolist() == [PLACES[part] for part in parts]
    np.testing.assert_allclose(result.probabilities[:, 0], answers.max(axis=1), atol=1e-4)
    assert whole.exits is None
    joined, part = join(streamed).exits, result[10:20].exits
    assert joined is not None
    assert part is not None
    assert joined.tolist() == result.exits.tolist()
    assert part.tolist() == result.exits[10:20].tolist()


@pytest.mark.parametrize("exit", [0, -1, 1.1, float("nan"), True, "0.9"])
def test_thresholds_that_are_none(where: str, connect: Connect, test_images: np.ndarray, exit: Any) -> None:
    with connect(where) as client, pytest.raises(resprobe.InvalidRequest, match="expected a number above 0, at most 1"):
        client.classify(test_images[:1], model="cut", exit=exit)


def test_a_model_without_exits_says_so(where: str, connect: Connect, test_images: np.ndarray) -> None:
    with connect(where) as client, pytest.raises(resprobe.Error, match="model whole has no early exits"):
        client.classify(test_images[:1], model="whole", exit=0.9)


def test_the_description_has_the_curve(where: str, connect: Connect) -> None:
    with connect(where) as client:
        exits = client.model("cut").exits
        assert client.model("whole").exits is None
    assert exits is not None
    assert exits.blocks == ("stage2.block0", "stage2.block1", "stage3.block1")
    assert exits.images == "training"  # this version was measured on no test images
    frame = exits.to_pandas()
    assert list(frame.columns)[:3] == ["threshold", "accuracy", "speedup"]
    np.testing.assert_allclose(frame[[f"left_{block}" for block in exits.blocks]].sum(axis=1), 1)


def test_the_command(where: str, tmp_path: Path, test_images: np.ndarray, run: Run) -> None:
    file = tmp_path / "digit.png"
    Image.fromarray(test_images[0, ..., 0]).save(file)
    options = ["classify", str(file), "--model", "cut", "--address", where]
    code, out, _ = run("resprobe", *options, "--exit", "0.01")
    assert code == 0
    assert "note: pictures left the net: 1 after stage2.block0" in out
    code, out, _ = run("resprobe", *options, "--exit", "1", "--json")
    assert json.loads(out)[0]["left_after"] == "stage3.block1"
    assert "left_after" not in json.loads(run("resprobe", *options, "--json")[1])[0]
    assert run("resprobe", *options, "--exit", "2")[0] == 1
