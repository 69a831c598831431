"""What `import resprobe` offers, imported when something of it is first used; see __init__.py."""

from resprobe import analysis
from resprobe.async_client import AsyncClient
from resprobe.baseline import Drift, drift
from resprobe.client import Client
from resprobe.comparison import Comparison, compare
from resprobe.errors import (
    DatasetError,
    DeadlineExceeded,
    Error,
    InvalidImage,
    InvalidRequest,
    ModelNotFound,
    RequestTooLarge,
    ServerBusy,
    ServerError,
    ServerUnavailable,
    StatisticsUnavailable,
    Unauthorized,
)
from resprobe.frame import Frame
from resprobe.lesions import Lesions
from resprobe.result import Baseline, Block, Model, Result, Timings
from resprobe.statistics import BlockStatistics

__all__ = [
    "AsyncClient",
    "Baseline",
    "Block",
    "BlockStatistics",
    "Client",
    "Comparison",
    "DatasetError",
    "DeadlineExceeded",
    "Drift",
    "Error",
    "Frame",
    "InvalidImage",
    "InvalidRequest",
    "Lesions",
    "Model",
    "ModelNotFound",
    "RequestTooLarge",
    "Result",
    "ServerBusy",
    "ServerError",
    "ServerUnavailable",
    "StatisticsUnavailable",
    "Timings",
    "Unauthorized",
    "analysis",
    "compare",
    "drift",
]
