"""Checks whether a version may join those of a model: it needs the same inputs and the same classes.

Requests that name no version get the highest one, and must not be answered by another kind of net unnoticed.
"""

from collections.abc import Mapping, Sequence

from resprobe_server.execution.graph import Tensor
from resprobe_server.images.format import Format
from resprobe_server.models.version import Version

SHOWN = 3  # classes in a reason
Tensors = Mapping[str, Tensor]


class Incompatible(Exception):
    """A version is of another kind than those of its name; the text names the difference."""


def check(version: Version, served: Mapping[int, Version]) -> None:
    """Compares a version with the one that answers requests that name none.

    Args:
        version: Version that is to join them.
        served: Versions of the same model that are served, by number.

    Raises:
        Incompatible: Requests would no longer be answered, or their answers would mean something else.
    """
    if not served:
        return
    current = served[max(served)]
    if differences := [text for text in (_inputs(current, version), _outputs(current, version)) if text]:
        raise Incompatible(
            f"version {current.number}, which serves, {' and '.join(differences)}: callers of "
            f"{version.description.name} would be answered by another kind of net; give this one a name of its own, "
            "or start the server with --allow-incompatible"
        )


def _inputs(current: Version, new: Version) -> str:
    """Returns the difference of the inputs; empty if requests for the one fit the other."""
    if _shape(current.format) != _shape(new.format):  # requests for one preprocessing fit another
        return f"takes {_images(current.format)}, and this one {_images(new.format)}"
    one, two = current.inputs, new.inputs
    if one.keys() == two.keys() and all(_accepts(two[name], one[name]) for name in one):
        return ""
    return f"takes {_listed(one)}, and this one {_listed(two)}"


def _outputs(current: Version, new: Version) -> str:
    """Returns the difference of the classes or of the outputs; empty if answers mean the same."""
    before, now = current.labels, new.labels
    if len(before) != len(now):
        return f"has {len(before)} classes, and this one {len(now)}"
    if before != now:
        first = next(place for place, pair in enumerate(zip(before, now, strict=True)) if pair[0] != pair[1])
        texts = [", ".join(map(repr, names[first : first + SHOWN])) for names in (before, now)]
        return f"calls its classes {texts[0]} from number {first} on, and this one {texts[1]}"
    one, two = current.outputs, new.outputs
    if all(name in two and _is_like(two[name], one[name]) for name in one):
        return ""
    return f"returns {_listed(one)}, and this one {_listed(two)}"


def _accepts(new: Tensor, old: Tensor) -> bool:
    """Returns whether an input accepts all that the old one accepted."""
    return _is_like(new, old) and all(
        size is None or before is not None for size, before in zip(new.shape, old.shape, strict=True)
    )


def _is_like(new: Tensor, old: Tensor) -> bool:
    """Returns whether a tensor can have the type and shape of another."""
    return (new.dtype, len(new.shape)) == (old.dtype, len(old.shape)) and all(
        None in pair or pair[0] == pair[1] for pair in zip(new.shape, old.shape, strict=True)
    )


def _shape(images: Format | None) -> tuple[int, int, int] | None:
    return None if images is None else images.shape


def _images(images: Format | None) -> str:
    return "no batches of images" if images is None else f"images of {'×'.join(map(str, images.shape))}"


def _listed(tensors: Tensors) -> str:
    return ", ".join(f"{one.name} {one.dtype} [{_sizes(one.shape)}]" for one in tensors.values())


def _sizes(shape: Sequence[int | None]) -> str:
    return ", ".join("n" if size is None else str(size) for size in shape)
