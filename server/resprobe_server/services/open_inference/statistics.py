"""Triton's statistics of a version, from the counters of its graphs."""

from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import EXITS, INSPECT, LEAN, PROBE

from resprobe_server.models.version import Version


def statistics(version: Version) -> pb.ModelStatistics:
    """Returns the counters of a version since it was loaded, added up over its graphs.

    The time of a request is that of its batch: compute_input to gather the rows of all its requests, compute_infer to
    run, compute_output to hand the rows back. For a request that was split, its last batch counts. Refused and expired
    requests count as failed.
    """
    files = (LEAN, PROBE) if version.is_lesioned else (LEAN, PROBE, INSPECT, EXITS[0])  # a graph is counted once
    batchers = [version.batchers[file] for file in files if file in version.batchers]
    counters = [batcher.counters for batcher in batchers]
    served, waited = sum(one.served for one in counters), sum(one.queue.sum for one in counters)
    in_all = sum(one.served_seconds for one in counters)
    unanswered = sum(one.failed + one.refused + one.expired for one in counters)
    stages = [_duration(served, sum(one.stages[at] for one in counters)) for at in range(3)]
    return pb.ModelStatistics(
        name=version.description.name,
        version=version.description.version,
        last_inference=int(max(one.last for one in counters) * 1000),
        inference_count=sum(one.images for one in counters),
        execution_count=sum(one.batches for one in counters),
        inference_stats=pb.InferStatistics(
            success=_duration(served, in_all),
            fail=_duration(unanswered, sum(one.failed_seconds for one in counters)),
            queue=_duration(sum(one.queue.count for one in counters), waited),
            compute_input=stages[0],
            compute_infer=stages[1],
            compute_output=stages[2],
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=size,
                compute_input=_duration(count, sum(one.size_seconds[0][size] for one in counters)),
                compute_infer=_duration(count, sum(one.size_seconds[1][size] for one in counters)),
                compute_output=_duration(count, sum(one.size_seconds[2][size] for one in counters)),
            )
            for size, count in enumerate(map(sum, zip(*(one.sizes for one in counters), strict=True)))
            if count
        ],
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=int(seconds * 1e9))
