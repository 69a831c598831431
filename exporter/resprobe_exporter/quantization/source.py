"""The float32 version that is quantised."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LEAN, WEIGHTS

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.nets.preprocessing import Pictures
from resprobe_exporter.versions import metadata

LARGEST = 2**31 - 2**20  # bytes; quantising and measuring need graphs as one message of protobuf, which ends at 2 GB


@dataclass(frozen=True, eq=False)
class Source:
    """A float32 version.

    Attributes:
        directory: Directory of the version.
        description: Content of its model.json.
        lean: Its lean graph, with the weights in memory.
        image: Height, width and channels of its images.
    """

    directory: Path
    description: metadata.Model
    lean: ir.Model
    image: ImageShape

    @property
    def pictures(self) -> Pictures | None:
        """How pictures become its images. If None, they are resized as a whole."""
        return metadata.preprocessing(self.description).pictures

    @property
    def blocks(self) -> Sequence[str]:
        """Names of the blocks."""
        return [block.name for block in self.description.blocks]


def read(directory: Path) -> Source:
    """Reads a version that is to be quantised.

    Raises:
        ExporterError: It cannot be read, takes tensors instead of images, is not in float32, or is over 2 GB.
    """
    description = metadata.read(directory)
    place = directory.resolve()
    description.name, description.version = place.parent.name, place.name  # it may have been copied
    image = metadata.net_info(description).image
    if image is None:
        raise ExporterError(f"{directory} takes tensors instead of images; only nets of images can be quantised")
    if description.precision not in ("", "float32"):
        made = description.quantization
        hint = f"; quantise {made.source_name}/{made.source_version}, which it was made of" if made.source_name else ""
        raise ExporterError(f"{directory} is in {description.precision} already{hint}")
    size = sum(path.stat().st_size for name in (LEAN, WEIGHTS) if (path := directory / name).exists())
    if size > LARGEST:
        raise ExporterError(
            f"{directory} has {size / 1e9:.1f} GB of weights; only versions of at most 2 GB can be quantised, the "
            "maximum of an ONNX graph with its weights"
        )
    try:
        lean = ir.load(directory / LEAN)
        ir.external_data.load_to_model(lean)
    except (OSError, ValueError) as error:
        raise ExporterError(f"{directory / LEAN} cannot be read: {error}") from error
    return Source(directory, description, lean, image)
