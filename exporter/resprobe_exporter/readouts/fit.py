"""Fits heads: multinomial logistic regression on the means over positions after each block before the last stage.

Alain & Bengio 2016, arXiv 1610.01644, call them linear classifier probes.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe._classes import match

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.inspection.readouts import Head, add_features, own_head
from resprobe_exporter.graph.variants import channel_axes
from resprobe_exporter.nets.info import BlockInfo
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.verification.ort import Graph

INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0)
PARTS = 3  # of the cross-validation
MOST_STEPS = 1000
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """How a head was found.

    Attributes:
        inverse_penalty: Inverse strength of the L2 penalty, of those tried the one with the best validation accuracy.
        validation_accuracy: Mean accuracy over the parts of the cross-validation.
    """

    inverse_penalty: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class Heads:
    """Fitted heads of a net, by the place of their block.

    Attributes:
        heads: Weights of each.
        fits: How each was found.
        dataset: Name of the data set whose training images they were fitted on.
        image_count: Number of these images.
        seed: Seed of the sample and of the cross-validation.
    """

    heads: Mapping[int, Head] = field(default_factory=dict)
    fits: Mapping[int, Fit] = field(default_factory=dict)
    dataset: str = ""
    image_count: int = 0
    seed: int = 0


def fit_heads(lean: ir.Model, blocks: Sequence[BlockInfo], classes: Sequence[str], training: TrainingImages) -> Heads:
    """Fits a head for each block that the net's own head cannot read.

    Args:
        lean: Graph with its weights in memory; it is not changed.
        blocks: Blocks of the graph.
        classes: Labels of the net.
        training: Images to fit on.

    Raises:
        ExporterError: The net has no residual blocks or no head of its own, or there are no images of some class.
        InvalidRequest: The net lacks a class of the images.
    """
    own = own_head(lean.graph) if blocks else None
    if own is None:
        raise ExporterError("--readouts needs a net of residual blocks whose scores are computed of the last one alone")
    labels = match(training.classes, classes, "the data set").indices[training.labels]
    if missing := sorted(set(range(len(classes))) - set(labels.tolist())):
        raise ExporterError(f"--readouts {training.name}: no training image has the class {classes[missing[0]]!r}")
    places = [index for index in range(len(blocks)) if index not in own.blocks]
    progress.say(f"fitting {len(places)} heads on {len(labels):,} training images of {training.name}")
    heads, fits = {}, {}
    for index, features in _features(lean, places, channel_axes(blocks), training.images).items():
        heads[index], fits[index] = fit(features, labels, training.seed)
    return Heads(heads, fits, training.name, len(labels), training.seed)


def fit(features: Array, labels: npt.NDArray[np.int64], seed: int) -> tuple[Head, Fit]:
    """Fits one head on standardised features [n, channels]; its weights are for features as they are."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def regression(inverse_penalty: float) -> "LogisticRegression":
        return LogisticRegression(C=inverse_penalty, max_iter=MOST_STEPS)

    parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with few images, and of steps; the accuracy that results is stored
        accuracies = [
            float(cross_val_score(make_pipeline(StandardScaler(), regression(one)), features, labels, cv=parts).mean())
            for one in INVERSE_PENALTIES
        ]
        best = int(np.argmax(accuracies))
        scaler, model = StandardScaler(), regression(INVERSE_PENALTIES[best])
        model.fit(scaler.fit_transform(features), labels)
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps the difference
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    weights = weights / scaler.scale_
    head = Head(weights.astype(np.float32), (bias - weights @ scaler.mean_).astype(np.float32))
    return head, Fit(INVERSE_PENALTIES[best], accuracies[best])


def _features(
    lean: ir.Model, places: Sequence[int], axes: Sequence[int], images: npt.NDArray[np.uint8]
) -> dict[int, Array]:
    """Computes what the heads of some blocks read, float64 [n, channels] by the place of the block."""
    if not places:
        return {}
    model = lean.clone()
    del model.graph.outputs[:]
    names = add_features(model.graph, places, axes)
    graph = Graph(ir.to_proto(model).SerializeToString(), "the graph with the features of its blocks")
    outputs = list(graph.run_batches(images))
    return {
        index: np.concatenate([one[name] for one in outputs]).astype(np.float64)
        for index, name in zip(places, names, strict=True)
    }
