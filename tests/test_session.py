"""What stands around a session: batches of the sizes that were warmed, whatever comes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_server.session import CPU, CUDA, Arrays, Padded, Session, batch_sizes


class Recorder:
    """A session that notes the sizes of its batches."""

    def __init__(self, session: Session) -> None:
        self.session, self.sizes = session, list[int]()

    def run(self, inputs: Arrays) -> Arrays:
        self.sizes.append(len(inputs["image"]))
        return self.session.run(inputs)


@pytest.fixture(scope="module")
def session(repository: Path) -> Session:
    return Session(repository / "digits" / "1" / "probe.onnx", CPU, 1)


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
