"""Writes and reads model.json: a resprobe.v1.Model, all that servers and clients know of a model."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import DESCRIPTION, INSPECT, STATISTICS, WEIGHTS

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.inspection.readouts import own_head, read_heads, readout_blocks
from resprobe_exporter.graph.net_info import precision
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.nets.info import AxisKind, BlockInfo, BranchKind, ImageShape, NetInfo, ShortcutKind
from resprobe_exporter.nets.preprocessing import Pictures, Preprocessing
from resprobe_exporter.readouts.fit import Fit, Heads
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.repository import Draft

Model = pb.Model
PACKAGES = ("resprobe", "torch", "onnx", "onnx-ir", "onnxscript", "numpy")
KINDS: Mapping[ShortcutKind, pb.ShortcutKind.ValueType] = {
    "identity": pb.SHORTCUT_KIND_IDENTITY,
    "pad": pb.SHORTCUT_KIND_PAD,
    "projection": pb.SHORTCUT_KIND_PROJECTION,
}
BRANCHES: Mapping[BranchKind, pb.BranchKind.ValueType] = {
    "conv": pb.BRANCH_KIND_CONV,
    "attention": pb.BRANCH_KIND_ATTENTION,
    "mlp": pb.BRANCH_KIND_MLP,
}
AXES: Mapping[AxisKind, pb.AxisKind.ValueType] = {
    "channels": pb.AXIS_KIND_CHANNELS,
    "tokens": pb.AXIS_KIND_TOKENS,
    "depth": pb.AXIS_KIND_DEPTH,
    "height": pb.AXIS_KIND_HEIGHT,
    "width": pb.AXIS_KIND_WIDTH,
}


def describe(candidate: Candidate, draft: Draft, additions: Sequence[ResidualAddition]) -> Model:
    """Describes a version before its graphs run.

    Args:
        candidate: Net of the version.
        draft: Draft of the version, whose directory already holds the weights.
        additions: Residual additions of model.onnx, one for each block of the net, in their order.
    """
    info = candidate.info
    model = pb.Model(
        name=draft.name,
        version=str(draft.version),
        family=info.family,
        depth=info.depth,
        parameter_count=info.parameter_count,
        classes=candidate.classes,
        statistics=STATISTICS if info.blocks else (),
        provenance=_provenance(candidate.origin, draft.directory / WEIGHTS),
        precision=precision(candidate.lean.graph),
    )
    if info.image is not None:
        model.image.CopyFrom(_image_format(info.image, candidate.preprocessing))
    for block, addition in zip(info.blocks, additions, strict=True):
        model.blocks.append(_block(block, addition))
    _add_readouts(model, candidate)
    return model


def _image_format(image: ImageShape, preprocessing: Preprocessing | None) -> pb.ImageFormat:
    height, width, channels = image
    described = pb.ImageFormat(height=height, width=width, channels=channels)
    if preprocessing is None:
        return described
    if getattr(preprocessing.mean, "ndim", 1) == 1:  # otherwise a mean of each pixel
        described.mean[:], described.std[:] = preprocessing.as_lists()
    cut = preprocessing.resize_and_crop(height, width)
    if cut is not None:
        described.preprocessing.CopyFrom(pb.Preprocessing(resize=cut.resize, interpolation=cut.interpolation))
    return described


def _add_readouts(model: Model, candidate: Candidate) -> None:
    """Says which blocks scores are read off, and how."""
    own = own_head(candidate.lean.graph) if candidate.info.blocks else None
    if own is None:
        return
    found = candidate.heads
    for index in readout_blocks(own, found.heads):
        readout = model.blocks[index].readout
        if index in own.blocks:
            readout.head = pb.READOUT_HEAD_OWN
            continue
        readout.head, fit = pb.READOUT_HEAD_FITTED, found.fits[index]
        readout.fit.dataset, readout.fit.image_count, readout.fit.seed = found.dataset, found.image_count, found.seed
        readout.fit.inverse_penalty, readout.fit.validation_accuracy = fit.inverse_penalty, fit.validation_accuracy


def _provenance(origin: Origin, weights: Path) -> pb.Provenance:
    provenance = pb.Provenance(
        source=origin.source,
        seed=origin.seed,
        epochs=origin.epochs,
        converted_as=origin.converted_as,
        packages={name: metadata.version(name) for name in PACKAGES},
        weights_sha256=_sha256(weights),
    )
    provenance.create_time.GetCurrentTime()
    if origin.recipe is not None:
        provenance.recipe.update(dict(origin.recipe))
    return provenance


def _block(info: BlockInfo, addition: ResidualAddition) -> pb.Block:
    return pb.Block(
        name=info.name,
        stage=info.stage,
        index=info.index,
        channels=info.channels,
        height=info.height,
        width=info.width,
        stride=info.stride,
        shortcut=KINDS[info.shortcut],
        branch_tensor=addition.branch.name or "",
        shortcut_tensor=addition.shortcut.name or "",
        sum_tensor=addition.node.outputs[0].name or "",
        response_std=info.response_std,
        branch=BRANCHES[info.branch],
        axes=[AXES[axis] for axis in info.axes],
    )


def net_info(model: Model) -> NetInfo:
    """Returns what a description says of its net."""
    kinds = {value: kind for kind, value in KINDS.items()}
    branches: dict[pb.BranchKind.ValueType, BranchKind] = {value: kind for kind, value in BRANCHES.items()}
    axes = {value: axis for axis, value in AXES.items()}
    blocks = [
        BlockInfo(
            block.name,
            block.stage,
            block.index,
            block.channels,
            block.height,
            block.width,
            block.stride,
            kinds[block.shortcut],
            block.response_std if block.HasField("response_std") else None,
            branches.get(block.branch, "conv"),
            tuple(axes[axis] for axis in block.axes) or ("channels", "height", "width"),
        )
        for block in model.blocks
    ]
    image = model.image if model.HasField("image") else None
    shape = None if image is None else (image.height, image.width, image.channels)
    return NetInfo(model.family, model.depth, model.parameter_count, shape, blocks)


def preprocessing(model: Model) -> Preprocessing:
    """Returns what a description says that its net was trained to see."""
    image, pictures = model.image, None
    if image.HasField("preprocessing"):
        found = image.preprocessing
        pictures = Pictures(resize=found.resize, interpolation=found.interpolation)
    return Preprocessing(tuple(image.mean), tuple(image.std), pictures)


def heads(model: Model, directory: Path) -> Heads:
    """Reads the fitted heads of a version from its inspect.onnx; none if it has none."""
    readouts = {index: one.readout.fit for index, one in enumerate(model.blocks) if one.readout.HasField("fit")}
    if not readouts:
        return Heads()
    first = next(iter(readouts.values()))
    fits = {index: Fit(one.inverse_penalty, one.validation_accuracy) for index, one in readouts.items()}
    return Heads(read_heads(directory / INSPECT), fits, first.dataset, first.image_count, first.seed)


def origin(model: Model) -> Origin:
    """Returns where a description says that the weights are from."""
    known = model.provenance
    return Origin(
        known.source,
        known.seed if known.HasField("seed") else None,
        known.epochs,
        json_format.MessageToDict(known.recipe) if known.HasField("recipe") else None,
        dict(known.converted_as),
    )


def sizes(model: Model) -> list[int]:
    """Returns the number of values in each block's branch: channels × height × width."""
    return [block.channels * block.height * block.width for block in model.blocks]


def write(model: Model, directory: Path) -> None:
    """Writes model.json into the directory of a version, with the digests of the graphs that are in it."""
    for path in sorted(directory.glob("*.onnx")):
        model.provenance.graph_sha256[path.name] = _sha256(path)
    (directory / DESCRIPTION).write_text(json_format.MessageToJson(model, indent=1), encoding="utf-8")


def read(directory: Path) -> Model:
    """Reads model.json in the directory of a version.

    Raises:
        ExporterError: There is none, or it is not a resprobe.v1.Model.
    """
    path = directory / DESCRIPTION
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), Model())
    except OSError as error:
        raise ExporterError(f"{path} cannot be read: {error.strerror}") from error
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise ExporterError(f"{path} is not a model description: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
