"""Where pictures left the net early, in words."""

from resprobe._results.model import Model
from resprobe._results.result import Result


def left_after(result: Result, model: Model) -> list[str]:
    """Returns the name of the block after which each picture left; nothing if no early exit was requested."""
    return [] if result.exits is None else [model.blocks[place].name for place in result.exits.tolist()]


def notes(result: Result, model: Model) -> list[str]:
    """Returns a sentence on how many pictures left after which block; none if no early exit was requested."""
    names = left_after(result, model)
    if not names:
        return []
    counts = ((block.name, names.count(block.name)) for block in model.blocks)
    after = ", ".join(f"{count} after {name}" for name, count in counts if count)
    return [f"pictures left the net: {after}"]
