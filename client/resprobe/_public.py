"""What `import resprobe` offers, imported when something of it is first used; see __init__.py."""

from resprobe import analysis
from resprobe._async_client import AsyncClient
from resprobe._client import Client
from resprobe._lesions import Lesions
from resprobe._statistics import BlockStatistics
from resprobe._wire.responses import Baseline, Block, Model, Result, Timings
from resprobe.analysis.compare import Comparison, compare
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.drift import Drift, drift
from resprobe.errors import (
    DatasetError,
    DeadlineExceeded,
    Error,
    InvalidImage,
    InvalidRequest,
    MissingPackage,
    ModelNotFound,
    RequestTooLarge,
    ServerBusy,
    ServerError,
    ServerUnavailable,
    StatisticsUnavailable,
    Unauthorized,
)

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
    "MissingPackage",
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
