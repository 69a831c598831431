"""`resprobe models`."""

from dataclasses import dataclass

from resprobe.cli import tables
from resprobe.cli.options import Connected, console


@dataclass(frozen=True)
class Models(Connected):
    """List the models that the server serves; * marks the default version.

    Examples:
      resprobe models
      resprobe models --address gpu-host:50051 --json
    """

    def run(self) -> None:
        """Asks the server and prints its models."""
        with self.client() as client:
            models = client.models()
        if self.json:
            self.show(tables.models_json(models))
        elif not models:
            console.print(f"{self.connection.address} serves no models")
        else:
            console.print(tables.models_table(models))
