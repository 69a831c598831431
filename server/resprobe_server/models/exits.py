"""Opens the parts of a version that is cut for early exits, and runs them once before they serve, as one graph."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import DESCRIPTION, EXIT_THRESHOLD, EXITS, IMAGE, LEAN, LOGITS, NEXT_STATE, STATE

from resprobe_server.execution.cascade import Cascade
from resprobe_server.execution.graph import Arrays, Graph, Tensor
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.validation import trial
from resprobe_server.validation.findings import Findings
from resprobe_server.validation.samples import Sample

SCORES = "tensor(float)"


@dataclass(frozen=True)
class Parts:
    """Parts of a version, opened. On a GPU their tensors are copied with each batch.

    Attributes:
        sessions: Session of each part, from input to output.
        blocks: Place of the block that each part ends with.
        seconds: Seconds that they needed to load.
    """

    sessions: Sequence[Session]
    blocks: Sequence[int]
    seconds: float


@dataclass(frozen=True)
class Joined:
    """Parts that were run as one graph.

    Attributes:
        graph: Graph of all parts.
        seconds: Seconds of the first run of each batch size.
    """

    graph: Cascade
    seconds: Mapping[int, float]


def files(directory: Path) -> list[str]:
    """Returns the names of the parts that a version has, in their order."""
    return [file for file in EXITS if (directory / file).is_file()]


def open_parts(model: pb.Model | None, directory: Path, provider: Provider) -> Parts | None:
    """Opens the parts of a version. If None, it is not cut.

    Raises:
        CheckFailed: They are not those of its description, or one does not take what the one before it returns.
    """
    described = [] if model is None else [part.block for part in model.exits.parts]
    found, expected = files(directory), list(EXITS[: len(described)])
    if found != expected or len(described) > len(EXITS):
        raise trial.CheckFailed(
            f"{DESCRIPTION} has {len(described)} parts for early exits; expected the files "
            f"{', '.join(expected) or 'none'}, and there are {', '.join(found) or 'none'}"
        )
    if model is None or not described:
        return None
    blocks = _places(described, [block.name for block in model.blocks])
    begin = time.perf_counter()
    sessions = [Session(directory / file, provider) for file in found]
    _check(sessions)
    return Parts(sessions, blocks, time.perf_counter() - begin)


def join(parts: Parts, adapt: Callable[[Session], Graph], findings: Findings) -> Joined:
    """Joins the parts to one graph, and runs it for each batch size on the images of the other graphs' trials.

    Args:
        parts: Parts of a version.
        adapt: Makes a session run batches of any size.
        findings: Conclusions about the version's other graphs.

    Raises:
        CheckFailed: The net does not classify images, or the last part returns other scores than the lean graph.
    """
    if findings.unclassified or findings.probabilities:
        why = findings.unclassified or f"returns {LOGITS} that are probabilities"
        raise trial.CheckFailed(f"it has early exits, and it {why}")
    cascade, seconds = Cascade([adapt(one) for one in parts.sessions], parts.blocks), {}
    outputs: Arrays = {}
    for rows in findings.trials[LEAN].seconds:
        images = Sample().draw(parts.sessions[0].inputs, rows)
        begin = time.perf_counter()
        outputs = cascade.run({**images, EXIT_THRESHOLD: np.ones(rows, np.float32)})
        seconds[rows] = time.perf_counter() - begin
    trial.compare(LEAN, {LOGITS: findings.trials[LEAN].outputs[LOGITS]}, parts_in_words(len(parts.blocks)), outputs)
    cascade.counts[:] = [0] * len(parts.blocks)
    return Joined(cascade, seconds)


def parts_in_words(count: int) -> str:
    """Returns the names of so many parts, of which there are two or more."""
    return f"{', '.join(EXITS[: count - 1])} and {EXITS[count - 1]}"


def _places(described: Sequence[str], names: Sequence[str]) -> list[int]:
    """Returns the places of blocks. Raises CheckFailed unless they are in order, and end with the last."""
    if unknown := [name for name in described if name not in names]:
        raise trial.CheckFailed(f"{DESCRIPTION} has an early exit after {unknown[0]!r}, which is none of its blocks")
    places = [names.index(name) for name in described]
    if len(places) == 1 or places != sorted(set(places)) or places[-1] != len(names) - 1:
        raise trial.CheckFailed(
            f"{DESCRIPTION} has early exits after {', '.join(described)}; expected two or more blocks in the order of "
            f"the net, the last of them {names[-1]}"
        )
    return places


def _check(sessions: Sequence[Session]) -> None:
    """Raises CheckFailed unless each part takes what the one before it returns, and returns scores."""
    name, taken = IMAGE, _row(sessions[0].inputs[0])
    for file, session in zip(EXITS, sessions, strict=False):
        inputs = {tensor.name: _row(tensor) for tensor in session.inputs}
        if inputs != {name: taken} or session.fixed or not session.may_batch:
            raise trial.CheckFailed(f"{file} takes {inputs}; expected batches of {name} {list(taken)} alone")
        outputs = {tensor.name: _row(tensor) for tensor in session.outputs}
        expected = [LOGITS] if session is sessions[-1] else [LOGITS, NEXT_STATE]
        if sorted(outputs) != expected or outputs[LOGITS][0] != SCORES:
            raise trial.CheckFailed(f"{file} returns {outputs}; expected {' and '.join(expected)}, {LOGITS} as float32")
        name, taken = STATE, outputs.get(NEXT_STATE, ())


def _row(tensor: Tensor) -> tuple[str | int | None, ...]:
    """Returns the type and the sizes of a tensor without its first axis."""
    return (tensor.dtype, *tensor.shape[1:])
