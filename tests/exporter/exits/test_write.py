"""A version that is cut for early exits: its parts compute what the whole net does, and the curve is what they give."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.exits import curve, write
from resprobe_exporter.exits.fit import Trunk
from resprobe_exporter.exits.write import ExitOptions
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.training.data import Data
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import with_exits, write_version

from tests.support.commands import Run
from tests.support.early_exits import all_scores, expected
from tests.support.nets import small_net


@pytest.fixture(scope="module")
def training(digits: Data) -> TrainingImages:
    images = digits.train.images.permute(0, 2, 3, 1).contiguous().numpy()[:100]
    return TrainingImages("digits", images, digits.train.labels.numpy()[:100], digits.classes, 0)


def publish(
    root: Path, training: TrainingImages, family: str, shortcut: str, blocks: tuple[str, ...] = (), test: bool = False
) -> Path:
    exits = ExitOptions(training, blocks, epochs=1, maximum_loss=0.1, seconds=0)
    labels = tuple(map(str, range(10)))
    test_set = LabelledImages("digits", training.images, training.labels, training.classes) if test else None
    net = small_net(family, shortcut, depth=14)
    candidate = net_candidate(net, Preprocessing((0.4,), (0.3,)), labels, Origin("test"), test_set)
    return write_version(candidate, root, "net", with_exits(exits, test_set)).directory


@pytest.mark.parametrize(("family", "shortcut"), [("resnet", "A"), ("resnet", "B"), ("preact", "B")])
@pytest.mark.parametrize("blocks", [(), ("stage1.block0", "stage2.block0", "stage3.block0")])
def test_the_parts_together_are_the_whole_net(
    tmp_path: Path,
    training: TrainingImages,
    family: str,
    shortcut: str,
    blocks: tuple[str, ...],
    test_images: np.ndarray,
) -> None:
    version = publish(tmp_path, training, family, shortcut, blocks)
    scores = all_scores(version, test_images[:20])
    lean = onnxruntime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])
    whole = lean.run(["logits"], {"image": test_images[:20]})[0]
    np.testing.assert_allclose(scores[-1], whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())
    names = list(blocks) or ["stage2.block0"]
    parts = metadata.read(version).exits.parts
    assert [part.block for part in parts] == [*names, "stage3.block1"]
    assert all(part.cost > 0 for part in parts)
    weights = (version / "weights.bin").stat().st_size
    assert (version / f"exit.{len(names)}.onnx").stat().st_size < weights / 10  # the net's own weights are there once


def test_the_curve_is_that_of_the_parts(tmp_path: Path, training: TrainingImages) -> None:
    version = publish(tmp_path, training, "resnet", "A", test=True)
    exits, scores = metadata.read(version).exits, all_scores(version, training.images)
    costs = np.cumsum([part.cost for part in exits.parts])
    assert [point.threshold for point in exits.measured] == list(curve.THRESHOLDS)
    for point in exits.measured:
        parts, probabilities = expected(scores, point.threshold)
        assert point.accuracy == pytest.approx((probabilities.argmax(axis=1) == training.labels).mean(), abs=0.011)
        np.testing.assert_allclose(point.shares, [(parts == part).mean() for part in range(2)], atol=0.011)
        assert point.speedup == pytest.approx(1 / costs[parts].mean(), rel=0.02)
    for part, one in zip(exits.parts, scores, strict=True):
        assert part.evaluation.accuracy == pytest.approx((one.argmax(axis=1) == training.labels).mean(), abs=0.011)
    assert (exits.fitted_images, exits.calibration_images) == (80, 20)


def test_the_threshold_is_the_lowest_from_which_all_lose_little() -> None:
    points = [curve.Point(t, a, (), 1.0) for t, a in ((0.5, 0.9), (0.7, 0.8), (0.8, 0.9), (0.9, 0.91))]
    assert curve.choose(points, 0.91, 0.02) == 0.8
    assert curve.choose(points, 0.91, 0.2) == 0.5
    assert curve.choose(points, 0.93, 0.01) is None


def test_thresholds_come_from_images_that_the_heads_have_not_seen(
    tmp_path: Path, training: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[np.ndarray] = []
    measured: list[np.ndarray] = []
    fit, answers = vars(write)["fit"], vars(write)["answers"]

    def watched_fit(trunk: Trunk, part: TrainingImages, *rest: Any) -> Any:
        fitted.append(part.images)
        return fit(trunk, part, *rest)

    def watched_answers(trunk: Trunk, heads: Any, images: np.ndarray) -> Any:
        measured.append(images)
        return answers(trunk, heads, images)

    monkeypatch.setattr(write, "fit", watched_fit)
    monkeypatch.setattr(write, "answers", watched_answers)
    publish(tmp_path, training, "resnet", "A")
    held, seen = ({image.tobytes() for image in images} for images in (measured[-1], fitted[0]))
    assert len(held) == 20
    assert not held & seen


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (("stage9.block0",), "stage9.block0 is none of stage1.block0"),
        (("stage3.block1",), "stage3.block1 is none of"),
        (
            tuple(f"stage{stage}.block{block}" for stage, block in ((1, 0), (1, 1), (2, 0), (2, 1))),
            "expected at most 3",
        ),
    ],
)
def test_blocks_that_no_net_is_cut_after(
    tmp_path: Path, training: TrainingImages, blocks: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ExporterError, match=says):
        publish(tmp_path, training, "resnet", "A", blocks)
    assert not any(tmp_path.glob("net/[0-9]*"))


def test_a_net_without_residual_blocks_is_not_cut(tmp_path: Path, training: TrainingImages) -> None:
    with pytest.raises(ExporterError, match="early exits need a residual net"):
        publish(tmp_path, training, "plain", "A")


def test_a_head_that_was_written_wrongly_is_found(
    tmp_path: Path, training: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = vars(write)["cut"]
    monkeypatch.setattr(write, "cut", lambda lean, cuts, heads: cut(lean, cuts, heads[::-1]))
    with pytest.raises(CheckFailed, match=r"logits of exit\.0\.onnx differ"):
        publish(tmp_path, training, "resnet", "C", ("stage2.block0", "stage2.block1"))


def test_inspect_shows_accuracy_against_speed(tmp_path: Path, training: TrainingImages, run: Run) -> None:
    version = publish(tmp_path, training, "resnet", "A", test=True)
    code, out, _ = run("exporter", "inspect", str(version))
    assert code == 0
    assert "early exits after stage2.block0" in out
    assert "left after" in out
    code, out, _ = run("exporter", "inspect", str(version), "--json")
    assert [part["block"] for part in json.loads(out)["exits"]["parts"]][-1] == "stage3.block1"


def test_labelled_images_of_another_order_of_classes(tmp_path: Path, training: TrainingImages) -> None:
    """Classes are matched by name: a data set in the opposite order gives the same accuracy."""
    turned = LabelledImages("digits", training.images, 9 - training.labels, training.classes[::-1])
    version = publish(tmp_path, training, "resnet", "A", test=True)
    description, model = metadata.read(version), metadata.read(version)
    model.ClearField("exits")
    annotate = with_exits(ExitOptions(training, epochs=1, seconds=0), turned)
    assert annotate is not None
    annotate(model, version)
    found = [part.evaluation.accuracy for part in model.exits.parts]
    assert found == [part.evaluation.accuracy for part in description.exits.parts]
