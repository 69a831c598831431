"""Names that `import resprobe` offers. __init__.py imports this module when the first of them is used."""

from resprobe import analysis
from resprobe._async_client import AsyncClient
from resprobe._client import Client
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe._results.counters import Counters
from resprobe._results.inspection import Channels, Inspection, Maps, Readouts
from resprobe._results.lesions import Lesions
from resprobe._results.model import Baseline, Block, Model, Noise, Quantization, Readout
from resprobe._results.result import Prediction, ProbedPrediction, ProbedResult, Result, Timings
from resprobe._results.shadow import BlockChange, ClassChange, DefaultChange, Shadow
from resprobe._results.statistics import BlockStatistics
from resprobe._wire.health import ServingStatus
from resprobe._wire.rollout import AsyncRollout, Rollout
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
    "AsyncRollout",
    "Baseline",
    "Block",
    "BlockChange",
    "BlockStatistics",
    "Channels",
    "ClassChange",
    "Client",
    "Comparison",
    "Counters",
    "DatasetError",
    "DeadlineExceeded",
    "DefaultChange",
    "Drift",
    "Error",
    "Frame",
    "Inspection",
    "InvalidImage",
    "InvalidRequest",
    "Lesions",
    "Maps",
    "MissingPackage",
    "Model",
    "ModelNotFound",
    "Noise",
    "Prediction",
    "ProbedPrediction",
    "ProbedResult",
    "Quantization",
    "Readout",
    "Readouts",
    "RequestTooLarge",
    "ResizeAndCrop",
    "Result",
    "Rollout",
    "ServerBusy",
    "ServerError",
    "ServerUnavailable",
    "ServingStatus",
    "Shadow",
    "StatisticsUnavailable",
    "Timings",
    "Unauthorized",
    "analysis",
    "compare",
    "drift",
]
