"""Nets whose `logits` are probabilities are served as they are; for all others a softmax is computed, once."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.execution.outputs import are_probabilities

from tests.support.served_graphs import HALF, REAL, UINT8, node, write
from tests.support.servers import Serve

CLASSES = 5
WEIGHTS = np.random.default_rng(0).standard_normal((16, CLASSES)).astype(np.float32) / 100
SCORES = [node("Cast", "image", "x", to=REAL), node("Reshape", "x s", "f"), node("MatMul", "f w", "scores")]
HALVES = [node("Cast", "scores", "h", to=HALF), node("Softmax", "h", "p"), node("Cast", "p", "logits", to=REAL)]
TAILS: dict[str, list[Any]] = {
    "softmax": [node("Softmax", "scores", "logits", axis=1)],
    "identity": [node("Softmax", "scores", "p", axis=1), node("Identity", "p", "logits")],
    "cast": HALVES,
    "reshape": [node("Softmax", "scores", "p", axis=1), node("Reshape", "p r", "logits")],
    "exponentials": [node("Exp", "scores", "e"), node("ReduceSum", "e a", "t"), node("Div", "e t", "logits")],
}
OTHERS: dict[str, list[Any]] = {
    "plain": [node("Identity", "scores", "logits")],
    "sigmoid": [node("Sigmoid", "scores", "logits")],
    "logarithms": [node("LogSoftmax", "scores", "logits", axis=1)],
}
IMAGES = np.random.default_rng(1).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def address(start: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("probabilities")
    constants: dict[str, Any] = {"s": [-1, 16], "w": WEIGHTS, "r": [-1, CLASSES], "a": [1]}
    for name, tail in (TAILS | OTHERS).items():
        taken, returned = {"image": (UINT8, ["n", 4, 4, 1])}, {"logits": (REAL, ["n", CLASSES])}
        write(root / name, [*SCORES, *tail], taken, returned, **constants)
    with start(root, max_batch=8, threads=1) as where:
        yield where


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found


def classify(address: str, model: str) -> np.ndarray:
    """Probabilities in the order of the classes."""
    with resprobe.Client(address) as client:
        result = client.classify(IMAGES, model=model, top_k=CLASSES)
    found = np.empty((len(IMAGES), CLASSES))
    np.put_along_axis(found, result.classes, result.probabilities, axis=1)
    return found


@pytest.mark.parametrize("model", TAILS)
def test_probabilities_are_served_as_they_are(address: str, model: str) -> None:
    expected = softmax(IMAGES.reshape(len(IMAGES), -1).astype(np.float32) @ WEIGHTS)
    np.testing.assert_allclose(classify(address, model), expected, atol=2e-3)


@pytest.mark.parametrize("model", OTHERS)
def test_logits_are_given_a_softmax(address: str, model: str) -> None:
    scores = IMAGES.reshape(len(IMAGES), -1).astype(np.float32) @ WEIGHTS
    logits = 1 / (1 + np.exp(-scores)) if model == "sigmoid" else scores
    np.testing.assert_allclose(classify(address, model), softmax(logits), atol=1e-5)


def test_the_index_says_which(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        index = GRPCInferenceServiceStub(channel).RepositoryIndex(pb.RepositoryIndexRequest()).models
    said = "its logits are probabilities already, and are served as they are"
    assert {one.name: one.reason for one in index} == dict.fromkeys(TAILS, said) | dict.fromkeys(OTHERS, "")


@given(rows=st.integers(4, 32), classes=st.integers(2, 1000), scale=st.floats(0.01, 30), seed=st.integers(0, 999))
def test_random_scores_are_never_taken_for_probabilities(rows: int, classes: int, scale: float, seed: int) -> None:
    scores = np.random.default_rng(seed).standard_normal((rows, classes)) * scale
    assert not are_probabilities(scores)
    assert not are_probabilities(np.maximum(scores, 0))
    assert are_probabilities(softmax(scores))
    assert are_probabilities(softmax(scores).astype(np.float16))
