"""`resprobe shadow`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import tyro

from resprobe._results.shadow import Shadow as Found
from resprobe.analysis import promotion
from resprobe.cli import tables
from resprobe.cli.options import Connected, console
from resprobe.errors import InvalidRequest

SHOWN = 10  # blocks, and pairs of classes
CODES = {"holds": 0, "broken": 1, "undecided": 2}


@dataclass(frozen=True, kw_only=True)
class Shadow(Connected):
    """Compare the candidate of a model with the version that serves, on live images; or set the candidate.

    A candidate is a version that is not the default. It runs on a share of the images after they were answered, when
    the server has time, and its answers are dropped; or it answers a share of the requests.

    Rules for --promote-if: agreement>=0.99 (share of the images with the same class), images>=1000, failed<=0,
    moved<=0.1 (no block's ratio by more than a tenth) and slower<=1.2. Agreement and blocks are judged by their 95 %
    intervals.

    Exit code: 0 all rules hold, or none was given; 1 a rule is broken; 2 more images must decide, or a failure.

    Examples:
      resprobe shadow resnet20 --candidate 2 --share 0.1
      resprobe shadow resnet20
      resprobe shadow resnet20 --promote-if 'agreement>=0.99' 'moved<=0.1' 'images>=1000' && resprobe promote resnet20
      resprobe shadow resnet20 --candidate 2 --share 0.1 --split 0.05
    """

    FAILED: ClassVar[int] = 2

    model: tyro.conf.Positional[str]
    """Name of the model."""
    candidate: str = ""
    """Version to make the candidate, which then is not the default; it may be published later."""
    share: float | None = None
    """Share of the images, from 0 to 1, that the candidate runs on after they were answered. Needs --candidate."""
    split: float | None = None
    """Share of the requests, from 0 to 1, that the candidate answers, chosen by the hash of their ids. Needs
    --candidate."""
    promote_if: tuple[str, ...] = ()
    """Rules for a promotion, such as 'agreement>=0.99'; the verdict on them is printed and decides the exit code."""

    def run(self) -> None:
        """Asks the server, prints, and exits with the verdict."""
        rules = promotion.read(self.promote_if)
        if not self.candidate and (self.share is not None or self.split is not None):
            raise InvalidRequest("--share and --split belong to a version: expected --candidate VERSION with them")
        with self.client() as client:
            if self.candidate:
                shares = {"share": self.share or 0.0, "split": self.split or 0.0}
                found = client.rollout.set(self.model, self.candidate, **shares)
            else:
                found = client.rollout.shadow(self.model)
        judged = promotion.judge(found, rules)
        verdict = promotion.verdict(judged)
        if self.json:
            rows = [{"rule": str(one.rule), "outcome": one.outcome, "found": one.found} for one in judged]
            self.show({**_json(found), "rules": rows, "verdict": verdict if rules else None})
        else:
            _print(found)
            _print_rules(judged, verdict)
        sys.stdout.flush()  # output that cannot be written is no verdict
        raise SystemExit(CODES[verdict])


def _json(found: Found) -> dict[str, object]:
    blocks = [{key: tables.number(value) for key, value in asdict(one).items()} for one in found.blocks]
    agreement = {"agreement": tables.number(found.agreement), "agreement_interval": list(found.agreement_interval)}
    return {**asdict(found), **agreement, "blocks": blocks}


def _print(found: Found) -> None:
    console.print(
        f"{found.model} version {found.version} against {found.current_version or 'none'}, on {found.share:.2%} of the "
        f"images and for {found.split:.2%} of the requests",
        markup=False,
    )
    if found.reason:
        console.print(f"not compared: {found.reason}", markup=False)
    if found.failed:
        console.print(f"{found.failed:,} images failed, the last with: {found.failure}", markup=False)
    if not found.images:
        return
    low, high = found.agreement_interval
    console.print(
        f"{found.images:,} images compared, {found.dropped:,} dropped: the same class for {found.agreement:.2%} "
        f"({low:.2%} to {high:.2%}); {found.seconds * 1e3:.2f} ms an image, and {found.current_seconds * 1e3:.2f} ms "
        "with the current version"
    )
    if found.changes:
        grid = tables.grid("class", "candidate's", "images", left=2)
        for change in found.changes[:SHOWN]:
            grid.add_row(change.current, change.candidate, f"{change.images:,}")
        console.print(grid)
    if found.blocks:
        grid = tables.grid("block", "ratio", "candidate's", "factor", "95 %", "interval")
        for block in sorted(found.blocks, key=lambda one: -max(one.factor, 1 / one.factor if one.factor else 0))[
            :SHOWN
        ]:
            numbers = (block.current, block.candidate, block.factor, block.lower, block.upper)
            grid.add_row(block.name, *(f"{number:.3f}" for number in numbers))
        console.print(grid)


def _print_rules(judged: Sequence[promotion.Judged], verdict: promotion.Outcome) -> None:
    for one in judged:
        console.print(f"{one.rule}: {one.outcome}, {one.found}", markup=False)
    if judged:
        texts = {"holds": "promote it", "broken": "do not promote it", "undecided": "not decided yet: more images"}
        console.print(f"verdict: {texts[verdict]}")
