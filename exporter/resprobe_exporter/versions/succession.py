"""Checks that a net may be the next version of a model: it must take the same images and have the same classes.

A server answers with the latest version of a name, so another kind of net needs another name.
"""

from collections.abc import Sequence
from pathlib import Path

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.versions import metadata, repository

SHOWN = 3  # classes in an error


def check(root: Path, name: str, image: ImageShape | None, classes: Sequence[str]) -> None:
    """Checks, before the work, that a net can become the next version of a model.

    Args:
        root: Model repository.
        name: Name of the model.
        image: Height, width and channels of the net's images. If None, it takes tensors.
        classes: Labels of the net.

    Raises:
        ExporterError: The name is not usable, the repository cannot be written, or the latest version of this name
            takes other images or has other classes.
    """
    repository.check_writable(root, name)
    latest = _latest(root / name)
    if latest is None:
        return
    before = (latest.image.height, latest.image.width, latest.image.channels) if latest.HasField("image") else None
    differences = [
        text
        for text, differs in (
            (f"takes {_images(before)}, and this net {_images(image)}", before != image),
            (_other_classes(latest.classes, classes), list(latest.classes) != list(classes)),
        )
        if differs
    ]
    if differences:
        raise ExporterError(
            f"{root / name / latest.version} {' and '.join(differences)}: clients of {name} would get results "
            "of another kind of net; choose another name with --name"
        )


def _latest(directory: Path) -> metadata.Model | None:
    """Returns the description of the latest version with a readable one. If None, there is no such version."""
    if not directory.is_dir():
        return None
    versions = [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
    for path in sorted(versions, key=lambda path: -int(path.name)):
        try:
            model = metadata.read(path)
        except ExporterError:  # a version that another tool wrote
            continue
        model.version = path.name  # the directory may have been copied
        return model
    return None


def _images(image: ImageShape | None) -> str:
    return "tensors instead of images" if image is None else f"images of {'×'.join(map(str, image))}"


def _other_classes(before: Sequence[str], now: Sequence[str]) -> str:
    if len(before) != len(now):
        return f"has {len(before)} classes, and this net {len(now)}"
    first = next((place for place, pair in enumerate(zip(before, now, strict=True)) if pair[0] != pair[1]), 0)
    texts = [", ".join(map(repr, names[first : first + SHOWN])) for names in (before, now)]
    return f"calls its classes {texts[0]} from number {first} on, and this net {texts[1]}"
