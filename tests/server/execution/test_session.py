"""Adapters around a session: batches have only the sizes of the warm-up, whatever requests arrive."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.execution.adapters import Padded
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.io_binding import Bound
from resprobe_server.execution.providers import (
    CPU,
    CUDA,
    TENSORRT,
    Provider,
    _tensorrt,
    batch_sizes,
    choose,
    open_session,
)
from resprobe_server.execution.session import Session


class Recorder:
    """A session that records the sizes of its batches."""

    def __init__(self, session: Session) -> None:
        self.session, self.sizes = session, list[int]()

    def run(self, inputs: Arrays) -> Arrays:
        self.sizes.append(len(inputs["image"]))
        return self.session.run(inputs)


@pytest.fixture(scope="module")
def session(repository: Path) -> Session:
    return Session(repository / "digits" / "1" / "probe.onnx", Provider(threads=1))


@pytest.fixture(scope="module")
def bound(repository: Path) -> Bound:
    """Binds a graph as on a GPU, but on the CPU."""
    path = repository / "digits" / "1" / "probe.onnx"
    session = Session(path, Provider(threads=1))
    return Bound(open_session(path, Provider(threads=1)), session.inputs, session.outputs, "cpu", recorded=False)


@given(rows=st.integers(1, 12), largest=st.integers(12, 20))
def test_only_sizes_that_were_warmed_run_and_the_filling_is_left_out(
    session: Session, test_images: npt.NDArray[np.uint8], rows: int, largest: int
) -> None:
    recorder, sizes = Recorder(session), batch_sizes(CUDA, largest)
    found = Padded(recorder, sizes).run({"image": test_images[:rows]})
    assert set(recorder.sizes) <= set(sizes)
    for name, expected in session.run({"image": test_images[:rows]}).items():
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name].astype(float), expected.astype(float), rtol=1e-4, atol=1e-4)


@given(st.integers(1, 1000))
def test_the_sizes_to_warm_ascend_to_the_largest_batch(largest: int) -> None:
    for provider in (CPU, CUDA):
        sizes = batch_sizes(provider, largest)
        assert list(sizes) == sorted(set(sizes))
        assert sizes[-1] == largest


@given(rows=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_bound_to_a_place_for_each_batch_size_it_finds_the_same(
    session: Session, bound: Bound, test_images: npt.NDArray[np.uint8], rows: list[int]
) -> None:
    kept = []
    for at, count in enumerate(rows):
        images = test_images[at : at + count]
        kept.append((images, bound.run({"image": images})))
    for images, found in kept:  # a later batch of the same size has not changed an earlier one
        expected = session.run({"image": images})
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


def test_one_profile_for_tensorrt(repository: Path, tmp_path: Path) -> None:
    graph = repository / "digits" / "1" / "lesion.onnx"
    options = _tensorrt(graph, Provider(TENSORRT, engines=tmp_path, max_batch=8))
    blocks = Session(graph, Provider(threads=1)).inputs[1].shape[1]
    assert options == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_profile_min_shapes": f"image:1x8x8x1,block_scale:1x{blocks}",
        "trt_profile_opt_shapes": f"image:8x8x8x1,block_scale:8x{blocks}",
        "trt_profile_max_shapes": f"image:8x8x8x1,block_scale:8x{blocks}",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu", "engines": Path()}, "--engines: graphs run on CPUExecutionProvider here"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StartError, match=message):
        choose(Config(**options))
