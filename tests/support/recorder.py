"""A graph that records its batches and can be held, and numbered images for it."""

import asyncio
import threading

import numpy as np
import numpy.typing as npt
from resprobe_server.execution.graph import Arrays


class Recorder:
    """A graph that returns its inputs, records every batch, and waits until it is released."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.entered = threading.Event()
        if not held:
            self.go.set()

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(inputs["image"].tolist())
        self.entered.set()
        assert self.go.wait(10)
        return {"same": inputs["image"]}

    async def until_entered(self) -> None:
        await asyncio.to_thread(self.entered.wait, 10)


def numbers(start: int, count: int) -> dict[str, npt.NDArray[np.generic]]:
    return {"image": np.arange(start, start + count)}
