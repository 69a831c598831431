"""Options of sweeps on a Ray cluster. Ray itself is not imported here."""

from dataclasses import dataclass
from pathlib import Path

from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Ray:
    """Ray cluster that asks a server, or several, about many images.

    Each machine needs this version of resprobe with the extra `ray`, and must reach the client's address and, at the
    same paths, picture files and files of certificates.

    Attributes:
        address: HOST:PORT of the cluster's head, ray://HOST:PORT or "auto". If None, the cluster that this process is
            connected to; else that of the environment variable RAY_ADDRESS; else one on this machine, which ends with
            the sweep.
        actors: Maximum actors, each with a CPU and a client of its own. Those of a cluster with fewer CPUs are fewer.
        parts: Directory that keeps the answers for each part of the images until the sweep is done, so that the same
            sweep goes on where it ended. It is left there. If None, an ended sweep begins anew.
    """

    address: str | None = None
    actors: int = 4
    parts: Path | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequest if there are no actors."""
        if self.actors < 1:
            raise InvalidRequest(f"actors is {self.actors}; expected at least 1")
