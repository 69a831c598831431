"""Sweeps by the actors of a Ray cluster: each has a client of its own and asks for one part of the images at a time.

The actors ask servers instead of running ONNX Runtime themselves: a server already gathers, bounds and checks, its
devices are shared with other callers, and the rows are those of a sweep from one process. Ray gives what a sweep over
many machines needs beside that: reading and sending in many processes, and parts that are asked for again when an
actor or its machine dies. https://docs.ray.io/en/latest/data/transforming-data.html
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before the import. Nothing is reported to Ray's makers, and its C++ core writes no warnings between our own lines.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import numpy as np
import ray
import ray.data

from resprobe._client import Client
from resprobe._pictures.batches import BATCH
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe._wire.channel import Endpoint
from resprobe.analysis.sweeps.answers import Answers, Images
from resprobe.analysis.sweeps.answers import ask as ask_here
from resprobe.analysis.sweeps.parts import Parts, describe
from resprobe.analysis.sweeps.ray_options import Ray
from resprobe.errors import Error, ServerUnavailable

PART = 8 * BATCH  # images; whole requests, so that each is the one that a single process sends
OBJECT_STORE = 256 << 20  # bytes of memory for what actors exchange, on a cluster of this machine alone


@dataclass(frozen=True)
class Asked:
    """What all actors need to know; Ray carries it to them.

    Attributes:
        endpoint: Address of the servers, and what is needed to reach them. Its files are read on each machine.
        model: Description of the version to ask.
        views: What to ask for beside classes and block statistics.
        images: Reference to all images, of which each machine holds one copy: arrays, or absolute paths.
        version: Version of resprobe that began the sweep.
    """

    endpoint: Endpoint
    model: Model
    views: Sequence[View]
    images: "ray.ObjectRef[Images]"
    version: str


class Actor:
    """Process on some machine that asks for parts of the images, one after another."""

    def __init__(self, asked: list[Asked]) -> None:
        """Opens a client.

        Args:
            asked: One entry, in a list, in which Ray does not replace the reference by all images.
        """
        self._asked = asked[0]
        self._client: Client | None = None
        self._images: Images = ray.get(self._asked.images)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Asks for one part; returns its number with the answers, or with the error that ends the sweep."""
        part = int(batch["part"][0])
        answers, error = b"", b""
        try:
            answers = self._ask(self._images[part * PART : (part + 1) * PART]).to_bytes()
        except Error as failure:
            error = pickle.dumps(failure)
        return {"part": [part], "answers": [answers], "error": [error]}

    def _ask(self, images: Images) -> Answers:
        if self._asked.version != version("resprobe"):
            raise Error(f"an actor has resprobe {version('resprobe')}; expected {self._asked.version} on every machine")
        if self._client is None:
            self._client = _open(self._asked.endpoint)
        return ask_here(self._client, images, self._asked.model, self._asked.views, lambda _done, _all: None)


def ask(
    client: Client,
    images: Images,
    model: Model,
    views: Sequence[View],
    report: Callable[[int, int], object],
    options: Ray,
) -> Answers:
    """Asks as `answers.ask` does, with actors on a Ray cluster. `report` is called after each part.

    Raises:
        ServerUnavailable: There is no cluster at the address.
        Error: Any of resprobe.errors, raised here or by an actor; parts that are done are kept in `options.parts`.
    """
    parts = Parts(options.parts, describe(images, model, views, PART)) if options.parts is not None else None
    numbers = range(-(-len(images) // PART))
    known = {number: found for number in numbers if parts is not None and (found := parts.read(number)) is not None}
    missing = [number for number in numbers if number not in known]
    done = sum(map(len, known.values()))
    report(done, len(images))
    if missing:
        with _cluster(options.address):
            for number, content in _run(_asked(client, images, model, views), missing, options.actors):
                if parts is not None:
                    parts.write(number, content)
                known[number] = Answers.from_bytes(content)
                done += len(known[number])
                report(done, len(images))
    return Answers.concatenate([known[number] for number in numbers])


def _asked(client: Client, images: Images, model: Model, views: Sequence[View]) -> Asked:
    found = images if isinstance(images, np.ndarray) else [path.absolute() for path in images]
    return Asked(_absolute(client._endpoint), model, views, ray.put(found), version("resprobe"))


def _run(asked: Asked, missing: Sequence[int], most: int) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the answers of each part, as actors return them. Raises what an actor could not do."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    most = min(most, len(missing))
    least = max(1, min(most, int(ray.cluster_resources().get("CPU", 0))))
    with ray.data.DataContext.current(context):
        numbers = ray.data.from_items([{"part": number} for number in missing], override_num_blocks=len(missing))
        found = numbers.map_batches(
            Actor,
            fn_constructor_args=[[asked]],
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        )
        for row in found.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            yield row["part"], row["answers"]


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """A context in which this process is connected to a cluster. One that was connected before is used and kept."""
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if address is None and not os.environ.get("RAY_ADDRESS"):
        own: dict[str, Any] = {"object_store_memory": OBJECT_STORE, "num_cpus": os.cpu_count(), "address": "local"}
    else:
        own = {"address": address}
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError) as error:
        raise ServerUnavailable(f"there is no Ray cluster at {address or os.environ.get('RAY_ADDRESS')}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _absolute(endpoint: Endpoint) -> Endpoint:
    """Returns an endpoint whose files are named as they are on every machine."""
    certificate = endpoint.certificate and (_path(endpoint.certificate[0]), _path(endpoint.certificate[1]))
    return replace(endpoint, ca=endpoint.ca and _path(endpoint.ca), certificate=certificate)


def _path(path: str | os.PathLike[str]) -> str:
    return str(Path(path).absolute())


def _open(endpoint: Endpoint) -> Client:
    return Client(
        endpoint.address, tls=endpoint.tls, ca=endpoint.ca, certificate=endpoint.certificate, token=endpoint.token
    )
