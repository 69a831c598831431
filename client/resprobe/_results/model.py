"""Descriptions of served models: images, classes, and residual blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe._results import html
from resprobe._results.exits import EarlyExits
from resprobe._results.tabular import Column, Tabular


@dataclass(frozen=True)
class Baseline:
    """Mean of one statistic of one block over a data set, and its quantiles by their probability."""

    mean: float
    quantiles: Mapping[float, float] = field(hash=False)


@dataclass(frozen=True)
class Noise:
    """Noise of quantisation in one block, over some images: how far it is from that of the float32 version.

    Attributes:
        branch: ‖F′ − F‖ / ‖F‖ over all images, channels and positions, F′ that of the quantised version.
        sum: ‖(F′ + s′) − (F + s)‖ / ‖F + s‖, likewise.
        ratio_before: Mean over images of ‖F‖ / ‖s‖ in float32.
        ratio_after: Mean over images of ‖F′‖ / ‖s′‖.
    """

    branch: float
    sum: float
    ratio_before: float
    ratio_after: float


@dataclass(frozen=True)
class Quantization:
    """What a quantised version was made of, and what that cost on test images when it was made.

    Attributes:
        source_name: Name of the float32 model.
        source_version: Version of the float32 model.
        float_blocks: Names of the blocks that stayed in float32.
        accuracy_before: Accuracy in float32. If None, none was measured.
        accuracy_after: Accuracy as quantised. If None, none was measured.
        agreement: Share of the test images that both versions give the same class. If None, none was measured.
        dataset: Data set of these test images; empty if none was measured.
    """

    source_name: str
    source_version: str
    float_blocks: tuple[str, ...]
    accuracy_before: float | None
    accuracy_after: float | None
    agreement: float | None
    dataset: str

    @property
    def source(self) -> str:
        """Float32 model as NAME/VERSION."""
        return f"{self.source_name}/{self.source_version}"


class Sized(Protocol):
    """Block whose sum has these sizes."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of the sum after the batch axis."""

    @property
    def channels(self) -> int:
        """Channels of the sum."""

    @property
    def height(self) -> int:
        """Height of the sum, or the number of its positions."""

    @property
    def width(self) -> int:
        """Width of the sum, or 1."""


def shape_of_sum(block: Sized) -> str:
    """Returns the sizes of a sum: channels×height×width of an image, tokens×channels, or the length of a vector."""
    if block.axes == ("channels",):
        return str(block.channels)
    if "tokens" in block.axes:
        return f"{block.height}×{block.channels}"
    return f"{block.channels}×{block.height}×{block.width}"


@dataclass(frozen=True)
class Readout:
    """How scores are read off a block, as if the net ended there.

    Attributes:
        head: "own", the head of the net, or "fitted", a linear one.
        accuracy: Accuracy of these scores on test images. If None, it was not measured.
        dataset: Data set of these images; empty if it was not measured.
    """

    head: str
    accuracy: float | None
    dataset: str


