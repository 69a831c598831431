"""Results as people read them: one line, a table for a notebook, a data frame, an image at a time."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import resprobe

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def result(client: resprobe.Client, test_images: Pixels) -> resprobe.ProbedResult:
    return client.classify(test_images[:5], model="digits", blocks=True, top_k=4)


@pytest.fixture
def lesions(client: resprobe.Client, test_images: Pixels, digits: Any) -> resprobe.Lesions:
    labels = digits.test.labels.numpy()[:20]
    return client.lesions(test_images[:20], labels, model="digits", random=[2, 3], draws=2)


def test_a_result_is_one_line(client: resprobe.Client, test_images: Pixels, result: resprobe.ProbedResult) -> None:
    labels = ", ".join(map(repr, result.labels[:3]))
    about = "model='digits', version='2'"
    assert repr(result) == f"ProbedResult(images=5, labels=[{labels}, …], {about}, blocks=3)"
    plain = client.classify(test_images[:2], model="digits")
    assert repr(plain) == f"Result(images=2, labels=[{plain.labels[0]!r}, {plain.labels[1]!r}], {about})"
    assert len(repr(client.models())) < 1000


def test_parts_of_a_result_are_one_line(result: resprobe.ProbedResult, lesions: resprobe.Lesions) -> None:
    first, means = result[0], result.blocks.ratio.astype(float).mean(axis=0)
    pairs = [f"{label!r} {value:.3f}" for label, value in zip(first.labels[:3], first.probabilities, strict=False)]
    assert repr(first) == f"ProbedPrediction({', '.join(pairs)}, …)"
    assert repr(result.blocks) == f"BlockStatistics(images=5, blocks=3, mean ratio={means.min():.3f}…{means.max():.3f})"
    place = int(lesions.block_accuracy.argmin())
    worst = f"worst={lesions.block_accuracy[place]:.4f} without {lesions.blocks[place]}"
    inside = f"images=20, blocks=3, accuracy={lesions.accuracy:.4f}, {worst}"
    assert repr(lesions) == f"Lesions('digits', version='2', {inside})"


def test_a_client_is_one_line(address: str) -> None:
    with resprobe.Client(address, token="secret") as client:
        assert repr(client) == f"Client({address!r})"
    assert repr(client) == f"Client({address!r}, closed)"


def test_an_index_is_an_image(result: resprobe.ProbedResult) -> None:
    for place in (0, 3, -1):
        one = result[place]
        assert (one.label, one.probability) == (result.labels[place], result.probabilities[place, 0])
        assert one.classes.tolist() == result.classes[place].tolist()
        assert one.labels == tuple(str(index) for index in one.classes)
        np.testing.assert_array_equal(one.blocks.ratio, result.blocks.ratio[[place]])
    for place in (5, -6):
        with pytest.raises(IndexError):
            result[place]
    with pytest.raises(TypeError):
        result["0"]  # type: ignore[call-overload]


def test_a_slice_is_a_result(result: resprobe.ProbedResult) -> None:
    part = result[1::2]
    assert isinstance(part, resprobe.ProbedResult)
    assert (len(part), part.labels, part.model) == (2, result.labels[1::2], "digits")
    np.testing.assert_array_equal(part.classes, result.classes[1::2])
    np.testing.assert_array_equal(part.blocks.cosine, result.blocks.cosine[1::2])
    empty = result[5:]
    assert (len(empty), list(empty), len(empty.blocks)) == (0, [], 0)
    assert "ProbedResult(images=0" in empty._repr_html_()


def test_iteration_yields_each_image(client: resprobe.Client, test_images: Pixels, result: Any) -> None:
    assert [one.label for one in result] == result.labels
    assert all(isinstance(one, resprobe.ProbedPrediction) for one in result)
    plain = client.classify(test_images[:2], model="digits")
    assert [(type(one), one.blocks) for one in plain] == [(resprobe.Prediction, None)] * 2


def test_an_image_that_was_resized_says_so(client: resprobe.Client) -> None:
    found = client.classify([np.zeros((9, 10, 1), np.uint8), np.zeros((8, 8, 1), np.uint8)], model="digits")
    assert [one.resized_from for one in found] == [(9, 10), None]


def test_a_result_becomes_a_table(result: resprobe.ProbedResult) -> None:
    table = result.to_arrow().to_pydict()
    assert list(table) == ["image", "rank", "class", "label", "probability"]
    assert table["image"] == [image for image in range(5) for _ in range(4)]
    assert table["rank"] == [1, 2, 3, 4] * 5
    assert table["class"] == result.classes.ravel().tolist()
    assert table["label"] == [str(index) for index in table["class"]]
    np.testing.assert_array_equal(np.array(table["probability"], np.float32), result.probabilities.ravel())


def test_block_statistics_become_a_table(result: resprobe.ProbedResult) -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    frame = result.blocks.to_pandas()
    assert frame.shape == (15, 8)
    wide = frame.pivot(index="image", columns="block", values="ratio")
    np.testing.assert_array_equal(wide[result.blocks.names].to_numpy(), result.blocks.ratio)


def test_lesions_become_a_table(lesions: resprobe.Lesions) -> None:
    table = lesions.to_arrow().to_pydict()
    assert table["block"] == [None, *lesions.blocks, None, None, None, None]
    assert table["removed"] == [0, 1, 1, 1, 2, 2, 3, 3]
    assert table["accuracy"] == [lesions.accuracy, *lesions.block_accuracy, *lesions.random_accuracy.ravel()]
    assert table["change"] == [0, *lesions.block_change, *lesions.random_change.ravel()]


def test_a_model_becomes_a_table(client: resprobe.Client) -> None:
    model = client.model("digits")
    table = model.to_arrow().to_pydict()
    assert table["block"] == [block.name for block in model.blocks]
    assert table["baseline_ratio"] == [block.baseline["ratio"].mean for block in model.blocks]
    assert np.isnan(client.model("plain").to_arrow()["response_std"].to_pylist()).all()


def test_notebooks_show_tables_and_bars(result: Any, lesions: resprobe.Lesions, client: resprobe.Client) -> None:
    for value in (result, result[0], result.blocks, lesions, client.model("digits")):
        found = value._repr_html_()
        assert found.startswith("<div>")
        assert "<span style=" in found
        assert all(name in found for name in result.blocks.names)


def test_labels_in_a_notebook_are_escaped(result: resprobe.ProbedResult) -> None:
    evil = "<img src=x onerror=alert(1)>"
    changed = dataclasses.replace(result, labels=[evil] * 5, class_labels=dict.fromkeys(range(10), evil))
    for value in (changed, changed[0]):
        assert "<img" not in value._repr_html_()
        assert "&lt;img" in value._repr_html_()
