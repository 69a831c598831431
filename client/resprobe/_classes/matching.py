"""Matches the classes of a data set with those of a model: by name, in the one place that decides it.

A data set may hold some of the model's classes, in any order. First the exact name is searched; if the model does not
have it, case, spaces, `_` and `-`, and zeros before a number are ignored. Where one side has numbers instead of names,
its order counts, and a note says so: class 3 of a data set whose classes are numbers is the model's class 3, and the
classes of a data set are those of a model without names, one for one, if there are equally many. WordNet ids, as
folders of ImageNet have, stand for ImageNet's names, and in a model of 1,000 numbers for their places.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe._classes import imagenet
from resprobe.errors import InvalidRequest

SHOWN = 5  # names in an error


@dataclass(frozen=True, eq=False)
class Match:
    """Classes of a data set among those of a model.

    Attributes:
        indices: Index of each class of the data set among the model's classes, int64 [k].
        note: Sentence on how they were matched. Empty if their names are equal.
    """

    indices: npt.NDArray[np.int64]
    note: str = ""


def match(data: Sequence[str], model: Sequence[str], whose: str = "the data set", of: str = "the model") -> Match:
    """Finds the classes of a data set, or of a second model, among those of a model, by the rule of this module.

    Args:
        data: Names of the classes to find.
        model: Names of the model's classes, in the order of its outputs.
        whose: Owner of the classes to find, for errors.
        of: Owner of the classes that they are found among, for errors.

    Raises:
        InvalidRequest: The model has no such class, or more than one could be meant, or one is meant twice.
    """
    if tuple(data) == tuple(model):
        return Match(np.arange(len(data)))
    if repeated := _repeated(data):
        raise InvalidRequest(f"{whose} names the class {repeated[0]!r} more than once; expected each class once")
    found = [_places(name, model) for name in data]
    if all(found):
        return _named(data, model, found, whose, of)
    if imagenet.are_wordnet_ids(data) and (len(model) == len(imagenet.names()) or not all(map(_is_number, model))):
        return _by_wordnet_id(data, model, whose, of)
    if all(map(_is_number, data)) and not all(map(_is_number, model)):
        return _numbered(data, model, whose, of)
    if all(map(_is_number, model)) and not any(map(_is_number, data)):
        return _in_order(data, model, whose, of)
    raise InvalidRequest(_missing([name for name, places in zip(data, found, strict=True) if not places], model, of))


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Returns the names that are most similar to this one, maximum three, the most similar first."""
    by_key = {_key(one): one for one in names}
    return [by_key[key] for key in difflib.get_close_matches(_key(name), by_key, n=3, cutoff=0.5)]


def _places(name: str, model: Sequence[str]) -> list[int]:
    exact = [place for place, one in enumerate(model) if one == name]
    return exact or [place for place, one in enumerate(model) if _key(one) == _key(name)]


def _key(name: str) -> str:
    words = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
    return str(int(words)) if _is_number(words) else words


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if list(names).count(name) > 1})


def _named(data: Sequence[str], model: Sequence[str], found: list[list[int]], whose: str, of: str) -> Match:
    for name, places in zip(data, found, strict=True):
        if len(places) > 1:
            which = ", ".join(f"{model[place]!r} (number {place})" for place in places[:SHOWN])
            raise InvalidRequest(f"class {name!r} of {whose} could be any of {of}'s classes {which}")
    indices = np.array([places[0] for places in found], np.int64)
    _check_once(data, indices, model, whose, of)
    changed = [name for name, place in zip(data, indices, strict=True) if model[place] != name]
    pairs = ", ".join(f"{name!r} is {model[indices[list(data).index(name)]]!r}" for name in changed[:SHOWN])
    return Match(indices, f"classes were matched without regard to case, spaces, _ and -: {pairs}" if changed else "")


def _by_wordnet_id(data: Sequence[str], model: Sequence[str], whose: str, of: str) -> Match:
    known = imagenet.names()
    if unknown := [name for name in data if name not in known]:
        raise InvalidRequest(
            f"{whose} has the class {unknown[0]!r}, a WordNet id that none of ImageNet's 1,000 classes has, nor any of "
            f"{of}'s; give that folder the name of a class"
        )
    if all(map(_is_number, model)) and len(model) == len(known):
        places = {name: place for place, name in enumerate(known)}
        note = f"{of}'s 1,000 classes have no names; they were taken for ImageNet's, whose WordNet ids {whose} has"
        return Match(np.array([places[name] for name in data], np.int64), note)
    found = match([known[name] for name in data], model, whose, of)
    note = f"WordNet ids of {whose} stand for ImageNet's classes: {data[0]} is {known[data[0]]!r}"
    return Match(found.indices, "; ".join(filter(None, (note, found.note))))


def _numbered(data: Sequence[str], model: Sequence[str], whose: str, of: str) -> Match:
    indices = np.array([int(name) for name in data], np.int64)
    if (wrong := np.flatnonzero(indices >= len(model))).size and len(model):
        raise InvalidRequest(
            f"{of} has {len(model)} classes, numbers 0 to {len(model) - 1}, and {whose} has a class {data[wrong[0]]!r}"
        )
    _check_once(data, indices, model, whose, of)
    return Match(indices, f"the classes of {whose} are numbers, which count as places among {of}'s classes")


def _in_order(data: Sequence[str], model: Sequence[str], whose: str, of: str) -> Match:
    if model and len(data) != len(model):
        raise InvalidRequest(
            f"{of}'s {len(model)} classes have numbers instead of names, so the {len(data)} classes of {whose} cannot "
            f"be found among them; expected {len(model)} classes, in {of}'s order, or such numbers as names"
        )
    note = f"{of}'s classes have no names; those of {whose} keep their order: {data[0]!r} is number 0, and so on"
    return Match(np.arange(len(data)), note)


def _check_once(data: Sequence[str], indices: npt.NDArray[np.int64], model: Sequence[str], whose: str, of: str) -> None:
    for place, index in enumerate(indices):
        first = int(np.flatnonzero(indices == index)[0])
        if first != place:
            what = model[index] if index < len(model) else str(index)
            raise InvalidRequest(
                f"classes {data[first]!r} and {data[place]!r} of {whose} would both be {of}'s class {what!r}"
            )


def _missing(names: Sequence[str], model: Sequence[str], of: str) -> str:
    parts = []
    for name in names[:SHOWN]:
        near = nearest(name, model)
        parts.append(f"{name!r}" + (f" (nearest: {', '.join(map(repr, near))})" if near else ""))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    some = ", ".join(map(repr, model[:SHOWN])) + (" …" if len(model) > SHOWN else "")
    return f"{of} has no class {', '.join(parts)}{more}; its classes are {some}"
