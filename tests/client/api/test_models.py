"""How a model is named, alike in every method; health; and blocks by name."""

from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.clients import Connect, listening

Pixels = npt.NDArray[np.uint8]


@pytest.mark.parametrize(
    ("model", "version", "found"),
    [("digits", "", "2"), ("digits/1", "", "1"), ("digits/1", "1", "1"), ("digits/1", 1, "1"), ("digits", 2, "2")],
)
def test_name_and_version_in_one_word(
    either: resprobe.Client, test_images: Pixels, model: str, version: Any, found: str
) -> None:
    named = {"model": model, "version": version}
    assert either.model(model, version).version == found
    assert either.classify(test_images[:1], **named).version == found
    assert next(iter(either.stream([test_images[:1]], **named))).version == found
    assert either.lesions(test_images[:1], [0], **named).version == found
    assert either.classify(test_images[:1], block_scale={"stage1.block0": 0}, **named).version == found
    if version == "":
        assert either.health(model)


@pytest.mark.parametrize(
    ("model", "version", "message"),
    [
        ("digits/1", 2, "model 'digits/1' and version 2 contradict each other"),
        ("digits/1", "01", "model 'digits/1' and version '01' contradict each other"),
        ("digits/", "", "model 'digits/': expected NAME or NAME/VERSION"),
        ("/1", "", "model '/1': expected NAME or NAME/VERSION"),
        ("/", "", "model '/': expected NAME or NAME/VERSION"),
    ],
)
def test_a_contradiction_is_an_error(
    either: resprobe.Client, test_images: Pixels, model: str, version: Any, message: str
) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        either.classify(test_images[:1], model=model, version=version)
    with pytest.raises(resprobe.InvalidRequest, match=message):
        either.model(model, version)


@pytest.mark.parametrize("model", ["digits/9", "digits/1/2", "digits/latest", "vgg", "vgg/1"])
def test_a_version_that_is_not_served(either: resprobe.Client, test_images: Pixels, model: str) -> None:
    with pytest.raises(resprobe.ModelNotFound):
        either.classify(test_images[:1], model=model)
    with pytest.raises(resprobe.ModelNotFound):
        either.model(model)
    with pytest.raises(resprobe.ModelNotFound):
        either.health(model)


def test_health_of_a_server_and_of_models(either: resprobe.Client) -> None:
    for model in (None, "digits", "digits/1", "plain"):
        assert either.health(model) is resprobe.ServingStatus.SERVING
    assert str(either.health()) == "SERVING"
    assert not resprobe.ServingStatus.NOT_SERVING


def test_health_says_what_is_not_there(either: resprobe.Client) -> None:
    with pytest.raises(resprobe.ModelNotFound, match="serves no model 'vgg'") as caught:
        either.health("vgg")
    assert caught.value.status == "NOT_FOUND"


class Draining(health_pb2_grpc.HealthServicer):
    """Answers that nothing serves."""

    def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)


def test_a_server_that_does_not_serve_is_false(connect: Connect) -> None:
    def add(server: grpc.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(Draining(), server)

    with listening(add) as address, connect(address) as client:
        assert client.health() is resprobe.ServingStatus.NOT_SERVING
        assert not client.health("net")


def test_nothing_that_listens_has_no_health(connect: Connect) -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(resprobe.ServerUnavailable):
        client.health(timeout=10)


def test_an_unknown_block_names_the_nearest_and_the_list(either: resprobe.Client, test_images: Pixels) -> None:
    with pytest.raises(resprobe.InvalidRequest) as caught:
        either.classify(test_images[:1], model="digits", block_scale={"stage2.blok0": 0})
    message = str(caught.value)
    assert message.startswith("block_scale: model digits has no block 'stage2.blok0'; nearest: stage2.block0")
    assert message.endswith("its blocks are stage1.block0, stage2.block0, stage3.block0")
    with pytest.raises(resprobe.InvalidRequest, match=r"no block 'x'; its blocks are none$"):
        either.classify(test_images[:1], model="plain", block_scale={"x": 0})


def test_progress_is_called_with_what_is_done(either: resprobe.Client, test_images: Pixels) -> None:
    parts = [test_images[:3], list(test_images[3:5]), test_images[5]]
    seen: list[tuple[int, int | None]] = []
    list(either.stream(parts, model="digits", progress=lambda done, total: seen.append((done, total))))
    assert seen == [(3, 6), (5, 6), (6, 6)]
    seen.clear()
    list(either.stream(iter(parts), model="digits", progress=lambda done, total: seen.append((done, total))))
    assert seen == [(3, None), (5, None), (6, None)]


def test_a_bar_is_for_terminals(
    either: resprobe.Client, test_images: Pixels, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [test_images[:3], test_images[3:5]]
    assert len(list(either.stream(parts, model="digits", progress=True))) == 2
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert len(list(either.stream(parts, model="digits", progress=True))) == 2
    assert "images" in capfd.readouterr().err
