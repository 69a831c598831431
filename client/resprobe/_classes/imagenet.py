"""The 1,000 classes of ImageNet (ILSVRC 2012): WordNet ids, which name the folders of its pictures, and names."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

FILE = Path(__file__).with_name("imagenet.txt")
WORDNET_ID = re.compile(r"n\d{8}")  # a noun and its place in WordNet 3.0


@cache
def names() -> Mapping[str, str]:
    """Returns the name of each class by its WordNet id, in the order of the outputs of nets trained on ImageNet."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return MappingProxyType(dict(line.split(" ", 1) for line in lines))


def are_wordnet_ids(classes: Iterable[str]) -> bool:
    """Returns whether all names of classes are WordNet ids, such as n01440764."""
    return all(WORDNET_ID.fullmatch(name) for name in classes)
