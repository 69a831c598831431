"""Finds the weights of nets in files that training programs save, and chooses those of one net.

They are under keys such as `state_dict` and `model_ema`, and their names have prefixes such as `module.` and `model.`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resprobe_exporter.errors import CheckpointError

COUNTERS = ("num_batches_tracked", "n_averaged")  # of batch norms and averages; not used after training
WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})  # torch's own
# Beginning of a parameter's name, in our spelling or in others'.
ROOT = re.compile(r"(?:^|(?<=\.))(?:(?:layer|stage)\d+|stages\.\d+\.blocks|stem|conv1|bn1?|linear|fc)\.")
_BLOCK = re.compile(r"(?:(?:layer|stage)\d+|stages\.\d+\.blocks)\.")
_AVERAGED = re.compile(r"(?:^|[^a-z])(?:ema|swa|averaged?|avg|shadow)(?:$|[^a-z])", re.IGNORECASE)
_SKIPPED = re.compile(r"(?:optim|sched|scaler|grad)", re.IGNORECASE)  # keys of tensors that are not weights


@dataclass(frozen=True, eq=False)
class State:
    """The weights of one net in a file.

    Attributes:
        name: Keys that lead to the weights, and the prefix of their names: state_dict.ema_model. If empty, the file
            holds nothing else.
        averaged: Whether they are an average over training (EMA, SWA), by their name or by a counter beside them.
        tensors: Weights by their keys in the file, without counters.
        prefix: Prefix of the keys, which is not part of the net's names.
        left_out: Keys of tensors beside them that belong to no net.
    """

    name: str
    averaged: bool
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Returns name and kind: state_dict_ema (EMA)."""
        return f"{self.name or 'all of the file'} ({'EMA' if self.averaged else 'raw'})"


def find(content: object) -> list[State]:
    """Finds the states in a file's content, in its order; all of tensors, if no names are like those of our nets."""
    mappings = list(_mappings(content, ()))
    found = [state for path, mapping in mappings for state in _states(path, mapping)]
    if found:
        return found
    return [_state(path, mapping, "", ()) for path, mapping in mappings if any(_weights(mapping))]


def choose(states: Sequence[State], wanted: str | None, path: Path) -> State:
    """Chooses the state to use.

    Args:
        states: States that `find` found.
        wanted: `ema`, `raw`, a name or words of a name. If None, there must be only one state.
        path: Path of the file, for the error.

    Raises:
        CheckpointError: There is no state, or not exactly one that is wanted; the text lists them.
    """
    if not states:
        raise CheckpointError(f"{path} holds no state dict: expected tensors by name, or such a dict in `state_dict`")
    chosen = list(states) if wanted is None else _wanted(states, wanted)
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(map(str, states))
    if wanted is None:
        raise CheckpointError(
            f"{path} holds the weights of several nets: {listed}; choose by --weights ema, raw or KEY"
        )
    many = f"means {len(chosen)} of" if chosen else "is none of"
    raise CheckpointError(f"--weights {wanted} {many} the weights in {path}: {listed}")


def _wanted(states: Sequence[State], wanted: str) -> list[State]:
    if exact := [state for state in states if state.name == wanted]:
        return exact
    if wanted in ("ema", "raw"):
        return [state for state in states if state.averaged == (wanted == "ema")]
    return [state for state in states if f".{wanted}." in f".{state.name}."]


def _mappings(content: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, object]]]:
    """Yields all mappings in a content with the keys that lead to them, except those of optimisers."""
    items: Iterator[tuple[object, object]] = iter(())
    if isinstance(content, Mapping):
        yield path, {key: value for key, value in content.items() if isinstance(key, str)}
        items = iter(content.items())
    elif isinstance(content, list | tuple):
        items = iter(enumerate(content))
    for key, value in items:
        if not isinstance(value, Tensor) and not _SKIPPED.match(str(key)):
            yield from _mappings(value, (*path, str(key)))


def _weights(mapping: Mapping[str, object]) -> list[str]:
    return [key for key, value in mapping.items() if isinstance(value, Tensor) and not key.endswith(COUNTERS)]


def _states(path: tuple[str, ...], mapping: Mapping[str, object]) -> list[State]:
    """Returns the states in one mapping: one for each prefix of names that are like those of our nets."""
    prefixes: dict[str, None] = {}
    for key in _weights(mapping):
        root = ROOT.search(key)
        if root and (_BLOCK.match(key, root.start()) or key[root.start() :].startswith("conv1.")):
            prefixes[key[: root.start()]] = None
    return [_state(path, mapping, prefix, tuple(prefixes)) for prefix in prefixes]


def _state(path: tuple[str, ...], mapping: Mapping[str, object], prefix: str, prefixes: Sequence[str]) -> State:
    """Returns the state of one of the prefixes; a key belongs to the longest prefix that it begins with."""
    own: dict[str, Tensor] = {}
    left: list[str] = []
    for key in _weights(mapping):
        owner = max((one for one in (*prefixes, prefix) if key.startswith(one)), key=len, default=None)
        if owner == prefix:
            own[key] = mapping[key]  # type: ignore[assignment]  # _weights gives tensors only
        elif owner is None:
            left.append(key)
    words = [word for word in prefix.split(".") if word and word not in WRAPPERS]
    counted = any(key.endswith("n_averaged") and prefix.startswith(key.removesuffix("n_averaged")) for key in mapping)
    averaged = counted or any(_AVERAGED.search(word) for word in (*path, *words))
    return State(".".join((*path, *words)), averaged, own, prefix, tuple(left))
