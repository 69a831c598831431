"""What an imported net returns: probabilities that are the file's, whatever makes them, and what is said of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import resprobe
from onnx import TensorProto
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.versions import import_onnx
from resprobe_exporter.versions.test_set import LabelledImages

from tests.support.onnx_files import (
    CLASSES,
    OPTIONS,
    File,
    images,
    import_file,
    model_of,
    net,
    normalised,
    returned,
    save,
)
from tests.support.servers import Serve

TAILS: dict[str, Callable[[File, str], str]] = {
    "Softmax": lambda file, scores: file.op("Softmax", scores),
    "Softmax, Cast": lambda file, scores: file.op("Cast", file.op("Softmax", scores), to=TensorProto.FLOAT),
    "Softmax, Reshape": lambda file, scores: file.op(
        "Reshape", file.op("Softmax", scores), file.weight(np.array([-1, CLASSES]))
    ),
    "Softmax, Flatten, Dropout": lambda file, scores: file.op(
        "Dropout", file.op("Flatten", file.op("Softmax", scores))
    ),
    "LogSoftmax": lambda file, scores: file.op("LogSoftmax", scores),
    "Exp and a sum": lambda file, scores: file.op(
        "Div",
        file.op("Exp", scores),
        file.op("ReduceSum", file.op("Exp", scores), file.weight(np.array([1]))),
    ),
    "Softmax, Mul by 1": lambda file, scores: file.op(
        "Mul", file.op("Softmax", scores), file.weight(np.ones(CLASSES, np.float32))
    ),
    "zeros among probabilities": lambda file, scores: file.op(
        "Softmax", file.op("Mul", scores, file.weight(np.array([300, 300, 300, 300, 300], np.float32)))
    ),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_probabilities_are_those_of_the_file(start: Serve, tmp_path: Path, tail: Callable[[File, str], str]) -> None:
    file = net(tail)
    model = model_of(file)
    (expected,) = returned(model, normalised(images()), "out")
    if "LogSoftmax" in {node.op_type for node in model.graph.node}:
        expected = np.exp(expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
    import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        result = client.classify(images(), top_k=CLASSES)
    found = np.zeros_like(expected)
    for row, (labels, probabilities) in enumerate(zip(result.classes, result.probabilities, strict=True)):
        found[row, [int(label) for label in labels]] = probabilities
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_numbers_between_0_and_1_that_do_not_sum_to_1_are_said_to_be_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(net(lambda file, scores: file.op("Sigmoid", scores)))
    import_file(save(model, tmp_path / "net.onnx"), tmp_path / "models")
    assert "served: scores as they are: they lie in 0…1 but do not sum to 1" in capsys.readouterr().err


def test_what_is_assumed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_file(save(model_of(net(TAILS["Softmax"])), tmp_path / "net.onnx"), tmp_path / "models")
    said = capsys.readouterr().err
    assert "net.onnx takes data as [n, c, h, w] of 8×8×3 images (red, green, blue; pixels / 255, minus 0.5" in said
    assert "net.onnx returns out of 5 classes; served: the scores before its Softmax" in said
    assert "classes have no names (--classes gives some): they are called 0 to 4, by position" in said


def test_what_onnx_runtimes_own_tool_for_half_precision_writes(start: Serve, tmp_path: Path) -> None:
    float16 = pytest.importorskip("onnxruntime.transformers.float16")
    model = model_of(net(TAILS["Softmax"]))
    half = float16.convert_float_to_float16(model, keep_io_types=True)
    import_file(save(half, tmp_path / "net.onnx"), tmp_path / "models")
    (expected,) = returned(half, normalised(images()), "out")
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        result = client.classify(images())
    np.testing.assert_allclose(result.probabilities[:, 0], expected.max(axis=1), rtol=2e-2)


def given(test_set: LabelledImages, _shape: tuple[int, int, int]) -> LabelledImages:
    return test_set


def test_an_accuracy_near_chance_is_called_suspicious(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = images(20)
    path = save(model_of(net()), tmp_path / "net.onnx")
    (scores,) = returned(model_of(net()), normalised(pixels), "out")
    classes = tuple("abcde")
    for shift, suspicious in ((0, False), (1, True)):
        labels = (scores.argmax(axis=1) + shift) % CLASSES
        test_set = LabelledImages("noise", pixels, labels, classes)
        import_onnx.import_onnx(
            onnx_source.read(path, scores=True), OPTIONS, partial(given, test_set), tmp_path / str(shift), "net"
        )
        said = capsys.readouterr().err
        assert ("suspicious: an accuracy of 0.0000 on noise is near chance, 0.2 for 5 classes" in said) == suspicious
        assert "classes are called as those of noise, in their order: 'a' first" in said
