"""Chooses the blocks of a graph by hand: by a regular expression, or by the names in a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.residual import OtherAddition, ResidualAddition

SHOWN = 5  # names in an error


@dataclass(frozen=True)
class Choice:
    """Which additions are blocks.

    Attributes:
        text: As it was given: a file of names, one on each line, or a regular expression.
        names: Names of the file. If None, the text is a regular expression.
    """

    text: str
    names: Sequence[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "Choice":
        """Reads a choice.

        Raises:
            ExporterError: It is neither a file that can be read nor a regular expression.
        """
        path = Path(text)
        try:
            if path.is_file():
                lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
                return cls(text, [line for line in lines if line and not line.startswith("#")])
            re.compile(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ExporterError(f"--blocks {text}: the file cannot be read as text: {error}") from error
        except re.error as error:
            raise ExporterError(
                f"--blocks {text} is not a file, and not a regular expression: {error}; expected one of them"
            ) from error
        return cls(text)

    def select(
        self, found: Sequence[ResidualAddition | OtherAddition], names: Sequence[str], source: str
    ) -> list[ResidualAddition]:
        """Returns the additions that are chosen, in their order.

        Args:
            found: All additions of a graph.
            names: Names of the blocks among them, in their order.
            source: Name of the graph, for errors.

        Raises:
            ExporterError: A name is not that of an addition, none is chosen, or one cannot be a block.
        """
        blocks = iter(names)
        labels = [_labels(one, next(blocks) if isinstance(one, ResidualAddition) else None) for one in found]
        self._check(labels, source)
        return [_block(one) for one, known in zip(found, labels, strict=True) if self._matches(known)]

    def _check(self, labels: Sequence[Sequence[str]], source: str) -> None:
        known = [label for names in labels for label in names]
        missing = [name for name in self.names or () if name not in known]
        if missing or not any(self._matches(names) for names in labels):
            listed = ", ".join([*known[:SHOWN], "…"] if len(known) > SHOWN else known) or "none"
            what = f"{missing[0]!r} of --blocks {self.text}" if missing else f"--blocks {self.text}"
            raise ExporterError(f"{what} names no addition of two tensors in {source}; its additions: {listed}")

    def _matches(self, labels: Sequence[str]) -> bool:
        if self.names is not None:
            return any(label in self.names for label in labels)
        return any(re.search(self.text, label) for label in labels)


def _labels(addition: ResidualAddition | OtherAddition, block: str | None) -> Sequence[str]:
    """Returns the names of an addition: that of its block by the rule, if it is one, and that of its sum."""
    total = str(addition.node.outputs[0].name)
    return (total,) if block is None else (block, total)


def _block(addition: ResidualAddition | OtherAddition) -> ResidualAddition:
    if isinstance(addition, ResidualAddition):
        return addition
    if addition.candidate is None:
        raise ExporterError(
            f"--blocks chooses {addition.node.outputs[0].name}, which cannot be a block: {addition.reason}"
        )
    return addition.candidate
