"""Pictures for commands."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image


@pytest.fixture
def picture(tmp_path: Path, test_images: npt.NDArray[np.uint8]) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(test_images[0, ..., 0]).save(path)
    return path
