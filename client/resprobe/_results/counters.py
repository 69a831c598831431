"""Counters of served versions: what a server has done since it loaded them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counters:
    """Work of one version since it was loaded, lesions included; rates are differences of two of these.

    Attributes:
        model: Name of the model.
        version: Version of the model.
        images: Number of images that were run.
        requests: Number of requests that were answered.
        failed: Number of requests that were not: refused because a queue was full, expired, or failed.
        queue: Seconds that all requests together waited before their first batch started.
        seconds: Seconds from arrival to end of all requests together that were answered.
    """

    model: str
    version: str
    images: int
    requests: int
    failed: int
    queue: float
    seconds: float
