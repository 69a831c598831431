"""`resprobe rollback`."""

from dataclasses import asdict, dataclass

import tyro

from resprobe.cli.options import Connected, console


@dataclass(frozen=True, kw_only=True)
class Rollback(Connected):
    """Make the version of a model the default again that was it before the last promotion.

    It holds until the server is started again, and newer versions do not become the default meanwhile. To make it last,
    remove the other version from the repository.

    Examples:
      resprobe rollback resnet20
    """

    model: tyro.conf.Positional[str]
    """Name of the model."""

    def run(self) -> None:
        """Asks the server and prints the versions."""
        with self.client() as client:
            moved = client.rollout.rollback(self.model)
        if self.json:
            self.show({"model": self.model, **asdict(moved)})
        else:
            now, before = moved.version, moved.previous_version
            console.print(f"{self.model}: version {now} serves again, and no longer version {before}", markup=False)
