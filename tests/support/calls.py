"""Messages of resprobe.v1 and a stream that stays open."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from PIL import Image
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub


def raw(images: npt.NDArray[np.uint8]) -> list[pb.Image]:
    _, height, width, channels = images.shape
    return [
        pb.Image(pixels=pb.Pixels(height=height, width=width, channels=channels, data=image.tobytes()))
        for image in images
    ]


def png(image: npt.NDArray[np.uint8]) -> pb.Image:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return pb.Image(encoded=file.getvalue())


PIXELS = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))


REQUEST = pb.ClassifyRequest(model="digits", images=[PIXELS])


@contextmanager
def open_stream(channel: grpc.Channel) -> Iterator[Any]:
    """A stream that the server has answered once and that stays open."""
    done = threading.Event()

    def requests() -> Iterator[pb.ClassifyRequest]:
        yield REQUEST
        done.wait(60)

    answers = ResidualServiceStub(channel).ClassifyStream(requests())
    try:
        assert len(next(answers).results) == 1
        yield answers
    finally:
        done.set()
        assert list(answers) == []
