"""Writes and reads model.json: the message resprobe.v1.Model, which is all that servers and clients know of a model."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from google.protobuf import json_format
from resprobe._results.statistics import STATISTICS as DERIVED
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import DESCRIPTION, STATISTICS, WEIGHTS

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.training.recipes import Recipe
from resprobe_exporter.versions.evaluation import Measurement
from resprobe_exporter.versions.facts import Facts
from resprobe_exporter.versions.repository import Draft

Model = pb.Model
PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
PACKAGES = ("resprobe", "torch", "onnx", "onnx-ir", "onnxscript", "numpy")
KINDS = {
    "identity": pb.SHORTCUT_KIND_IDENTITY,
    "pad": pb.SHORTCUT_KIND_PAD,
    "projection": pb.SHORTCUT_KIND_PROJECTION,
}


@dataclass(frozen=True)
class Origin:
    """Where the weights come from.

    `seed` and `recipe` are None and `epochs` 0 for a net that was not trained here. `converted_as` says how a
    checkpoint was read: see Provenance in resprobe.proto.
    """

    source: str
    seed: int | None = None
    epochs: int = 0
    recipe: Recipe | None = None
    converted_as: Mapping[str, str] = field(default_factory=dict)


def describe(
    draft: Draft, facts: Facts, additions: Sequence[ResidualAddition], classes: Sequence[str], origin: Origin
) -> Model:
    """Everything that is known before the graphs run.

    Args:
        draft: Its directory already holds the weights.
        facts: Of the net.
        additions: As they stand in model.onnx, one for each of the net's blocks, in their order.
        classes: Labels.
        origin: Of the weights.
    """
    model = pb.Model(
        name=draft.name,
        version=str(draft.version),
        family=facts.family,
        depth=facts.depth,
        parameter_count=facts.parameter_count,
        classes=classes,
        statistics=STATISTICS if facts.blocks else (),
        provenance=pb.Provenance(
            source=origin.source,
            seed=origin.seed,
            epochs=origin.epochs,
            converted_as=origin.converted_as,
            packages={name: metadata.version(name) for name in PACKAGES},
            weights_sha256=hashlib.sha256((draft.directory / WEIGHTS).read_bytes()).hexdigest(),
        ),
    )
    if facts.image is not None:
        height, width, channels = facts.image
        model.image.CopyFrom(pb.ImageFormat(height=height, width=width, channels=channels))
    model.provenance.create_time.GetCurrentTime()
    if origin.recipe is not None:
        model.provenance.recipe.update(origin.recipe.as_json())
    for info, addition in zip(facts.blocks, additions, strict=True):
        model.blocks.add(
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
        )
    return model


def add_measurement(model: Model, dataset: str, measured: Measurement) -> None:
    """Adds the accuracy and the baseline of a data set."""
    model.evaluation.CopyFrom(
        pb.Evaluation(
            dataset=dataset,
            accuracy=measured.score.accuracy,
            loss=measured.score.loss,
            image_count=measured.image_count,
        )
    )
    if measured.blocks is None:
        return
    model.baseline.CopyFrom(
        pb.BaselineInfo(dataset=dataset, image_count=measured.image_count, probabilities=PROBABILITIES)
    )
    for name in DERIVED:
        values = getattr(measured.blocks, name).astype(np.float64)
        quantiles = np.quantile(values, PROBABILITIES, axis=0).T
        for block, mean, row in zip(model.blocks, values.mean(axis=0), quantiles, strict=True):
            block.baseline[name].CopyFrom(pb.BaselineStatistic(mean=mean, quantiles=row.tolist()))


def sizes(model: Model) -> list[int]:
    """Values in each block's branch: channels × height × width."""
    return [block.channels * block.height * block.width for block in model.blocks]


def write(model: Model, directory: Path) -> None:
    """Writes model.json into a version's directory, with the digests of the graphs that are there."""
    for path in sorted(directory.glob("*.onnx")):
        model.provenance.graph_sha256[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (directory / DESCRIPTION).write_text(json_format.MessageToJson(model, indent=1), encoding="utf-8")


def read(directory: Path) -> Model:
    """Reads model.json of a version's directory.

    Raises:
        ExporterError: There is none, or it is no resprobe.v1.Model.
    """
    path = directory / DESCRIPTION
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), Model())
    except OSError as error:
        raise ExporterError(f"{path} cannot be read: {error.strerror}") from error
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise ExporterError(f"{path} is no model description: {error}") from error
