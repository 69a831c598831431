"""The cache of plans for requests that differ only in the values of their tensor is never wrong."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as pb
from resprobe_server.services import request_cache
from resprobe_server.services.open_inference.plan import raw_contents
from resprobe_server.services.request_cache import RequestCache

SHAPE = 2, 3, 1


def image(seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


def message(values: npt.NDArray[np.uint8], **fields: Any) -> bytes:
    request = pb.ModelInferRequest(raw_input_contents=[values.tobytes()], **fields)
    request.inputs.add(name="image", datatype="UINT8", shape=values.shape)
    return request.SerializeToString()


def learned(data: bytes, values: npt.NDArray[np.uint8]) -> RequestCache[str]:
    cache: RequestCache[str] = RequestCache(raw_contents)
    cache.learn(data, values, "known")
    return cache


@given(st.integers(0, 9), st.integers(0, 9), st.text(max_size=5))
def test_other_values_after_the_same_head_are_found(first: int, second: int, model: str) -> None:
    cache = learned(message(image(first), model_name=model), image(first))
    data = message(image(second), model_name=model)
    entry = cache.find(data)
    assert entry is not None
    assert entry.known == "known"
    assert entry.tensor(data).tolist() == image(second).tolist()
    assert cache.find(data + b"x") is None
    assert cache.find(data[:-1]) is None


TAILS = st.sampled_from(
    [
        pb.ModelInferRequest(model_name="other").SerializeToString(),
        pb.ModelInferRequest(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="b")]).SerializeToString(),
        b"\xc2\x3e\x06" + image(0).tobytes(),  # a field that nobody knows, with the same bytes
        b"\xc2\x3e\x00",
    ]
)


@given(st.lists(TAILS, min_size=1, max_size=3), st.booleans())
def test_a_message_with_anything_after_its_values_teaches_nothing(tails: list[bytes], zeros: bool) -> None:
    values = np.zeros(SHAPE, np.uint8) if zeros else image(0)
    cache = learned(message(values) + b"".join(tails), values)
    assert len(cache) == 0


def test_an_entry_is_not_replaced() -> None:
    cache = learned(message(image(0)), image(0))
    cache.learn(message(image(1)), image(1), "other")
    entry = cache.find(message(image(2)))
    assert entry is not None
    assert entry.known == "known"


def test_long_heads_and_large_values_are_not_kept() -> None:
    assert len(learned(message(image(0), model_name="n" * request_cache.MAX_HEAD), image(0))) == 0
    large = np.zeros((1, request_cache.MAX_VALUES + 1, 1), np.uint8)
    assert len(learned(message(large), large)) == 0


def test_the_number_of_entries_is_bounded_and_the_newest_is_found() -> None:
    cache: RequestCache[str] = RequestCache(raw_contents)
    for number in range(3 * request_cache.MAX_ENTRIES):
        name = str(number) * (number % 5 + 1)
        data = message(image(0), model_name=name)
        cache.learn(data, image(0), name)
        entry = cache.find(data)
        assert entry is None or entry.known == name
        assert len(cache) <= request_cache.MAX_ENTRIES
    assert len(cache) == request_cache.MAX_ENTRIES
    assert {size for size, _ in cache._entries} == cache._offsets.keys()
