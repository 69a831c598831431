"""Reads the configuration: flags override the environment, the environment overrides a file, a file the defaults.

The names follow from the fields of Config: a field `max_batch` is the flag --max-batch, the key `max_batch` of a TOML
file and the environment variable RESPROBE_SERVER_MAX_BATCH.

pydantic-settings is not used: it ignores misspelled variables, names the field of a wrong value but not its file or
variable, and its import adds three quarters to that of this module.
"""

import argparse
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from resprobe.errors import Error

from resprobe_server.config import Config

PREFIX = "RESPROBE_SERVER_"
FILE = "config"  # option --config and variable RESPROBE_SERVER_CONFIG
# Variables that Kubernetes sets for a service that happens to be called resprobe-server.
KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?")
KINDS = get_type_hints(Config)
PARSERS: dict[Any, Callable[[str], object]] = {int: int, float: float, bool: {"true": True, "false": False}.__getitem__}
EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Reads the environment and the file: the defaults of the flags.

    Args:
        arguments: Arguments of the command line, of which only --config is read.
        environment: Environment variables by name.

    Returns:
        Values by the name of the field, of its type; fields that neither source sets are left out.

    Raises:
        Error: The file cannot be read, a key is unknown, or a value is not of the field's type. The text names the
            source, the key, and what would be right.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{FILE}", nargs="?", default=environment.get(PREFIX + FILE.upper()))
    path = parser.parse_known_args(arguments)[0].config
    return ({} if path is None else _file(Path(path))) | _environment(environment)


def to_toml(config: Config) -> str:
    """Returns a configuration as a file for --config. A field that is None is left out: TOML has no such value."""
    import tomli_w

    values = {field.name: getattr(config, field.name) for field in fields(Config)}
    return tomli_w.dumps({name: _plain(value) for name, value in values.items() if value is not None})


def from_toml(text: str) -> Config:
    """Returns the configuration that `to_toml` has written."""
    return Config(**_values(tomllib.loads(text), "the configuration"))


def _file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Error(f"--config {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Error(f"--config {path} is not TOML: {error}") from error
    return _values(content, str(path))


def _values(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {key: _value(key, value, f"{source}: {key}", str) for key, value in content.items()}


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable, text in environment.items():
        key = variable.removeprefix(PREFIX)
        if key == variable or key == FILE.upper() or (key.lower() not in KINDS and KUBERNETES.fullmatch(key)):
            continue
        name = key.lower()
        kind = KINDS.get(name, str)
        values[name] = _value(name, _parse(kind, text), f"environment: {variable}", lambda one: PREFIX + one.upper())
    return values


def _value(name: str, value: object, where: str, spell: Callable[[str], str]) -> Any:
    """Converts a value to the type of its field. `where` names its source; `spell` writes a field's name as it does."""
    if name not in KINDS:
        close = difflib.get_close_matches(name, KINDS, 1)
        hint = f"did you mean {spell(close[0])}?" if close else f"known are {', '.join(map(spell, KINDS))}"
        raise Error(f"{where} is not known; {hint}")
    try:
        return _convert(KINDS[name], value)
    except TypeError as error:
        raise Error(f"{where} is {value!r}; expected {_expected(KINDS[name])}") from error


def _convert(kind: Any, value: object) -> Any:
    """Converts a value of TOML to the type of a field. Raises TypeError if it cannot be converted."""
    kind = _without_none(kind)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_convert(get_args(kind)[0], one) for one in value)
    if get_origin(kind) is Literal:
        fits = value in get_args(kind)
    elif kind is Path:
        fits = type(value) is str
    elif kind is float:
        fits = type(value) in (int, float)
    else:
        fits = type(value) is kind
    if not fits:
        raise TypeError(kind)
    return kind(value) if kind in (Path, float) else value


def _parse(kind: Any, text: str) -> object:
    """Parses an environment variable to a value as TOML has it; lists are written with commas."""
    kind = _without_none(kind)
    if get_origin(kind) is tuple:
        return [_parse(get_args(kind)[0], one.strip()) for one in text.split(",") if one.strip()]
    try:
        return PARSERS[kind](text.strip()) if kind in PARSERS else text
    except (ValueError, KeyError):
        return text


def _expected(kind: Any) -> str:
    kind = _without_none(kind)
    if get_origin(kind) is tuple:
        return f"a list of {_expected(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return EXPECTED[kind]


def _without_none(kind: Any) -> Any:
    """Returns T for a type `T | None`, and other types as they are."""
    return next(one for one in get_args(kind) if one is not NoneType) if NoneType in get_args(kind) else kind


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
