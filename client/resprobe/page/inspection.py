"""What the page sends of the inside of a net: maps and channels of one block, readouts, class activation maps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resprobe._results.inspection import Channels, Maps, Readouts
from resprobe._results.result import Result
from resprobe.errors import InvalidRequest
from resprobe.page.answers import Json, number

DIGITS = 4  # significant ones of each number: pictures show no more


def inspection_json(result: Result, block: str) -> Json:
    """Describes the inside for the first image of a result: of one block, and of the whole net.

    Raises:
        InvalidRequest: There is no such block.
    """
    return {
        "block": block,
        "maps": None if result.maps is None else _maps_json(result.maps, block),
        "channels": None if result.channels is None else _channels_json(result.channels, block),
        "readouts": None if result.readouts is None else _readouts_json(result.readouts),
        "cam": None if result.cam is None else _cam_json(result.cam[0], result[0].labels),
    }


def _maps_json(maps: Maps, block: str) -> Json:
    place = _place(maps.names, block)
    branch, shortcut = maps.branch[place][0], maps.shortcut[place][0]
    height, width = branch.shape
    return {"height": height, "width": width, "branch": _numbers(branch), "shortcut": _numbers(shortcut)}


def _channels_json(channels: Channels, block: str) -> Json:
    place = _place(channels.names, block)
    return {"branch": _numbers(channels.branch[place][0]), "shortcut": _numbers(channels.shortcut[place][0])}


def _readouts_json(readouts: Readouts) -> Json:
    best, probabilities = readouts.classes[0], readouts.probabilities[0]
    return {
        "depth": int(readouts.prediction_depth[0]),
        "of": [
            {
                "block": name,
                "head": head,
                "label": readouts.labels[int(best[row])],
                "probability": round(float(probabilities[row, best[row]]), DIGITS),
            }
            for row, (name, head) in enumerate(zip(readouts.names, readouts.heads, strict=True))
        ],
    }


def _cam_json(maps: npt.NDArray[np.float32], labels: Sequence[str]) -> Json:
    return {
        "height": maps.shape[1],
        "width": maps.shape[2],
        "of": [{"label": label, "values": _numbers(values)} for label, values in zip(labels, maps, strict=True)],
    }


def _place(names: Sequence[str], block: str) -> int:
    if block not in names:
        raise InvalidRequest(f"the model has no block {block[:100]!r}")
    return list(names).index(block)


def _numbers(values: npt.NDArray[np.float32]) -> list[float | str]:
    return [number(float(f"{value:.{DIGITS}g}")) for value in values.ravel().tolist()]
