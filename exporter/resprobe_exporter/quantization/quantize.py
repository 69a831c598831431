"""Makes an int8 or float16 version of a float32 one, and measures what that cost."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LOGITS

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.variants import channel_axes
from resprobe_exporter.quantization.calibration import Calibration
from resprobe_exporter.quantization.choice import Attempt, Chooser
from resprobe_exporter.quantization.noise import Noise
from resprobe_exporter.quantization.record import Record
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.quantization.source import Source
from resprobe_exporter.quantization.speed import speedup
from resprobe_exporter.verification.expected_onnx import OnnxOracle
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.reference import FINE, check_images
from resprobe_exporter.versions import metadata, succession
from resprobe_exporter.versions.candidate import Candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import NewVersion, write_version

COARSE = 5e-2  # relative error where numbers are rounded elsewhere: a rounded number is a whole step off


def quantise(
    source: Source,
    settings: Settings,
    calibration: Calibration | None,
    test_set: LabelledImages | None,
    root: Path,
    name: str,
) -> NewVersion:
    """Writes a version in fewer bits as the next version of a model.

    Args:
        source: Version to quantise.
        settings: How to do it.
        calibration: Images to calibrate on; int8 needs some.
        test_set: Images to measure accuracy and noise on. If None, only the speed is measured.
        root: Model repository.
        name: Name of the model.

    Raises:
        CheckFailed: The probe and lesion graphs do not compute what the lean graph computes; nothing is written.
        ExporterError: The settings do not fit the version, or its accuracy drops by more than they allow; nothing is
            written.
        InvalidRequest: The version lacks a class of the test images.
    """
    settings.check()
    if (calibration is None) == (settings.precision == "int8"):
        raise ExporterError("--precision int8 needs images to calibrate on: give --dataset and --data")
    if settings.max_drop is not None and test_set is None:
        raise ExporterError("--max-drop needs test images: give --dataset and --data")
    succession.check(root, name, source.image, source.description.classes)
    with tempfile.TemporaryDirectory(prefix="resprobe-quantize-") as directory:
        chooser = Chooser(source, settings, calibration, test_set, Path(directory))
        attempt = chooser.choose()
        noise = _noise(chooser, attempt.lean, calibration, test_set) if source.blocks else {}
    progress.say("comparing the speed of both lean graphs")
    faster = speedup(source.lean, attempt.lean, source.image)
    if faster < 1:
        progress.note(f"slower: {faster:.2f} × as many images a second as in float32 on this CPU")
    record = Record(
        source.description,
        source.directory,
        settings,
        faster,
        attempt.float_blocks,
        calibration,
        attempt.comparison,
        noise,
    )
    return write_version(_candidate(source, settings, attempt, test_set), root, name, record.annotate)


def _noise(
    chooser: Chooser, lean: ir.Model, calibration: Calibration | None, test_set: LabelledImages | None
) -> dict[str, Noise]:
    progress.say("measuring the noise of every block")
    images = {"calibration": calibration, "test": test_set}
    return {name: chooser.noise(lean, one.images) for name, one in images.items() if one is not None}


def _candidate(source: Source, settings: Settings, attempt: Attempt, test_set: LabelledImages | None) -> Candidate:
    """Makes a candidate whose probe and lesion graphs must compute what its lean graph computes."""
    description = source.description
    inputs = check_images(source.image, None if test_set is None else test_set.images)
    graph = Graph(ir.to_proto(attempt.lean).SerializeToString(), "the quantised graph")
    outputs = {LOGITS: graph.run(inputs)[LOGITS]}
    info, origin = metadata.net_info(description), metadata.origin(description)
    seen = metadata.preprocessing(description)
    oracle = OnnxOracle(
        "the lean graph",
        source.blocks,
        channel_axes(info.blocks),
        inputs,
        outputs,
        COARSE,
        _probe_tolerance(settings, attempt.float_blocks),
    )
    heads = metadata.heads(description, source.directory)
    return Candidate(attempt.lean, info, oracle, description.classes, origin, test_set, preprocessing=seen, heads=heads)


def _probe_tolerance(settings: Settings, float_blocks: Sequence[str]) -> float:
    """Returns the maximum relative error of statistics: fine where all that the probe graph taps are whole numbers."""
    return FINE if settings.precision == "int8" and settings.target == "cpu" and not float_blocks else COARSE
