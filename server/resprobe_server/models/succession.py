"""Which version may join those of a model: one that takes the same inputs and knows the same classes.

Callers who name no version get the highest one, and must not be answered by another kind of net without a word.
"""

from collections.abc import Mapping, Sequence

from resprobe_server.execution.session import Tensor
from resprobe_server.images.decode import Format
from resprobe_server.models.version import Version

SHOWN = 3  # classes in a reason
Tensors = Mapping[str, Tensor]


class Incompatible(Exception):
    """A version is of another kind than those of its name; the text says in what."""


def check(version: Version, served: Mapping[int, Version]) -> None:
    """Compares a version with the one that callers get who name none.

    Args:
        version: That is to join them.
        served: Versions of the same model, by number.

    Raises:
        Incompatible: What was asked so far would not be answered, or would mean something else.
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
    """In what the inputs differ; empty if what fits the one fits the other."""
    if current.format != new.format:
        return f"takes {_images(current.format)}, and this one {_images(new.format)}"
    one, two = current.inputs, new.inputs
    if one.keys() == two.keys() and all(_takes(two[name], one[name]) for name in one):
        return ""
    return f"takes {_listed(one)}, and this one {_listed(two)}"


def _outputs(current: Version, new: Version) -> str:
    """In what the classes or the outputs differ; empty if answers mean the same."""
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


def _takes(new: Tensor, old: Tensor) -> bool:
    """Whether an input takes all that another took."""
    return _is_like(new, old) and all(
        size is None or before is not None for size, before in zip(new.shape, old.shape, strict=True)
    )


def _is_like(new: Tensor, old: Tensor) -> bool:
    """Whether a tensor can have the type and shape of another."""
    return (new.dtype, len(new.shape)) == (old.dtype, len(old.shape)) and all(
        None in pair or pair[0] == pair[1] for pair in zip(new.shape, old.shape, strict=True)
    )


def _images(images: Format | None) -> str:
    return "no batches of images" if images is None else f"images of {'×'.join(map(str, images.shape))}"


def _listed(tensors: Tensors) -> str:
    return ", ".join(f"{one.name} {one.dtype} [{_sizes(one.shape)}]" for one in tensors.values())


def _sizes(shape: Sequence[int | None]) -> str:
    return ", ".join("n" if size is None else str(size) for size in shape)
