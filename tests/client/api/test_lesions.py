"""Lesions of both clients and of the command are what the graphs say."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import resprobe
from PIL import Image
from resprobe import _lesion_run, plots

from tests.support.commands import Run
from tests.support.servers import Serve
from tests.support.statistics import make

Pixels = npt.NDArray[np.uint8]


def open_graph(directory: Path, file: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(directory / file, providers=["CPUExecutionProvider"])


def test_a_scale_of_a_request_or_of_each_image(either: resprobe.Client, repository: Path, test_images: Pixels) -> None:
    images, scales = test_images[:20], np.random.default_rng(0).uniform(0, 1, (20, 3)).astype(np.float32)
    graph = open_graph(repository / "digits" / "1", "lesion_probe.onnx")
    for scale in (scales, scales[0]):
        inputs = {"image": images, "block_scale": np.broadcast_to(scale, (20, 3))}
        logits, blocks = graph.run(None, inputs)
        for with_blocks in (False, True):
            result = either.classify(images, model="digits", block_scale=scale, blocks=with_blocks, top_k=1)
            assert result.classes[:, 0].tolist() == logits.argmax(1).tolist()
            assert (result.blocks is not None) == with_blocks
            if result.blocks is not None:
                np.testing.assert_allclose(result.blocks.branch_l2, blocks[..., 0], rtol=1e-3)
    intact = either.classify(images, model="digits")
    np.testing.assert_allclose(
        either.classify(images, model="digits", block_scale=[1, 1, 1]).probabilities, intact.probabilities, atol=1e-4
    )


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ([1, 1], "block_scale has 2 values; expected 3, one for each block, or 6, one for each block of each image"),
        ([1] * 9, "block_scale has 9 values; expected 3"),
        ([1, math.nan, 1], r"block_scale\[1\] is nan; expected a finite number"),
        ([1, 1, 1, 1, 1, math.inf], r"block_scale\[5\] is inf; expected a finite number"),
    ],
)
def test_a_scale_that_cannot_be_used(
    either: resprobe.Client, test_images: Pixels, scale: list[float], message: str
) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        either.classify(test_images[:2], model="digits", block_scale=scale)


def test_versions_without_lesion_graphs_are_served(
    start: Serve, repository: Path, tmp_path: Path, test_images: Pixels
) -> None:
    target = tmp_path / "old" / "1"
    shutil.copytree(repository / "digits" / "1", target)
    description = json.loads((target / "model.json").read_text())
    for path in target.glob("lesion*.onnx"):
        path.unlink()
        del description["provenance"]["graphSha256"][path.name]
    (target / "model.json").write_text(json.dumps(description))
    with start(tmp_path) as address, resprobe.Client(address) as client:
        assert not client.model().has_block_scale
        assert client.classify(test_images[:2], blocks=True).blocks is not None
        message = r"model old cannot scale its blocks: it comes without lesion\.onnx; leave block_scale out"
        with pytest.raises(resprobe.StatisticsUnavailable, match=message):
            client.classify(test_images[:2], block_scale=[1, 1, 1])
        with pytest.raises(resprobe.StatisticsUnavailable, match="without a graph that can scale its blocks"):
            client.lesions(test_images[:2], [0, 1])


def check_lesions(found: resprobe.Lesions, graph: onnxruntime.InferenceSession, images: Pixels, labels: Any) -> None:
    def value(scale: Any) -> tuple[float, float]:
        full = np.broadcast_to(np.asarray(scale, np.float32), (len(images), 3))
        (logits,) = graph.run(None, {"image": images, "block_scale": full})
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return float((logits.argmax(1) == labels).mean()), float(chances[np.arange(len(images)), labels].mean())

    accuracy, probability = value([1, 1, 1])
    assert found.accuracy == pytest.approx(accuracy)
    assert found.probability == pytest.approx(probability, abs=1e-4)
    for block in range(3):
        without = value(np.arange(3) != block)
        assert found.block_accuracy[block] == pytest.approx(without[0])
        assert found.block_change[block] == pytest.approx(without[1] - probability, abs=1e-4)
    everything = value([0, 0, 0])
    np.testing.assert_allclose(found.random_accuracy[1], everything[0])
    np.testing.assert_allclose(found.random_change[1], everything[1] - probability, atol=1e-4)
    assert set(np.round(found.random_accuracy[0], 9)) <= set(np.round(found.block_accuracy, 9))


def test_lesions_are_what_the_graph_says(
    monkeypatch: pytest.MonkeyPatch, either: resprobe.Client, repository: Path, test_images: Pixels, digits: Any
) -> None:
    monkeypatch.setattr(_lesion_run, "BATCH", 32)  # several requests for each lesion
    labels, graph = digits.test.labels.numpy()[:100], open_graph(repository / "digits" / "1", "lesion.onnx")
    images, seen = test_images[:100], []
    options: dict[str, Any] = {"random": [1, 3], "draws": 4, "seed": 7}
    found = either.lesions(images, labels, model="digits", progress=lambda *progress: seen.append(progress), **options)
    check_lesions(found, graph, images, labels)
    assert (found.model, found.version, found.images, found.removed.tolist()) == ("digits", "2", 100, [1, 3])
    assert (found.random_accuracy.shape, found.random_change.shape) == ((2, 4), (2, 4))
    assert seen[0] == (32, 1200)
    assert seen[-1] == (1200, 1200)
    first = np.moveaxis(images, -1, 1)
    again = either.lesions(first, labels, model="digits/2", layout="nchw", **options)
    np.testing.assert_array_equal(again.block_accuracy, found.block_accuracy)
    np.testing.assert_array_equal(again.random_accuracy, found.random_accuracy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1]}, "1 labels for 2 images; expected one for each"),
        ({"labels": [1, 10]}, "label 1 is 10; expected 0 to 9"),
        ({"labels": [0.5, 1]}, r"labels: float64 \[2\]; expected integers"),
        ({"random": [4]}, "4 random blocks; model digits has 3 to remove"),
        ({"random": [1], "draws": 0}, "0 draws; expected at least 1"),
    ],
    ids=str,
)
def test_lesions_that_cannot_be_made(
    either: resprobe.Client, test_images: Pixels, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        either.lesions(test_images[:2], **{"labels": [0, 1], "model": "digits", **options})


def test_the_command(run: Run, address: str, tmp_path: Path) -> None:
    arguments = ["lesions", "--dataset", "digits", "--limit", "50", "--address", address, "--model", "digits"]
    picture = tmp_path / "lesions.png"
    code, out, _ = run("resprobe", *arguments, "--random", "1", "2", "--plot", str(picture))
    assert code == 0
    found = json.loads(run("resprobe", *arguments, "--random", "1", "2", "--json")[1])
    for block in found["blocks"]:
        row = f"{block['accuracy']:.4f}"
        assert any(line.startswith(block["name"]) and row in line for line in out.splitlines())
    assert "2 random" in out
    assert f"accuracy {found['accuracy']:.4f} intact" in out
    assert [one["removed"] for one in found["random"]] == [1, 2]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("per_stage", [1, 9, 200])
@pytest.mark.parametrize("random", [[], [3, 1]])
def test_every_number_of_blocks_can_be_drawn(tmp_path: Path, per_stage: int, random: list[int]) -> None:
    blocks, model = make(per_stage, 1)
    values = blocks.ratio[0].astype(np.float64)
    draws = np.full((len(random), 2 if random else 0), 0.5)
    found = resprobe.Lesions(
        "net", "1", 9, blocks.names, 0.9, 0.8, values, values, np.array(random, np.int64), draws, draws
    )
    plots.save(plots.plot_lesions(found, model, "some images"), tmp_path / "lesions.png")
    with Image.open(tmp_path / "lesions.png") as picture:
        colours = np.array([colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or ()])
    for colour in plots.COLOURS[:3]:
        wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
        assert np.abs(colours - wanted).max(axis=1).min() < 32
