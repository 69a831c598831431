"""Large pictures in the size that a model takes, so that a slider does not have a photograph decoded at every step.

The server decides what is a picture: only what it has answered once, with its limits, is decoded here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from resprobe._pictures import formats
from resprobe._pictures.images import fitted
from resprobe._results.model import Model
from resprobe.page.requests import Question

SMALL = 64 * 2**10  # bytes of a file that the server decodes in no time
KEPT = 32  # pictures, and ten times as many keys of pictures that the server has answered
Pixels = npt.NDArray[np.uint8]


class FittedPictures:
    """Pictures by what they were fitted for; the one that was not used for longest makes room."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], Model] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._pixels: OrderedDict[tuple[str, str, str], Pixels] = OrderedDict()

    def learn(self, models: Iterable[Model]) -> None:
        """Notes what models take, and forgets what was fitted for others of these names."""
        self._models = {(one.name, one.version): one for one in models}
        self._pixels.clear()

    def add_answered(self, picture: str) -> None:
        """Notes that the server has decoded a picture."""
        self._answered[picture] = None
        if len(self._answered) > 10 * KEPT:
            self._answered.popitem(last=False)

    async def get(self, question: Question, data: bytes) -> Pixels | None:
        """Returns a picture as its model takes it, uint8 [height, width, channels]. If None, send the file."""
        model = self._models.get((question.model, question.version))
        if model is None or len(data) <= SMALL or question.picture not in self._answered:
            return None
        key = (question.picture, question.model, question.version)
        if key not in self._pixels:
            self._pixels[key] = await asyncio.to_thread(_fit, data, model)
        self._pixels.move_to_end(key)
        if len(self._pixels) > KEPT:
            self._pixels.popitem(last=False)
        return self._pixels.get(key)


def _fit(data: bytes, model: Model) -> Pixels:
    with Image.open(BytesIO(data), formats=list(formats.ALL)) as picture:
        return fitted(picture, model.height, model.width, model.channels, model.preprocessing).pixels