@dataclass(frozen=True)
class Block:
    """One residual block of a served model.

    Attributes:
        name: Name such as stage2.block0: stages count from 1, blocks within a stage from 0.
        stage: Number of the stage, from 1.
        index: Place within the stage, from 0.
        channels: Channels of the sum F(x) + s(x).
        height: Height of the sum; of other tensors than images, the number of positions.
        width: Width of the sum; of other tensors than images, 1.
        stride: Stride of the block.
        shortcut: identity, pad or projection.
        response_std: Standard deviation of F(x) that the last batch norm alone predicts. If None, it predicts none.
        baseline: Baselines by statistic (branch_l2, shortcut_l2, ratio, cosine, branch_std); none if not measured.
        branch: What F is made of: conv, attention or mlp.
        axes: Axes of the sum after the batch axis, such as ("tokens", "channels"), in their order in the graph. If
            empty, the description does not name them.
        noise: Noise by images (test, calibration); none if it was not quantised.
        readout: How scores are read off it. If None, they are not.
    """

    name: str
    stage: int
    index: int
    channels: int
    height: int
    width: int
    stride: int
    shortcut: str
    response_std: float | None
    baseline: Mapping[str, Baseline] = field(hash=False)
    branch: str = "conv"
    axes: tuple[str, ...] = ("channels", "height", "width")
    noise: Mapping[str, Noise] = field(hash=False, default_factory=dict)
    readout: Readout | None = None

    @property
    def shape(self) -> str:
        """Sizes of the sum: channels×height×width of an image, tokens×channels, or the length of a vector."""
        return shape_of_sum(self)

    @property
    def size(self) -> int:
        """Number of values in the branch for one image."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Model(Tabular):
    """A model version that a server serves. As a table it has one row for each block.

    Attributes:
        name: Name of the model.
        version: Version of the model.
        family: resnet, plain, preact, or the word that its source uses.
        depth: Weighted layers; 0 if unknown.
        parameters: Trainable parameters; 0 if unknown.
        height: Height of an image in pixels.
        width: Width of an image in pixels.
        channels: Channels of an image: 1 (grey) or 3 (RGB).
        classes: Labels of the classes.
        accuracy: Accuracy on the test images of `dataset`. If None, it was not measured.
        dataset: Data set that the accuracy was measured on; empty if it was not measured.
        baseline_images: Number of images that the baselines of the blocks were measured on.
        statistics: Names of what the graph returns for each block.
        blocks: Residual blocks from input to output.
        provider: ONNX Runtime execution provider that runs it, for example CPUExecutionProvider.
        is_default: Whether it answers requests that name no version.
        has_blocks: Whether block statistics can be requested.
        has_block_scale: Whether blocks can be scaled.
        max_batch: Maximum images in a batch.
        precision: What its convolutions compute with: float32, float16 or int8; empty if unknown.
        quantization: What it was quantised from, and what that cost. If None, it was not quantised.
        preprocessing: How pictures become its images. If None, they are resized as a whole (bilinear).
        mean: Mean of each channel that its graph subtracts from pixels in [0, 1]; empty if unknown.
        std: Standard deviation of each channel that its graph divides by; empty if unknown.
        views: Names of what can be requested: blocks, maps, channels, readouts and cam.
        digest: Digest of the description, by which servers of the same version are known; empty if unknown.
        exits: Where images may leave the net early. If None, nowhere.
    """

    name: str
    version: str
    family: str
    depth: int
    parameters: int
    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    accuracy: float | None
    dataset: str
    baseline_images: int
    statistics: tuple[str, ...]
    blocks: tuple[Block, ...]
    provider: str
    is_default: bool
    has_blocks: bool
    has_block_scale: bool
    max_batch: int
    precision: str = ""
    quantization: Quantization | None = None
    preprocessing: ResizeAndCrop | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    views: tuple[str, ...] = ()
    digest: str = ""
    exits: EarlyExits | None = None

    def __repr__(self) -> str:
        """Returns one line: blocks with their baselines, and thousands of classes, would fill a notebook."""
        size = f"{self.height}×{self.width}×{self.channels}"
        return (
            f"Model({self.name!r}, version={self.version!r}, image={size}, classes={len(self.classes)}, "
            f"blocks={len(self.blocks)}, provider={self.provider!r})"
        )

    def _columns(self) -> Mapping[str, Column]:
        ratios = [block.baseline.get("ratio") for block in self.blocks]
        return {
            "block": [block.name for block in self.blocks],
            "shortcut": [block.shortcut for block in self.blocks],
            "branch": [block.branch for block in self.blocks],
            "channels": [block.channels for block in self.blocks],
            "height": [block.height for block in self.blocks],
            "width": [block.width for block in self.blocks],
            "stride": [block.stride for block in self.blocks],
            "response_std": _numbers([block.response_std for block in self.blocks]),
            "baseline_ratio": _numbers([None if one is None else one.mean for one in ratios]),
        }

    def _repr_html_(self) -> str:
        return html.table(self._columns(), repr(self), bars="baseline_ratio")


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
