"""Notes on pictures that were resized: which ones, and from what size."""

from collections.abc import Sequence

from resprobe._pictures.images import Size
from resprobe._results.model import Model

SHOWN = 10  # pictures that are named in one note


def notes(sources: Sequence[str], sizes: Sequence[Size | None], model: Model) -> tuple[str, ...]:
    """Returns a sentence on the pictures that were resized; none if no picture was.

    Args:
        sources: Name of each picture.
        sizes: Height and width of each picture before it was resized, as in Result.resized_from.
        model: Description of the model that they were resized for.
    """
    found = [(source, size) for source, size in zip(sources, sizes, strict=True) if size is not None]
    if not found:
        return ()
    to, (first, before) = f"{_times((model.height, model.width))} (height × width)", found[0]
    if model.preprocessing is not None:
        to += f": {model.preprocessing.describe(model.height, model.width)}"
    if len(sources) == 1:
        return (f"{first} was resized from {_times(before)} to {to}",)
    if len(found) == len(sources) and {size for _, size in found} == {before}:
        return (f"all {len(sources):,} pictures were resized from {_times(before)} to {to}",)
    names = ", ".join(f"{source} from {_times(size)}" for source, size in found[:SHOWN])
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return (
        f"{len(found):,} of {len(sources):,} pictures were resized to {to}{';' if ':' in to else ':'} {names}{more}",
    )


def _times(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
