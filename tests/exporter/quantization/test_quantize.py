"""`exporter quantize`: what is written and said, and what is refused without a trace."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from resprobe import Error
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.graph.passes import integer_statistics
from resprobe_exporter.quantization import calibration, quantize, source
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.test_set import LabelledImages

from tests.support.commands import Run

Images = tuple[Calibration, LabelledImages]


def test_the_description_says_of_what_and_how_it_was_made(int8: Path, float32: Source) -> None:
    model = metadata.read(int8)
    known = model.quantization
    assert (model.name, model.precision, known.method, known.target) == ("digits-int8", "int8", "minmax", "cpu")
    assert (known.source_name, known.source_version) == ("digits", "1")
    assert known.source_weights_sha256 == float32.description.provenance.weights_sha256
    images = known.calibration
    assert (images.dataset, images.image_count, images.drawn_from, images.seed) == ("digits", 64, 1437, 0)
    assert known.before.accuracy == pytest.approx(float32.description.evaluation.accuracy)
    assert known.after.accuracy == model.evaluation.accuracy
    assert known.accuracy_change_lower <= known.accuracy_change <= known.accuracy_change_upper
    assert known.accuracy_change == pytest.approx(known.after.accuracy - known.before.accuracy)
    assert known.agreement > 0.97
    assert 0 < known.bytes_after < known.bytes_before
    assert known.speedup > 0
    for block, before in zip(model.blocks, float32.description.blocks, strict=True):
        assert (block.name, block.shortcut, block.stride) == (before.name, before.shortcut, before.stride)
        assert set(block.noise) == {"calibration", "test"}
        assert 0 < block.noise["test"].branch < 0.2
        assert block.noise["test"].ratio_before == pytest.approx(before.baseline["ratio"].mean, rel=1e-3)
        assert block.noise["test"].ratio_after == pytest.approx(block.baseline["ratio"].mean, rel=1e-3)


def test_probe_and_lean_graph_of_int8_give_the_same_logits(int8: Path, test_images: np.ndarray) -> None:
    lean, probe = (Graph(int8 / name).run(test_images)["logits"] for name in ("model.onnx", "probe.onnx"))
    np.testing.assert_array_equal(lean, probe)


def test_float16_is_described_without_calibration(float16: Path) -> None:
    model = metadata.read(float16)
    assert (model.precision, model.quantization.method, model.quantization.target) == ("float16", "", "")
    assert not model.quantization.HasField("calibration")
    assert model.quantization.agreement >= 0.999
    assert all(set(block.noise) == {"test"} for block in model.blocks)
    assert all(block.noise["test"].branch < 0.01 for block in model.blocks)


def test_a_plain_net_is_quantised_without_noise_of_blocks(
    repository: Path, digit_images: Images, tmp_path: Path
) -> None:
    shutil.copytree(repository / "plain", tmp_path / "plain")
    plain = source.read(tmp_path / "plain" / "1")
    images = LabelledImages("digits", digit_images[1].images, digit_images[1].labels, tuple(plain.description.classes))
    version = quantize.quantise(plain, Settings(), digit_images[0], images, tmp_path, "plain-int8")
    assert sorted(path.name for path in version.directory.iterdir()) == ["model.json", "model.onnx", "weights.bin"]


def test_blocks_can_stay_in_float(float32: Source, digit_images: Images, tmp_path: Path) -> None:
    settings = Settings(keep_float=("stage1.block0",))
    version = quantize.quantise(float32, settings, *digit_images, tmp_path, "kept")
    known = version.description
    assert list(known.quantization.float_blocks) == ["stage1.block0"]
    assert known.blocks[0].noise["test"].branch < metadata.read(version.directory).blocks[1].noise["test"].branch


def test_a_larger_drop_is_refused_and_the_noisiest_blocks_are_named(
    float32: Source, digit_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = LabelledImages("digits", digit_images[1].images, digit_images[1].labels, digit_images[1].classes)
    monkeypatch.setattr("resprobe_exporter.quantization.choice.Attempt.drop", 0.25)
    with pytest.raises(ExporterError) as caught:
        quantize.quantise(float32, Settings(max_drop=0.1), digit_images[0], worse, tmp_path, "refused")
    assert "drops by 0.2500" in str(caught.value)
    assert "--max-drop allows 0.1; the noisiest blocks are stage" in str(caught.value)
    assert str(caught.value).count(" (0.") == 3
    assert list(tmp_path.iterdir()) == []


def test_auto_keeps_the_noisiest_blocks_that_it_must(
    float32: Source, digit_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = "resprobe_exporter.quantization.choice.Attempt.drop"
    monkeypatch.setattr(attempts, property(lambda self: 0.0 if len(self.float_blocks) >= 2 else 0.2))
    settings = Settings(keep_float=("auto",), max_drop=0.1)
    version = quantize.quantise(float32, settings, *digit_images, tmp_path, "auto")
    assert len(version.description.quantization.float_blocks) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "--precision int8 needs images to calibrate on: give --dataset and --data"),
        (["digits", "--version", "7"], "digits has no version 7; it has 1, 2"),
        (["unknown"], "unknown has no versions"),
        (["digits", "--keep-float", "auto"], "--keep-float auto needs --max-drop and no names of blocks"),
        (["digits", "--max-drop", "2"], "--max-drop 2.0: expected a share of the test images, 0 or more, below 1"),
        (["digits", "--precision", "float16", "--keep-float", "stage1.block0"], "--keep-float is for --precision int8"),
        (["digits", "--precision", "float16", "--max-drop", "0"], "--max-drop needs test images: give --dataset"),
        (["digits", "--dataset", "digits", "--keep-float", "stage9.block0"], "has no such block; it has stage1.block0"),
        (["colour", "--dataset", "digits"], "images of digits are 8×8×1; the model takes 12×12×3"),
        (["digits", "--dataset", "digits", "--calibration-images", "0"], "--calibration-images 0: expected 1 or more"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: list[str], message: str, repository: Path, run: Run
) -> None:
    before = sorted(repository.rglob("*"))
    code, out, error = run("exporter", "quantize", *arguments, "--repository", str(repository))
    assert (code, out) == (1, "")
    assert message in error
    assert sorted(repository.rglob("*")) == before


def test_a_quantised_version_is_not_quantised_again(int8: Path) -> None:
    with pytest.raises(ExporterError, match=r"is in int8 already; quantise digits/1, which it was made of$"):
        source.read(int8)


def test_versions_over_2_gb_are_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST", 1000)
    with pytest.raises(ExporterError, match="only versions of at most 2 GB can be quantised"):
        source.read(repository / "digits" / "1")


def test_a_version_that_takes_tensors_is_refused(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "digits" / "1", tmp_path / "1")
    model = metadata.read(tmp_path / "1")
    model.ClearField("image")
    metadata.write(model, tmp_path / "1")
    with pytest.raises(ExporterError, match="takes tensors instead of images"):
        source.read(tmp_path / "1")


def test_graphs_that_do_not_agree_are_not_written(
    float32: Source, digit_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = integer_statistics._diagonals
    monkeypatch.setattr(integer_statistics, "_diagonals", lambda pieces: exact(pieces) * 1.001)
    with pytest.raises(CheckFailed, match=r"^stage\d\.block0: .* in probe\.onnx and .* in the lean graph"):
        quantize.quantise(float32, Settings(), *digit_images, tmp_path, "wrong")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_version_and_inspect_shows_what_it_cost(
    repository: Path, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(repository / "digits", tmp_path / "digits")
    common = ["--repository", str(tmp_path), "--json"]
    options = ["--dataset", "digits", "--calibration-images", "32"]
    code, out, error = run("exporter", "quantize", "digits", *options, *common)
    assert code == 0, error
    written = json.loads(out)
    assert (written["name"], written["version"], written["precision"]) == ("digits-int8", "1", "int8")
    code, out, _ = run("exporter", "inspect", written["directory"])
    assert code == 0
    for text in ("int8, made of digits/2", "calibrated on 32 of 1,437 training images of digits", "agree on", "noise"):
        assert text in out
    code, out, _ = run("exporter", "inspect", written["directory"], "--json")
    shown = json.loads(out)
    assert shown["precision"] == "int8"
    assert shown["quantization"]["source_name"] == "digits"
    assert 0 < shown["blocks"][0]["noise"]["test"]["branch"] < 0.2


def test_images_of_other_classes_are_refused(float32: Source, digit_images: Images, tmp_path: Path) -> None:
    animals = LabelledImages("zoo", digit_images[1].images, digit_images[1].labels, tuple("abcdefghijk"))
    with pytest.raises(Error, match="class"):
        quantize.quantise(float32, Settings(), digit_images[0], animals, tmp_path, "other")
    assert list(tmp_path.iterdir()) == []


def test_calibration_never_sees_the_test_set(float32: Source) -> None:
    drawn, test = calibration.load("digits", None, float32.image, 10**6, 0)
    assert not {one.tobytes() for one in drawn.images} & {one.tobytes() for one in test.images}
