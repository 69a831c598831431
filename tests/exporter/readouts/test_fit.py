"""Fitted heads give scikit-learn's probabilities, in the written graph too, and are carried over to int8."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing.scores import softmax
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.readouts import images as training_images
from resprobe_exporter.readouts.fit import fit
from resprobe_exporter.training import data
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import write_version
from resprobe_protos import resprobe_pb2 as pb
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.nets import publish_int8, small_net


@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_gives_scikit_learns_probabilities(classes: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(120) % classes
    features = generator.normal(labels[:, None] * [1.0, 0, -1, 0.5, 0], [1, 9, 0.1, 2, 1])
    head, found = fit(features, labels, 0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=found.inverse_penalty, max_iter=1000))
    expected = pipeline.fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(softmax(features @ head.weights.T + head.bias), expected, atol=1e-5)
    assert 1 / classes < found.validation_accuracy <= 1


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, digits: data.Data) -> Path:
    """A version with fitted heads, and one in int8 made of it."""
    root = tmp_path_factory.mktemp("readouts")
    images = digits.test.images.permute(0, 2, 3, 1).numpy()
    test_set = LabelledImages("digits", images, digits.test.labels.numpy(), digits.classes)
    candidate = net_candidate(small_net(), Preprocessing((0.4,), (0.3,)), digits.classes, Origin("test"), test_set)
    training = training_images.load("digits", None, (8, 8, 1))
    training = replace(training, images=training.images[:400], labels=training.labels[:400])
    write_version(candidate, root, "digits", readouts=training)
    publish_int8(root, "digits")
    return root


def test_the_written_heads_read_the_means_after_the_blocks(written: Path) -> None:
    directory = written / "digits" / "1"
    training = training_images.load("digits", None, (8, 8, 1))
    images, labels = training.images[:400], training.labels[:400]
    readouts = Graph(directory / "inspect.onnx").run(images, np.ones((400, 3), np.float32))["readouts"]
    assert readouts.shape == (400, 3, 10)
    description = metadata.read(directory)
    heads = metadata.heads(description, directory)
    assert list(heads.heads) == [0, 1]
    for row in (0, 1):
        block = description.blocks[row].readout
        assert (block.head, block.fit.dataset, block.fit.image_count) == (pb.READOUT_HEAD_FITTED, "digits", 400)
        accuracy = (readouts[:, row].argmax(axis=1) == labels).mean()
        assert accuracy > block.fit.validation_accuracy - 0.1 > 0.3
        assert block.evaluation.image_count == 360


def test_an_int8_version_keeps_the_heads(written: Path) -> None:
    before, after = (metadata.read(written / name / "1") for name in ("digits", "digits-int8"))
    for one, two in zip(before.blocks, after.blocks, strict=True):
        assert (one.readout.head, one.readout.fit) == (two.readout.head, two.readout.fit)
        assert one.readout.evaluation.accuracy == pytest.approx(two.readout.evaluation.accuracy, abs=0.1)
    first, second = (metadata.heads(one, written / one.name / "1").heads[0].weights for one in (before, after))
    np.testing.assert_array_equal(first, second)


def test_a_class_without_images_is_refused(written: Path, digits: data.Data, tmp_path: Path) -> None:
    training = training_images.load("digits", None, (8, 8, 1))
    some = training.labels != 7
    candidate = net_candidate(small_net(), Preprocessing((0.4,), (0.3,)), digits.classes, Origin("test"))
    part = replace(training, images=training.images[some], labels=training.labels[some])
    with pytest.raises(ExporterError, match="--readouts digits: no training image has the class '7'"):
        write_version(candidate, tmp_path, "digits", readouts=part)
    with pytest.raises(ExporterError, match="training images of digits are 8×8×1; the model takes 32×32×3"):
        training_images.load("digits", None, (32, 32, 3))
    shutil.rmtree(tmp_path, ignore_errors=True)
