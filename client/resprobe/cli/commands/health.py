"""`resprobe health`."""

from dataclasses import dataclass

from resprobe.cli.options import Connected, console
from resprobe.errors import ServerUnavailable

TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class Health(Connected):
    """Show whether the server is serving, or one of its models.

    Exit code: 0 if it is serving, 1 if it is not or does not answer within 5 seconds.

    Examples:
      resprobe health
      resprobe health --model resnet110 --json
    """

    model: str = ""
    """NAME or NAME/VERSION of a model. Default: the server as a whole."""

    def run(self) -> None:
        """Asks the server and prints the status."""
        with self.client() as client:
            status = client.health(self.model or None, timeout=TIMEOUT)
        if self.json:
            self.show({"status": str(status)})
        if not status:
            raise ServerUnavailable(f"{self.model or self.connection.address} is {status}")
        if not self.json:
            console.print(str(status))
