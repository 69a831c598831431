"""No row ever goes to another request, whatever is sent, split, cancelled or late."""

import asyncio
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_server.errors import Expired
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.scheduling.batcher import BatchOptions
from resprobe_server.scheduling.request import Outcome
from resprobe_server.scheduling.worker import Device

from tests.support.recorder import Recorder, numbers

REQUESTS = st.lists(
    st.tuples(
        st.integers(1, 21),  # images
        st.booleans(),  # with block statistics
        st.sampled_from(["", "", "", "cancel at once", "cancel later", "expired"]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def sessions(repository: Path) -> tuple[Session, Session]:
    directory = repository / "digits" / "1"
    return Session(directory / "model.onnx", Provider(threads=1)), Session(
        directory / "probe.onnx", Provider(threads=1)
    )


def check_answer(answer: object, session: Session, images: npt.NDArray[np.uint8], fate: str, max_batch: int) -> None:
    """Checks the answer to a request that had this fate against the session run alone."""
    if fate == "expired":
        assert isinstance(answer, Expired)
    elif fate.startswith("cancel"):
        assert isinstance(answer, asyncio.CancelledError)
    else:
        assert isinstance(answer, Outcome)
        assert answer.batch_size <= max_batch
        expected = session.run({"image": images})
        assert answer.results.arrays.keys() == expected.keys()
        for name, array in expected.items():
            assert np.allclose(answer.output(name), array, rtol=1e-4, atol=1e-4)


@given(requests=REQUESTS, max_batch=st.integers(1, 9), max_wait=st.sampled_from([0, 0.002]))
@settings(deadline=None, max_examples=60)
def test_every_row_goes_to_the_request_that_asked(
    sessions: tuple[Session, Session],
    test_images: npt.NDArray[np.uint8],
    requests: list[tuple[int, bool, str]],
    max_batch: int,
    max_wait: float,
) -> None:
    async def drive() -> None:
        async with Device() as device:
            lean, probe = (device.batcher(session, BatchOptions(max_batch, 10**6, max_wait)) for session in sessions)
            futures = []
            for place, (count, with_blocks, fate) in enumerate(requests):
                images = test_images[13 * place : 13 * place + count]
                deadline = time.monotonic() - 1 if fate == "expired" else math.inf
                future = (probe if with_blocks else lean).submit({"image": images}, deadline)
                if fate == "cancel at once":
                    future.cancel()
                futures.append((future, images, with_blocks, fate))
            await asyncio.sleep(0)
            for future, _, _, fate in futures:
                if fate == "cancel later":
                    future.cancel()
            answers = await asyncio.gather(*(future for future, *_ in futures), return_exceptions=True)
            for answer, (_, images, with_blocks, fate) in zip(answers, futures, strict=True):
                check_answer(answer, sessions[with_blocks], images, fate, max_batch)
        assert (lean.pending, probe.pending) == (0, 0)

    asyncio.run(drive())


def test_a_large_request_is_split_and_joined_in_order() -> None:
    async def drive() -> None:
        graph = Recorder()
        async with Device() as device:
            outcome = await device.batcher(graph, BatchOptions(4, 2)).submit(numbers(0, 10))
        assert graph.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert outcome.output("same").tolist() == list(range(10))
        assert outcome.batch_size == 4

    asyncio.run(drive())


def test_a_batch_that_fails_tells_its_requests_and_nobody_else() -> None:
    class Fragile(Recorder):
        def run(self, inputs: Arrays) -> Arrays:
            outputs = super().run(inputs)
            if 13 in inputs["image"]:
                raise RuntimeError("out of memory")
            return outputs

    async def drive() -> None:
        graph = Fragile(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 100))
            futures = [batcher.submit(numbers(0, 1))]
            await graph.until_entered()
            futures += [batcher.submit(numbers(start, count)) for start, count in ((1, 1), (12, 5), (20, 1))]
            graph.go.set()
            answers = await asyncio.gather(*futures, return_exceptions=True)
        kinds = [type(answer) for answer in answers]
        assert kinds == [Outcome, Outcome, RuntimeError, Outcome]
        assert graph.batches == [[0], [1, 12], [13, 14], [20]]  # 15 and 16 are not run any more
        assert batcher.pending == 0

    asyncio.run(drive())


def test_a_graph_that_loses_rows_is_caught() -> None:
    class Lossy:
        def run(self, inputs: Arrays) -> Arrays:
            return {"same": inputs["image"][1:]}

    async def drive() -> None:
        async with Device() as device:
            with pytest.raises(RuntimeError, match="a batch of 3 images came back with"):
                await device.batcher(Lossy(), BatchOptions(4, 10)).submit(numbers(0, 3))

    asyncio.run(drive())


def test_leaving_runs_what_was_accepted() -> None:
    async def drive() -> None:
        graph = Recorder()
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 100, max_wait=60))
            futures = [batcher.submit(numbers(index, 1)) for index in range(3)]
        assert [future.result().output("same").tolist() for future in futures] == [[0], [1], [2]]

    asyncio.run(drive())
