"""Compares a version's description with the tensors that its graphs declare."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import (
    BLOCK_SCALE,
    BLOCKS,
    CHANNELS,
    DESCRIPTION,
    IMAGE,
    INSPECT,
    LEAN,
    LESION,
    LESION_PROBE,
    LOGITS,
    MAPS,
    PROBE,
)

from resprobe_server.execution.dtypes import BY_ONNX
from resprobe_server.execution.graph import Tensor
from resprobe_server.execution.session import Session
from resprobe_server.images.format import Format
from resprobe_server.validation.trial import CheckFailed

GREY_OR_RGB = 1, 3
MATRIX = 2  # axes
SCALES = "tensor(float)"
RETURNED = {PROBE: (BLOCKS,), LESION_PROBE: (BLOCKS,), INSPECT: (BLOCKS, MAPS, CHANNELS)}


def declared_images(session: Session) -> Format | None:
    """Returns the format of a graph's images: one input `image`, uint8 [n, height, width, channels].

    If None, the graph declares no such input.
    """
    images = [tensor for tensor in session.inputs if tensor.name != BLOCK_SCALE]
    if len(images) != 1 or images[0].name != IMAGE or images[0].dtype != "tensor(uint8)":
        return None
    match images[0].shape:
        case (_, int(height), int(width), int(channels)) if height and width and channels in GREY_OR_RGB:
            return Format(height, width, channels)
    return None


def check(model: pb.Model | None, sessions: Mapping[str, Session]) -> None:
    """Compares a description with its graphs, before they are run.

    Args:
        model: Description from model.json. If None, there is no model.json.
        sessions: Sessions of the graphs, by file; the first is the lean graph.

    Raises:
        CheckFailed: They do not fit together, or a graph has tensors that no request could carry.
    """
    for file, session in sessions.items():
        _check_types(file, session.inputs, "takes")
        _check_types(file, session.outputs, "returns")
    others = [file for file in sessions if file != LEAN]
    if model is None:
        if others:
            raise CheckFailed(f"{', '.join(others)} without {DESCRIPTION}, which names blocks and statistics")
        return
    _check_images(model, sessions[LEAN])
    for file in others:
        _check_inputs(file, sessions[LEAN], sessions[file])
        _check_blocks(model, file, sessions[file])


def _check_types(file: str, tensors: Sequence[Tensor], does: str) -> None:
    for tensor in tensors:
        if tensor.dtype not in BY_ONNX:
            raise CheckFailed(f"{file} {does} {tensor.name} as {tensor.dtype}, which no request or response can carry")


def _check_images(model: pb.Model, lean: Session) -> None:
    declared = declared_images(lean)
    if model.HasField("image"):
        described = model.image.height, model.image.width, model.image.channels
        if declared is None:
            inputs = ", ".join(f"{tensor.name} {tensor.dtype}" for tensor in lean.inputs)
            raise CheckFailed(f"{DESCRIPTION} says images {list(described)}; {LEAN} takes {inputs}")
        if described != declared.shape:
            raise CheckFailed(f"{LEAN} takes images {list(declared.shape)}; its description says {list(described)}")
    logits = next((output for output in lean.outputs if output.name == LOGITS), None)
    if declared is not None and model.classes and (logits is None or len(logits.shape) != MATRIX):
        returned = ", ".join(output.name for output in lean.outputs)
        raise CheckFailed(
            f"{DESCRIPTION} names {len(model.classes)} classes; {LEAN} returns no {LOGITS} [n, classes] but {returned}"
        )


def _check_inputs(file: str, lean: Session, other: Session) -> None:
    """Raises CheckFailed unless a graph has the inputs of the lean graph, and block scales if it is for lesions."""
    expected = {tensor.name: _known(tensor) for tensor in lean.inputs}
    found = {tensor.name: _known(tensor) for tensor in other.inputs}
    scales = found.pop(BLOCK_SCALE, None) if file in (LESION, LESION_PROBE, INSPECT) else (SCALES,)
    if scales is None:
        raise CheckFailed(f"{file} takes no input {BLOCK_SCALE}")
    if scales[0] != SCALES:
        raise CheckFailed(f"{file} takes {BLOCK_SCALE} as {scales[0]}; expected {SCALES}")
    if found != expected:
        one, two = (", ".join(f"{name} {list(known)}" for name, known in some.items()) for some in (found, expected))
        raise CheckFailed(f"{file} takes {one}; {LEAN} takes {two}")
    if (other.may_batch, other.fixed) != (lean.may_batch, lean.fixed):
        raise CheckFailed(f"{file} and {LEAN} declare different batches")


def _check_blocks(model: pb.Model, file: str, session: Session) -> None:
    if not model.blocks:
        raise CheckFailed(f"{file} is there, but {DESCRIPTION} names no blocks; expected one name for each")
    for what, names in (("block", (block.name for block in model.blocks)), ("statistic", model.statistics)):
        if (name := _repeated(names)) is not None:
            raise CheckFailed(f"{DESCRIPTION} names the {what} {name!r} twice")
    if file in RETURNED:
        if not model.statistics:
            raise CheckFailed(f"{file} is there, but {DESCRIPTION} names no statistics; expected one name for each")
        returned = [output.name for output in session.outputs]
        if missing := [name for name in RETURNED[file] if name not in returned]:
            raise CheckFailed(f"{file} returns no output {missing[0]}")
    for tensor in session.inputs:
        if tensor.name == BLOCK_SCALE and tensor.shape[1:] not in ((None,), (len(model.blocks),)):
            sizes = ", ".join("n" if size is None else str(size) for size in tensor.shape)
            raise CheckFailed(f"{file} takes {BLOCK_SCALE} [{sizes}]; {DESCRIPTION} names {len(model.blocks)} blocks")


def _known(tensor: Tensor) -> tuple[str | int | None, ...]:
    """Returns the type and the sizes of a tensor without its first axis, which may be free under other names."""
    return (tensor.dtype, *tensor.shape[1:])


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
