"""Makes one response of those of several workers, to calls that ask for what each of them has counted."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import rollout_pb2 as pb

from resprobe_server.services.rollout import SHOWN
from resprobe_server.shadowing.comparison import Z

LATEST = "last_inference"
KEYS = "name", "version", "batch_size"  # fields that say what is counted


def statistics(responses: Sequence[oip.ModelStatisticsResponse]) -> oip.ModelStatisticsResponse:
    """Adds up the counters of versions."""
    found: dict[tuple[str, str], list[oip.ModelStatistics]] = defaultdict(list)
    for response in responses:
        for one in response.model_stats:
            found[one.name, one.version].append(one)
    return oip.ModelStatisticsResponse(model_stats=[_statistics(group) for group in found.values()])


def _statistics(group: Sequence[oip.ModelStatistics]) -> oip.ModelStatistics:
    total = oip.ModelStatistics()
    sizes: dict[int, oip.InferBatchStatistics] = {}
    for one in group:
        for batch in one.batch_stats:
            _add(sizes.setdefault(batch.batch_size, oip.InferBatchStatistics()), batch)
        _add(total, one)
    total.batch_stats.extend(batch for _, batch in sorted(sizes.items()))
    return total


def _add(total: Message, more: Message) -> None:
    """Adds the numbers of a message to those of another, but for lists."""
    for field, value in more.ListFields():
        if field.is_repeated:
            continue
        if field.message_type is not None:
            _add(getattr(total, field.name), value)
        elif field.name in KEYS:
            setattr(total, field.name, value)
        else:
            combine: Callable[..., int] = max if field.name == LATEST else lambda one, two: one + two
            setattr(total, field.name, combine(getattr(total, field.name), value))


def shadow(responses: Sequence[pb.GetShadowResponse]) -> pb.GetShadowResponse:
    """Adds up comparisons with the same candidate: as if one worker had seen the images of all."""
    first = responses[0].shadow
    pair = first.version, first.current_version
    group = [one.shadow for one in responses if (one.shadow.version, one.shadow.current_version) == pair]
    made = pb.Shadow()
    made.CopyFrom(first)
    made.failure = next((one.failure for one in group if one.failure), "")
    made.reason = next((one.reason for one in group if one.reason), "")
    for name in ("image_count", "agreement_count", "dropped_count", "failed_count"):
        setattr(made, name, sum(getattr(one, name) for one in group))
    for name in ("current_seconds", "seconds"):
        setattr(made, name, _mean([(getattr(one, name), one.image_count) for one in group]))
    changes: Counter[tuple[str, str]] = Counter()
    for one in group:
        for change in one.changes:
            changes[change.current_label, change.label] += change.image_count
    made.ClearField("changes")
    for (before, after), count in changes.most_common(SHOWN):
        made.changes.add(current_label=before, label=after, image_count=count)
    blocks: dict[str, list[pb.BlockChange]] = defaultdict(list)
    for one in group:
        for block in one.blocks:
            blocks[block.name].append(block)
    made.ClearField("blocks")
    made.blocks.extend(_block(name, found) for name, found in blocks.items())
    return pb.GetShadowResponse(shadow=made)


def _mean(values: Sequence[tuple[float, int]]) -> float:
    """Returns the mean of means, each of so many values; nan values of none count nothing."""
    count = sum(weight for _, weight in values)
    return sum(value * weight for value, weight in values if weight) / count if count else values[0][0]


def _block(name: str, group: Sequence[pb.BlockChange]) -> pb.BlockChange:
    """Pools the change of a block: the logarithm of its factor has a mean, and a variance, which its interval tells."""
    seen = [one for one in group if one.image_count]
    if len(seen) < 2:
        return seen[0] if seen else group[0]
    count = sum(one.image_count for one in seen)
    mean = sum(math.log(one.factor) * one.image_count for one in seen) / count
    squares = 0.0
    for one in seen:
        squares += one.image_count * (math.log(one.factor) - mean) ** 2
        if one.image_count > 1:
            error = math.log(one.factor_upper / one.factor) / Z
            squares += error**2 * one.image_count * (one.image_count - 1)
    half = Z * math.sqrt(squares / (count - 1) / count)
    return pb.BlockChange(
        name=name,
        image_count=count,
        current_ratio=_mean([(one.current_ratio, one.image_count) for one in seen]),
        ratio=_mean([(one.ratio, one.image_count) for one in seen]),
        factor=math.exp(mean),
        factor_lower=math.exp(mean - half),
        factor_upper=math.exp(mean + half),
    )


METHODS: Mapping[str, Callable[[Sequence[Any]], Message]] = {  # by full name
    "inference.GRPCInferenceService/ModelStatistics": statistics,
    "resprobe.v1.RolloutService/GetShadow": shadow,
}
