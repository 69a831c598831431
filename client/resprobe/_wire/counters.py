"""Counters of the Open Inference Protocol: the method to call, and what its response means."""

from collections.abc import Sequence

from resprobe_protos import open_inference_pb2 as pb

from resprobe._results.counters import Counters

METHOD = "/inference.GRPCInferenceService/ModelStatistics"
LESION_SUFFIX = ".lesion"  # the server counts a model's lesion graphs under this name
Request = pb.ModelStatisticsRequest
Response = pb.ModelStatisticsResponse


def read_counters(response: Response) -> list[Counters]:
    """Reads the counters of every version, each with those of its lesion graphs added, in the order of the response."""
    found: dict[tuple[str, str], list[pb.ModelStatistics]] = {}
    names = {one.name for one in response.model_stats}
    for one in response.model_stats:
        whole = one.name.removesuffix(LESION_SUFFIX)
        found.setdefault((whole if whole in names else one.name, one.version), []).append(one)
    return [_sum(name, version, parts) for (name, version), parts in found.items()]


def _sum(name: str, version: str, parts: Sequence[pb.ModelStatistics]) -> Counters:
    return Counters(
        model=name,
        version=version,
        images=sum(part.inference_count for part in parts),
        requests=sum(part.inference_stats.success.count for part in parts),
        failed=sum(part.inference_stats.fail.count for part in parts),
        queue=sum(part.inference_stats.queue.ns for part in parts) / 1e9,
        seconds=sum(part.inference_stats.success.ns for part in parts) / 1e9,
    )
