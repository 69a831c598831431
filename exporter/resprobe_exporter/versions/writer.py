"""One net, one new version: exports, adds the taps, checks, measures, describes, and renames into place."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe_protos.contract import LEAN, LESION, LESION_PROBE, PROBE, WEIGHTS
from torch import Tensor

from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.graph.passes.block_scale import AddBlockScale
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches
from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.graph.torch_export import SCOPES, Served, to_onnx
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.verification.expected import of_net
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.verify import check
from resprobe_exporter.versions import facts, metadata, repository, succession
from resprobe_exporter.versions.evaluation import measure

CHECK_IMAGES = 4
# What each graph has beyond the lean one. Statistics come first: they are of branches before these are scaled.
TAPPED: Mapping[str, Sequence[type[ir.passes.InPlacePass]]] = {
    PROBE: (AddBlockStatistics,),
    LESION: (AddBlockScale,),
    LESION_PROBE: (AddBlockStatistics, AddBlockScale),
}


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images to measure with: uint8 [n, height, width, channels], int64 [n] and the labels' names."""

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation of pixels in [0, 1]: the mean is subtracted, then the rest is divided by the deviation.

    Each has a value for each channel [c], or for each pixel [c, height, width].
    """

    mean: Sequence[float] | Tensor
    std: Sequence[float] | Tensor

    def check(self, channels: int) -> None:
        """Raises ExporterError if it does not fit images with so many channels."""
        self.check_values()
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                raise ExporterError(f"--{what} has {len(values)} values; expected {channels}, one a channel")

    def check_values(self) -> None:
        """Raises ExporterError for what fits no images."""
        if len(self.mean) != len(self.std):
            raise ExporterError(f"--mean has {len(self.mean)} values and --std {len(self.std)}; expected one a channel")
        for what, values in (("mean", self.mean), ("std", self.std)):
            if strange := [float(value) for value in values if not math.isfinite(value)]:
                raise ExporterError(f"--{what} {strange[0]}: expected numbers of 0 to 1, for pixels in [0, 1]")
        if (smallest := min(map(float, self.std))) <= 0:
            raise ExporterError(f"--std {smallest}: expected numbers above 0")
        for what, values in (("mean", self.mean), ("std", self.std)):
            if max(map(float, values)) > 1 or min(map(float, values)) < 0:
                given, divided = (" ".join(f"{float(one) / by:.6g}" for one in values) for by in (1, 255))
                raise ExporterError(
                    f"--{what} {given}: expected numbers of 0 to 1, for pixels in [0, 1]; if they are for pixels in "
                    f"[0, 255], give --{what} {divided}"
                )


def publish(
    net: ResNet,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    origin: metadata.Origin,
    test_set: LabelledImages | None,
    root: Path,
    name: str,
    report: Callable[[str], None],
) -> tuple[metadata.Model, Path]:
    """Writes the next version of a model.

    Args:
        net: Trained; on any device.
        preprocessing: Becomes part of the graph.
        classes: Labels, one for each class of the net.
        origin: Of the weights.
        test_set: For the accuracy and the baseline; None leaves both out.
        root: The model repository.
        name: Of the model.
        report: Told what comes next.

    Returns:
        The description and the directory of the version.

    Raises:
        CheckFailed: The graphs do not compute what the net computes; nothing is left behind.
        ExporterError: The repository cannot be written.
    """
    with repository.new_version(root, name) as draft:
        report("exporting")
        model = to_onnx(net, preprocessing.mean, preprocessing.std)
        additions = list(find(model.graph))
        _check_names(additions, net)
        write_graphs(model, draft.directory, bool(additions))
        report("comparing with PyTorch")
        reference = copy.deepcopy(net).cpu().double().eval()
        known = facts.of_net(net)
        assert known.image is not None
        images = check_images(known.image, test_set)
        check(of_net(Served(reference, preprocessing.mean, preprocessing.std), images), images, draft.directory)
        description = metadata.describe(draft, known, additions, classes, origin)
        finish(draft, description, test_set, report)
    return description, draft.target


def finish(
    draft: repository.Draft,
    description: metadata.Model,
    test_set: LabelledImages | None,
    report: Callable[[str], None],
) -> None:
    """Measures a version whose graphs are written and checked, if there are images, and writes its description.

    Raises:
        ExporterError: Its model has versions that take other images or have other classes.
        InvalidRequest: It lacks a class of the images.
    """
    image = description.image if description.HasField("image") else None
    shape = None if image is None else (image.height, image.width, image.channels)
    succession.check(draft.directory.parents[1], draft.name, shape, description.classes)
    if test_set is not None:
        report(f"measuring on {test_set.name}")
        names = [block.name for block in description.blocks]
        graph = Graph(draft.directory / (PROBE if names else LEAN))
        classes = (test_set.classes, description.classes)
        measured = measure(graph, test_set.images, test_set.labels, names, metadata.sizes(description), classes)
        metadata.add_measurement(description, test_set.name, measured)
    metadata.write(description, draft.directory)


def _check_names(additions: Sequence[ResidualAddition], net: ResNet) -> None:
    """The additions that the search finds must be the net's own, each in its module."""
    found = [addition.node.metadata_props.get(SCOPES, "") for addition in additions]
    expected = [block.name for block in net.blocks]
    if len(found) != len(expected) or not all(
        f"{name}.add'" in scope for name, scope in zip(expected, found, strict=True)
    ):
        raise CheckFailed(f"found {len(found)} residual additions in the graph; the net has {len(expected)}: {found}")


def write_graphs(model: ir.Model, directory: Path, residual: bool) -> None:
    """Writes the lean graph and, for a residual net, those that are made from it, over the same weights."""
    ir.external_data.unload_from_model(model, directory, WEIGHTS, size_threshold_bytes=256)
    for file, passes in (TAPPED if residual else {}).items():
        tapped = model.clone()
        for step in passes:
            step()(tapped)
        UntieBranches()(tapped)
        _save(tapped, directory / file)
    _save(model, directory / LEAN)


def _save(model: ir.Model, path: Path) -> None:
    for node in model.graph:
        node.metadata_props.clear()  # torch's record of the modules has served its purpose
    ir.save(model, path)


def check_images(shape: tuple[int, int, int], test_set: LabelledImages | None) -> npt.NDArray[np.uint8]:
    """Noise, which reaches every value of a pixel, and real images where there are some.

    Args:
        shape: Height, width and channels.
        test_set: With real ones. If None, there are none.

    Returns:
        uint8 [n, height, width, channels].
    """
    noise = np.random.default_rng(0).integers(0, 256, (CHECK_IMAGES, *shape), dtype=np.uint8)
    return noise if test_set is None else np.concatenate([noise, test_set.images[:CHECK_IMAGES]])
