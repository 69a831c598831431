"""Reads what responses say of the inside of a net, by the layout that the model's description gives."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb

from resprobe._results.inspection import Channels, Inspection, Maps, Readouts
from resprobe._results.model import Model
from resprobe.errors import StatisticsUnavailable

Array = npt.NDArray[np.float32]


def read_inspection(results: Sequence[pb.ImageResult], model: Model, parts: Collection[str]) -> Inspection | None:
    """Reads the views of some images. If None, none was asked for.

    Args:
        results: Results of one request.
        model: Description of the version that answered.
        parts: Names of the views that were asked for.

    Raises:
        StatisticsUnavailable: The server is of an earlier version, and has left a view out.
    """
    asked = sorted(set(parts) - {"blocks"})
    if not asked:
        return None
    if missing := [name for name in asked if name not in model.views]:
        raise StatisticsUnavailable(f"model {model.name} is served without {missing[0]}")
    names = [block.name for block in model.blocks]
    sizes = [(block.height, block.width) for block in model.blocks]
    channels = [(block.channels,) for block in model.blocks]
    return Inspection(
        Maps(names, *_read_norms([one.maps for one in results], sizes)) if "maps" in parts else None,
        Channels(names, *_read_norms([one.channels for one in results], channels)) if "channels" in parts else None,
        _read_readouts(results, model) if "readouts" in parts else None,
        _read_cam(results, sizes[-1]) if "cam" in parts else None,
    )


def _read_norms(
    messages: Sequence[pb.BlockNorms], shapes: Sequence[tuple[int, ...]]
) -> tuple[list[Array], list[Array]]:
    """Splits the norms of all blocks into those of each, [n, …]."""
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    branch, shortcut = (
        [part.reshape(len(messages), *shape) for part, shape in zip(np.split(rows, ends, axis=1), shapes, strict=True)]
        for rows in (
            np.array([one.branch for one in messages], np.float32),
            np.array([one.shortcut for one in messages], np.float32),
        )
    )
    return branch, shortcut


def _read_readouts(results: Sequence[pb.ImageResult], model: Model) -> Readouts:
    read = [(place, block, block.readout) for place, block in enumerate(model.blocks) if block.readout is not None]
    scores = np.array([one.readouts for one in results], np.float32)
    return Readouts(
        names=[block.name for _, block, _ in read],
        places=np.array([place for place, *_ in read], np.int64),
        heads=[readout.head for *_, readout in read],
        labels=model.classes,
        scores=scores.reshape(len(results), len(read), len(model.classes)),
    )


def _read_cam(results: Sequence[pb.ImageResult], size: tuple[int, int]) -> Array:
    """Reads the maps of the classes of each result, [n, k, height, width]."""
    rows = np.array([[one.cam for one in result.classes] for result in results], np.float32)
    return rows.reshape(*rows.shape[:2], *size)
