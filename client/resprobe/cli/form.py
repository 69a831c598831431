"""How tyro reads a command's dataclass: the order of its options, and what their help shows of defaults."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

EMPTY = ("", "''", "None", "False")  # defaults that help does not show: the option is off, or its text says what holds


def registry() -> ConstructorRegistry:
    """Creates the rules for the dataclasses of commands: own options before inherited ones, no empty defaults."""
    rules, busy = ConstructorRegistry(), [False]

    @rules.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if busy[0] or not dataclasses.is_dataclass(info.type):
            return None
        busy[0] = True  # so that tyro's own rule answers
        try:
            found = ConstructorRegistry.get_struct_spec(info)
        finally:
            busy[0] = False
        if not isinstance(found, StructConstructorSpec):
            return None
        ordered = sorted(found.fields, key=lambda field: _depth(info.type, field.name))
        return dataclasses.replace(found, fields=tuple(map(_field, ordered)))

    return rules


def joined(text: str) -> str:
    """Joins the lines of each paragraph, which are broken for the source and not for the terminal.

    Paragraphs with indented lines, such as examples, stay as they are.
    """
    parts = text.split("\n\n")
    return "\n\n".join(part if "\n " in part else " ".join(part.split()) for part in parts)


def _depth(command: type, name: str) -> int:
    """Returns how many classes stand between a command and the one that declares an option."""
    return next(depth for depth, base in enumerate(command.__mro__) if name in inspect.get_annotations(base))


def _field(field: StructFieldSpec) -> StructFieldSpec:
    shown: Any = Annotated[field.type, tyro.conf.arg(help_behavior_hint=_default)]
    return dataclasses.replace(field, type=shown, helptext=_lazily_joined(field.helptext))


def _default(label: str) -> str:
    return "" if label in EMPTY else f"(default: {label})"


def _lazily_joined(text: str | Callable[[], str | None] | None) -> Callable[[], str | None]:
    def join() -> str | None:
        found = text() if callable(text) else text
        return None if found is None else joined(found)

    return join
