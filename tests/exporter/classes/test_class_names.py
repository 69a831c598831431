"""Names of classes: those of ImageNet are there, and are the default of nets that see pictures as ImageNet's do."""

import os
import sys
from pathlib import Path

import pytest
from resprobe._classes import imagenet
from resprobe_exporter.classes.class_names import choose, read_labels
from resprobe_exporter.errors import ExporterError

from tests.support.timm_nets import VARIABLE


def test_imagenets_names_are_there_in_the_order_of_the_outputs_of_nets() -> None:
    names = read_labels("imagenet")
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[207], names[281], names[999]) == ("tench", "golden retriever", "tabby", "toilet tissue")


@pytest.mark.long
def test_they_are_torchvisions_and_timms() -> None:
    directory = os.environ.get(VARIABLE)
    if directory is None:
        pytest.skip(f"{VARIABLE} does not name a directory with torchvision")
    if directory not in sys.path:
        sys.path.append(directory)
    from torchvision.models import _meta  # type: ignore[import-not-found,import-untyped,unused-ignore]

    assert list(read_labels("imagenet")) == _meta._IMAGENET_CATEGORIES
    ids = Path(directory, "timm", "data", "_info", "imagenet_synsets.txt").read_text().split()
    assert list(imagenet.names()) == ids == sorted(ids)


def test_they_are_the_default_only_where_they_fit(capsys: pytest.CaptureFixture[str]) -> None:
    names_of_imagenet = read_labels("imagenet")
    assert choose(None, 1000, "net", None, is_imagenet=True) == names_of_imagenet
    assert "classes are called as those of ImageNet, as there are 1,000" in capsys.readouterr().err
    numbers = tuple(map(str, range(1000)))
    assert choose(None, 1000, "net", None) == numbers
    assert choose(None, 5, "net", None, is_imagenet=True) == ("0", "1", "2", "3", "4")
    assert choose(numbers, 1000, "net", None, is_imagenet=True) == numbers
    assert choose(None, 1000, "net", ("folder", ["tabby", "tench"]), is_imagenet=True) == names_of_imagenet
    other = [f"n{index}" for index in range(1000)]
    assert choose(None, 1000, "net", ("folder", other), is_imagenet=True) == tuple(other)
    assert choose(None, 1000, "net", ("folder", list(imagenet.names())), is_imagenet=True) == names_of_imagenet
    assert "n01440764 is 'tench'" in capsys.readouterr().err
    with pytest.raises(ExporterError, match="net has 5 classes, and --classes names 1000"):
        choose(names_of_imagenet, 5, "net", None)
