"""What goes to a server: the one place that writes request messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb

from resprobe.images import Encoded, Images, Pixels, collect

BlockScale = npt.ArrayLike


@dataclass(frozen=True)
class Call:
    """A request that is ready to be sent, and what its images are called in errors."""

    message: pb.ClassifyRequest
    sources: list[str]


@dataclass(frozen=True)
class Options:
    """What `classify` and `stream` take beside the images."""

    model: str
    version: str
    blocks: bool = False
    top_k: int = 5
    block_scale: BlockScale | None = None

    def call(self, images: Images) -> Call:
        """The request for these images. Raises InvalidImage or InvalidRequest."""
        return self.call_collected(collect(images))

    def call_collected(self, images: Sequence[Encoded | Pixels]) -> Call:
        """The same for what `collect` returned."""
        scale = () if self.block_scale is None else np.asarray(self.block_scale, np.float32).ravel().tolist()
        message = pb.ClassifyRequest(
            model=self.model,
            version=self.version,
            images=[_image(image) for image in images],
            top_k=self.top_k,
            view=pb.VIEW_BLOCKS if self.blocks else pb.VIEW_BASIC,
            block_scale=scale,
        )
        return Call(message, [image.source for image in images])


def _image(source: Encoded | Pixels) -> pb.Image:
    if isinstance(source, Encoded):
        return pb.Image(encoded=source.data)
    pixels = pb.Pixels(height=source.height, width=source.width, channels=source.channels, data=source.data)
    return pb.Image(pixels=pixels)
