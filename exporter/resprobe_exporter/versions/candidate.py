"""A net that is to become a version: everything that writer.py needs, before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from resprobe_exporter.nets.info import NetInfo
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.readouts.fit import Heads
from resprobe_exporter.verification.reference import Oracle
from resprobe_exporter.versions.test_set import LabelledImages


@dataclass(frozen=True)
class Origin:
    """Source of the weights.

    Attributes:
        source: "trained here", or the name of an imported file.
        seed: Seed of the training. If None, the net was not trained here.
        epochs: Passes over the training images; 0 for a net that was not trained here.
        recipe: Hyperparameters of the training, as JSON. If None, the net was not trained here.
        converted_as: How a checkpoint was read: see Provenance in resprobe.proto.
    """

    source: str
    seed: int | None = None
    epochs: int = 0
    recipe: Mapping[str, Any] | None = None
    converted_as: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A net that is to become a version.

    Attributes:
        lean: Graph without taps. Probe and lesion graphs are made of it by passes.
        info: Family, size, images and blocks of the net; a block for each residual addition of the graph.
        oracle: What the graphs must compute.
        classes: Labels, in the order of the logits.
        origin: Source of the weights.
        test_set: Images for the accuracy and the baseline. If None, both are left out.
        heads: Fitted heads that scores are read off blocks with. If empty, only the net's own head reads some.
        hints: What to check if the accuracy is near chance. If empty, such an accuracy is not suspicious.
        preprocessing: What its net was trained to see. If None, it is not known.
    """

    lean: ir.Model
    info: NetInfo
    oracle: Oracle
    classes: Sequence[str]
    origin: Origin
    test_set: LabelledImages | None = None
    hints: Sequence[str] = ()
    preprocessing: Preprocessing | None = None
    heads: Heads = field(default_factory=Heads)
