"""Rules of the operator: which version of a model is its candidate, and what share of the traffic it sees."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resprobe_server.errors import InvalidRequest, StartError

FORM = re.compile(r"(?P<model>[^=]+)=(?P<version>[1-9]\d{0,17}):(?P<share>\d*\.?\d+)")


@dataclass(frozen=True)
class Rule:
    """Candidate of a model.

    Attributes:
        model: Name of the model.
        version: Number of the candidate.
        share: Share of the images that it runs on after they were answered, in [0, 1].
        split: Share of the requests that it answers, in [0, 1].

    Raises:
        InvalidRequest: A share is not in [0, 1].
    """

    model: str
    version: int
    share: float = 0.0
    split: float = 0.0

    def __post_init__(self) -> None:
        for name in ("share", "split"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InvalidRequest(f"{name} is {value:g}; expected 0 to 1", name)


def read(shadows: Sequence[str], splits: Sequence[str]) -> list[Rule]:
    """Reads the rules of --shadow and --split, each NAME=VERSION:SHARE; those of one model are joined.

    Raises:
        StartError: A text has another form, a share is not in [0, 1], or a model has two candidates.
    """
    rules: dict[str, Rule] = {}
    for field, texts in (("share", shadows), ("split", splits)):
        option = "--shadow" if field == "share" else "--split"
        for text in texts:
            if (found := FORM.fullmatch(text)) is None:
                raise StartError(f"{option} {text}: expected NAME=VERSION:SHARE, for example resnet20=2:0.1")
            model, version = found["model"], int(found["version"])
            rule = rules.get(model, Rule(model, version))
            if rule.version != version:
                raise StartError(f"{option} {text}: the candidate of {model} is {rule.version} already; expected one")
            share = float(found["share"])
            try:
                rules[model] = replace(rule, share=share) if field == "share" else replace(rule, split=share)
            except InvalidRequest as error:
                raise StartError(f"{option} {text}: {error}") from error
    return list(rules.values())
