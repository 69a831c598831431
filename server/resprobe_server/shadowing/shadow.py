"""Runs a candidate on images that the current version has answered, when the device has nothing else to do.

Images are copied out of batches that ran and wait in a short queue. While the device is idle, one at a time is run with
one version, and in another idle moment with the other, for a small share of the time in all. So requests hardly ever
find the device busy with that, and then wait for half of one run.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import structlog
from resprobe_protos.contract import BLOCKS, BRANCH_L2, LEAN, LOGITS, PROBE, SHORTCUT_L2

from resprobe_server.errors import NotSupported, shorten
from resprobe_server.execution.graph import Arrays
from resprobe_server.models.version import Version
from resprobe_server.shadowing.comparison import BlockChanges, Comparison, Floats

MAX_WAITING = 64  # images
# Share d of the device's time. A request finds a step running with this probability and waits for half of it, and so do
# those that queue behind it: the mean wait grows by d · step / 2 / (1 − load) (Pollaczek and Khinchine, with priorities
# and without preemption). A step is 1.25 lean runs long, so at half load that is 2.5 % of a lean run, and less than 2 %
# of the latency, which is 1.5 lean runs there.
DUTY = 0.02
WhenIdle: TypeAlias = Callable[[Callable[[], None], float], None]
log = structlog.get_logger()


class Shadow:
    """Candidate that runs beside the current version, on the device's thread; attached and detached on the event loop.

    Attributes:
        comparison: What came of it.
    """

    def __init__(
        self,
        current: Version,
        candidate: Version,
        share: float,
        when_idle: WhenIdle,
    ) -> None:
        """Creates a shadow that sees no images before `attach`.

        Args:
            current: Version that answers.
            candidate: Version to compare it with.
            share: Share of the images, in [0, 1].
            when_idle: Runs a job when the device is idle, but not before a time, which may be never.

        Raises:
            NotSupported: The two do not classify the same images into the same classes.
        """
        check(current, candidate)
        self.current, self.candidate, self.share = current, candidate, share
        self._when_idle = when_idle
        self._graph = PROBE if all(_has_ratios(one) for one in (current, candidate)) else LEAN
        self._places = _common_blocks(current, candidate) if self._graph == PROBE else {}
        self.comparison = Comparison(BlockChanges(list(self._places)))
        self._waiting: deque[Arrays] = deque()
        self._begun: _Begun | None = None
        self._credit = self._rest_until = 0.0
        self._scheduled = self._detached = False

    def attach(self) -> None:
        """Begins to look at the batches of the current version."""
        self._observe(self._after)

    def detach(self) -> None:
        """Looks at no more batches. Images that wait are dropped when their turn comes, on the device's thread."""
        self._detached = True
        self._observe(None)

    def _observe(self, observer: Callable[[Arrays], None] | None) -> None:
        for file in (LEAN, PROBE):
            if file in self.current.batchers:
                self.current.batchers[file].observe(observer)

    def _after(self, inputs: Arrays) -> None:
        """Chooses images of a batch that ran."""
        count = len(next(iter(inputs.values())))
        self._credit += self.share * count
        chosen = min(int(self._credit), count)
        self._credit -= chosen
        for row in random.sample(range(count), chosen):
            if len(self._waiting) >= MAX_WAITING:
                self.comparison.dropped += 1
            else:
                self._waiting.append({name: array[row : row + 1].copy() for name, array in inputs.items()})
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._when_idle(self._step, self._rest_until)

    def _step(self) -> None:
        """Runs one image with one of the versions."""
        begin = time.monotonic()
        if self._detached:
            self._waiting.clear()
            self._begun = None
        if self._waiting or self._begun is not None:
            self._try()
            self._rest_until = begin + (time.monotonic() - begin) / DUTY
        self._scheduled = bool(self._waiting) or self._begun is not None
        if self._scheduled:
            self._when_idle(self._step, self._rest_until)

    def _try(self) -> None:
        try:
            begun, self._begun = self._begun, None
            if begun is None:
                image = self._waiting.popleft()
                self._begun = _Begun(image, *self._run(self.current, image))
            else:
                self._compare(begun)
        except Exception as error:  # no request waits for it, and the device's thread must live on
            self.comparison.failed += 1
            self.comparison.failure = shorten(str(error))
            if self.comparison.failed == 1:
                log.error("a candidate failed", model=self.current.name, version=self.candidate.number, exc_info=error)

    def _run(self, version: Version, image: Arrays) -> tuple[Arrays, float]:
        """Returns the outputs of a version for an image, and the seconds that it took."""
        begin = time.perf_counter()
        return version.batchers[self._graph].run_aside(image), time.perf_counter() - begin

    def _compare(self, begun: "_Begun") -> None:
        found, seconds = self._run(self.candidate, begun.image)
        outputs = begun.outputs, found
        current, candidate = (int(np.argmax(one[LOGITS][0])) for one in outputs)
        if self._places:
            places = list(self._places.values())
            self.comparison.blocks.add(
                _ratios(outputs[0], self.current, [at for at, _ in places]),
                _ratios(outputs[1], self.candidate, [at for _, at in places]),
            )
        self.comparison.add((current, candidate), (begun.seconds, seconds))


@dataclass(frozen=True, eq=False)
class _Begun:
    """Image that ran with the current version: its outputs, and the seconds that it took."""

    image: Arrays
    outputs: Arrays
    seconds: float


def check(current: Version, candidate: Version) -> None:
    """Raises NotSupported, which says why, if two versions cannot be compared."""
    one, two = current.images(), candidate.images()
    if one != two:
        raise NotSupported(f"version {candidate.number} takes images of another size or colour")
    if current.labels != candidate.labels:
        raise NotSupported(
            f"version {candidate.number} has other classes than version {current.number}, which serves; "
            "give it a name of its own"
        )


def _has_ratios(version: Version) -> bool:
    return PROBE in version.batchers and {BRANCH_L2, SHORTCUT_L2} <= set(version.description.statistics)


def _common_blocks(current: Version, candidate: Version) -> dict[str, tuple[int, int]]:
    """Returns the places of the blocks that both versions have, by name."""
    there = {block.name: place for place, block in enumerate(candidate.description.blocks)}
    here = {block.name: place for place, block in enumerate(current.description.blocks)}
    return {name: (place, there[name]) for name, place in here.items() if name in there}


def _ratios(outputs: Arrays, version: Version, places: list[int]) -> Floats:
    """Returns the ratios ‖F‖ / ‖s‖ of some blocks of one image, float64 [blocks]."""
    names = list(version.description.statistics)
    values = outputs[BLOCKS][0][places].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = values[:, names.index(BRANCH_L2)] / values[:, names.index(SHORTCUT_L2)]
    return found
