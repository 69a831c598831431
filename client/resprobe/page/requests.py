"""What browsers ask about a picture: checked before a server is asked."""

import json
import math
from dataclasses import dataclass
from typing import get_args

from resprobe._results.inspection import View
from resprobe.errors import InvalidRequest

BLOCKS = 10_000  # maximum factors in a request
TOP_K = 5


@dataclass(frozen=True)
class Question:
    """Question about one picture.

    Attributes:
        picture: Key of the picture.
        model: Name of the model.
        version: Version of the model.
        scale: Factor on the branch of each block. If None, all are intact.
        top_k: Number of classes to answer with.
        block: Block whose maps and channels are asked for.
        views: What is asked for of the inside of the net: maps, channels, readouts or cam.
    """

    picture: str
    model: str
    version: str
    scale: tuple[float, ...] | None = None
    top_k: int = TOP_K
    block: str = ""
    views: tuple[View, ...] = ()


def read_question(body: bytes) -> Question:
    """Reads a question from JSON. Raises InvalidRequest if it is not one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise InvalidRequest("the request is not a JSON object; expected picture, model, version, scale, top_k")
    top_k = found.get("top_k", TOP_K)
    if not isinstance(top_k, int) or isinstance(top_k, bool):
        raise InvalidRequest("top_k is not a whole number; expected at least 1")
    return Question(
        picture=_text(found, "picture"),
        model=_text(found, "model"),
        version=_text(found, "version"),
        scale=_scale(found.get("scale")),
        top_k=top_k,
        block=_text(found, "block"),
        views=_views(found.get("views", [])),
    )


def _text(found: dict[str, object], name: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is not text")
    return value


def _views(value: object) -> tuple[View, ...]:
    known = get_args(View)
    if not isinstance(value, list) or not all(one in known for one in value):
        raise InvalidRequest(f"views is not a list of views; expected some of {', '.join(known)}")
    return tuple(one for one in known if one in value)


def _scale(value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > BLOCKS:
        raise InvalidRequest("scale is not a list of numbers; expected one factor for each block")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value):
        raise InvalidRequest("scale has something that is not a finite number; expected one factor for each block")
    return tuple(value)
