"""One page process for all tests of the page, before the server that all tests share."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.pages import page


@pytest.fixture(scope="session")
def url(address: str) -> Iterator[str]:
    with page(address) as where:
        yield where


@pytest.fixture(scope="session")
def digit(test_images: npt.NDArray[np.uint8]) -> bytes:
    """PNG file of a digit."""
    written = BytesIO()
    Image.fromarray(test_images[3, ..., 0]).save(written, "PNG")
    return written.getvalue()
