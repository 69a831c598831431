"""Reads the one field of Triton's config.pbtxt that decides on answers: whether the first axis is a batch.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

import re
from pathlib import Path

CONFIG = "config.pbtxt"  # of all versions of a model
FIELD = "max_batch_size"
# Tokens of protobuf's text format: comments, strings, brackets, names and numbers, and all else.
TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{}\[\]<>]|[-+\w.]+|\S""")
OPENING, CLOSING = frozenset("{[<"), frozenset("}]>")


class InvalidConfig(Exception):
    """The config.pbtxt of a model holds an impossible value; the text names it."""


def max_batch_size(model: Path) -> int | None:
    """Reads the maximum rows of a batch that the operator of a model has configured.

    Args:
        model: Directory of the model.

    Returns:
        Maximum rows. If 0, the first axis is not a batch. If None, there is no config.pbtxt, or it does not say.

    Raises:
        InvalidConfig: The value is not a whole number.
        OSError: The file cannot be read.
    """
    path = model / CONFIG
    if not path.is_file():
        return None
    tokens = [token for token in TOKEN.findall(path.read_text(encoding="utf-8", errors="replace")) if token[0] != "#"]
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token in OPENING) - (token in CLOSING)
        if token == FIELD and not depth:
            return _read(tokens[at + 1 : at + 3])
    return None


def _read(following: list[str]) -> int:
    value = following[1] if following[:1] == [":"] and len(following) > 1 else " ".join(following)
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidConfig(f"{CONFIG} has {FIELD}: {value or 'nothing'}; expected a whole number of at least 0")
    return number
