"""`resprobe promote`."""

from dataclasses import asdict, dataclass

import tyro

from resprobe.cli.options import Connected, console


@dataclass(frozen=True, kw_only=True)
class Promote(Connected):
    """Make the candidate of a model its default version.

    It holds until the server is started again: then its options decide, so remove --shadow and --split there.

    Examples:
      resprobe promote resnet20
    """

    model: tyro.conf.Positional[str]
    """Name of the model."""

    def run(self) -> None:
        """Asks the server and prints the versions."""
        with self.client() as client:
            moved = client.rollout.promote(self.model)
        if self.json:
            self.show({"model": self.model, **asdict(moved)})
        else:
            now, before = moved.version, moved.previous_version
            console.print(f"{self.model}: version {now} serves, and no longer version {before}", markup=False)
