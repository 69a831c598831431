"""The page's own HTTP interface: answers are the client's, errors are sentences."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from PIL import Image
from resprobe._results.inspection import View
from resprobe.page.fitting import SMALL
from resprobe.page.pictures import MAXIMUM

from tests.support.access import write_tokens
from tests.support.pages import ask, page, upload
from tests.support.servers import Serve

STATISTICS = ("ratio", "cosine", "branch_l2", "shortcut_l2", "branch_std", "branch_mean")


def question(picture: str, **changes: Any) -> dict[str, Any]:
    return {"picture": picture, "model": "digits", "version": "2", **changes}


@pytest.mark.parametrize("scale", [None, [0.0, 0.5, 1.0]], ids=["intact", "scaled"])
def test_answers_are_those_of_the_client(
    url: str, client: resprobe.Client, digit: bytes, scale: list[float] | None
) -> None:
    status, _, found = ask(url, "/api/classify", question(upload(url, digit), scale=scale))
    expected = client.classify(digit, model="digits/2", blocks=True, block_scale=scale)
    assert (status, found["note"], found["model"], found["version"]) == (200, None, "digits", "2")
    assert [one["label"] for one in found["classes"]] == list(expected[0].labels)
    assert [one["probability"] for one in found["classes"]] == pytest.approx(expected.probabilities[0], abs=1e-6)
    assert found["blocks"]["names"] == expected.blocks.names
    for name in STATISTICS:
        assert found["blocks"][name] == pytest.approx(getattr(expected.blocks, name)[0], rel=1e-4, abs=1e-6), name


def test_a_large_picture_gets_the_same_answers_for_sliders(
    url: str, client: resprobe.Client, test_images: npt.NDArray[np.uint8]
) -> None:
    """The page fits it itself, once the server has answered for it."""
    noise = np.random.default_rng(0).integers(0, 40, (400, 400, 3), np.uint8)
    big = Image.fromarray(test_images[3, ..., 0]).resize((400, 400)).convert("RGB")
    written = BytesIO()
    Image.fromarray(np.asarray(big) // 2 + noise).save(written, "PNG")
    assert len(written.getvalue()) > SMALL
    ask(url, "/api/models")
    key = upload(url, written.getvalue())
    sizes = []
    for scale in (None, [0, 1, 1], [1, 0.5, 1]):
        _, _, found = ask(url, "/api/classify", question(key, scale=scale))
        expected = client.classify(written.getvalue(), model="digits/2", blocks=True, block_scale=scale)
        assert found["blocks"]["ratio"] == pytest.approx(expected.blocks.ratio[0], rel=1e-5)
        sizes.append(found["resized_from"])
    assert sizes == [[400, 400], None, None]


@pytest.mark.parametrize("scale", [None, [1.0, 0.5, 1.0]], ids=["intact", "scaled"])
def test_the_inside_of_the_net_is_that_of_the_client(
    url: str, client: resprobe.Client, digit: bytes, scale: list[float] | None
) -> None:
    asked = question(
        upload(url, digit), scale=scale, block="stage2.block0", views=["maps", "channels", "readouts", "cam"]
    )
    status, _, found = ask(url, "/api/inspect", asked)
    expected = client.classify(digit, model="digits/2", block_scale=scale, views=get_args(View))
    assert expected.maps and expected.channels and expected.readouts and expected.cam is not None
    assert (status, found["block"]) == (200, "stage2.block0")
    maps, channels = expected.maps.branch[1][0], expected.channels.shortcut[1][0]
    assert [found["maps"]["height"], found["maps"]["width"]] == list(maps.shape)
    assert found["maps"]["branch"] == pytest.approx(maps.ravel(), rel=1e-3)
    assert found["channels"]["shortcut"] == pytest.approx(channels, rel=1e-3)
    assert [one["block"] for one in found["readouts"]["of"]] == expected.readouts.names
    assert found["readouts"]["of"][-1]["label"] == expected.labels[0]
    assert found["readouts"]["depth"] == expected.readouts.prediction_depth[0]
    assert [one["label"] for one in found["cam"]["of"]] == list(expected[0].labels)
    assert found["cam"]["of"][1]["values"] == pytest.approx(expected.cam[0, 1].ravel(), rel=1e-3)


def test_a_view_that_was_not_asked_for_is_left_out(url: str, digit: bytes) -> None:
    key = upload(url, digit)
    _, _, found = ask(url, "/api/inspect", question(key, block="stage1.block0", views=["channels"]))
    assert [name for name, part in found.items() if part is not None] == ["block", "channels"]
    wrong: list[dict[str, Any]] = [{"block": "stage9.block0", "views": ["maps"]}, {"views": ["x"]}, {"views": [[]]}]
    for changes in wrong:
        assert ask(url, "/api/inspect", question(key) | changes)[0] == 400


def test_models_are_described_with_their_baselines(url: str, client: resprobe.Client) -> None:
    _, _, found = ask(url, "/api/models")
    assert [(one["name"], one["version"], one["is_default"]) for one in found["models"]] == [
        (one.name, one.version, one.is_default) for one in client.models()
    ]
    digits = next(one for one in found["models"] if one["name"] == "digits")
    block = client.model("digits").blocks[1]
    known = block.baseline["ratio"]
    assert digits["blocks"][1] == {
        "name": block.name,
        "stage": block.stage,
        "shape": block.shape,
        "shortcut": block.shortcut,
        "branch": "conv",
        "baseline": {"mean": known.mean, "band": {"low": known.quantiles[0.1], "high": known.quantiles[0.9]}},
    }


def test_a_model_without_blocks_answers_with_classes_and_a_reason(url: str, digit: bytes) -> None:
    key = upload(url, digit)
    status, _, found = ask(url, "/api/classify", question(key, model="plain", version=""))
    assert (status, found["blocks"], len(found["classes"])) == (200, None, 5)
    assert "has no residual blocks" in found["note"]
    assert ask(url, "/api/classify", question(key, model="plain", version="", scale=[0]))[0] == 409


def test_the_state_counts_what_the_server_did(url: str, digit: bytes) -> None:
    key = upload(url, digit)
    for scale in (None, [1, 1, 0]):
        ask(url, "/api/classify", question(key, scale=scale))
    _, _, found = ask(url, "/api/state")
    assert (found["status"], found["message"]) == ("SERVING", None)
    assert next(one for one in found["counters"] if one["model"] == "digits" and one["version"] == "2")["images"] >= 2


def test_examples_are_test_images(url: str, client: resprobe.Client) -> None:
    _, _, found = ask(url, "/api/examples")
    assert [one["label"] for one in found] == list("0123456789")
    files = [ask(url, f"/api/examples/{place}")[2] for place in range(10)]
    assert client.classify(files, model="digits").labels.count("0") < 10
    assert ask(url, "/api/examples/10")[0] == 404


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"model": "vgg"}, 404, "no model 'vgg'"),
        ({"scale": [1]}, 400, "block_scale has 1 values; expected 3"),
        ({"scale": "all"}, 400, "scale is not a list of numbers"),
        ({"scale": [1, True, 1]}, 400, "not a finite number"),
        ({"scale": [1, float("nan"), 1]}, 400, "not a finite number"),
        ({"top_k": 0}, 400, "top_k"),
        ({"top_k": "5"}, 400, "top_k is not a whole number"),
        ({"model": 7}, 400, "model is not text"),
        ({"picture": "gone"}, 410, "drop or choose it again"),
    ],
    ids=str,
)
def test_a_wrong_question_gets_a_sentence(
    url: str, digit: bytes, changes: dict[str, Any], status: int, message: str
) -> None:
    got, _, found = ask(url, "/api/classify", question(upload(url, digit)) | changes)
    assert got == status
    assert message in found["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000], ids=["no JSON", "a list", "deep"])
def test_what_is_not_json_is_refused(url: str, body: bytes) -> None:
    status, _, found = ask(url, "/api/classify", body, {"Content-Type": "application/json"})
    assert (status, found["kind"]) == (400, "InvalidRequest")


def test_what_is_not_a_picture_is_refused(url: str) -> None:
    status, _, found = ask(url, "/api/classify", question(upload(url, b"no picture")))
    assert (status, found["kind"]) == (400, "InvalidImage")
    assert found["message"].startswith("the picture is 10 bytes that are not a JPEG")
    assert ask(url, "/api/pictures", b"")[2]["message"] == "the file is empty; expected a picture"


def test_large_uploads_are_refused_before_they_are_read(url: str) -> None:
    status, headers, found = ask(url, "/api/pictures", b"x", {"Content-Length": str(50 * 2**20)})
    assert (status, headers["connection"]) == (413, "close")
    assert found["message"] == "50.0 MiB were sent; the maximum is 32 MiB"


def test_large_uploads_are_refused_where_no_length_was_announced(url: str) -> None:
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n0\r\n\r\n"
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    status, _, found = ask(url, "/api/classify", chunk, headers)
    assert (status, found["message"]) == (413, "more than 256 KiB were sent; the maximum is 256 KiB")
    assert MAXIMUM == 32 * 2**20


@pytest.fixture(scope="module")
def classifier(start: Serve, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a page whose token may classify and not analyse."""
    tokens = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.toml")
    with start(repository, tokens=tokens) as address, page(address, token="a-classifier") as where:
        yield where


def test_without_the_right_to_analyse_there_are_classes_and_a_reason(classifier: str, digit: bytes) -> None:
    key = upload(classifier, digit)
    status, _, found = ask(classifier, "/api/classify", question(key))
    assert (status, found["blocks"], len(found["classes"])) == (200, None, 5)
    assert "analyse" in found["note"]
    status, _, refused = ask(classifier, "/api/classify", question(key, scale=[1, 1, 0]))
    assert (status, refused["kind"]) == (403, "Unauthorized")
    everything = [ask(classifier, path)[2] for path in ("/api/models", "/api/state", "/api/examples", "/")]
    assert "a-classifier" not in json.dumps([*everything[:3], found, refused]) + everything[3].decode()
