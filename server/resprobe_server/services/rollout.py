"""resprobe.v1.RolloutService: candidates, set, compared, promoted and rolled back."""

from resprobe_protos import rollout_pb2 as pb

from resprobe_server.errors import InvalidRequest
from resprobe_server.models.registry import Models
from resprobe_server.models.repository import is_number
from resprobe_server.models.version import Version
from resprobe_server.rpc.context import CallContext
from resprobe_server.rpc.status import deadline_of
from resprobe_server.shadowing.candidates import Candidates, Standing
from resprobe_server.shadowing.comparison import BlockChanges, Comparison
from resprobe_server.shadowing.rules import Rule

SHOWN = 20  # pairs of classes


class RolloutService:
    """Methods of the service, by their names in rollout.proto."""

    def __init__(self, candidates: Candidates, models: Models) -> None:
        """Creates the service of a server's candidates and models."""
        self._candidates, self._models = candidates, models

    async def GetShadow(self, request: pb.GetShadowRequest, context: CallContext) -> pb.GetShadowResponse:
        """Returns how the candidate of a model compares."""
        return pb.GetShadowResponse(shadow=describe(self._candidates.get(_name(request.model))))

    async def SetShadow(self, request: pb.SetShadowRequest, context: CallContext) -> pb.SetShadowResponse:
        """Makes a version the candidate of its model."""
        model = _name(request.model)
        if not is_number(request.version) or request.version == "0":
            raise InvalidRequest(f"version is {request.version!r}; expected the number of a version", "version")
        rule = Rule(model, int(request.version), request.share, request.split)
        self._candidates.set(rule)  # which keeps the model in memory
        await self._models.on_demand.bring(model, deadline_of(context))
        return pb.SetShadowResponse(shadow=describe(self._candidates.get(model)))

    async def PromoteModel(self, request: pb.PromoteModelRequest, context: CallContext) -> pb.PromoteModelResponse:
        """Makes the candidate the default version."""
        now, before = self._candidates.promote(_name(request.model))
        return pb.PromoteModelResponse(version=str(now), previous_version=str(before))

    async def RollbackModel(self, request: pb.RollbackModelRequest, context: CallContext) -> pb.RollbackModelResponse:
        """Makes the version the default that was it before the last promotion."""
        now, before = self._candidates.rollback(_name(request.model))
        return pb.RollbackModelResponse(version=str(now), previous_version=str(before))


def _name(model: str) -> str:
    if not model:
        raise InvalidRequest("model is empty; expected the name of a model", "model")
    return model


def describe(standing: Standing) -> pb.Shadow:
    """Returns the message about a candidate."""
    rule, shadow = standing.rule, standing.shadow
    made = pb.Shadow(
        model=rule.model,
        version=str(rule.version),
        current_version=str(standing.current or ""),
        share=rule.share,
        split=rule.split,
        reason=standing.reason,
    )
    if shadow is not None:
        _add(made, shadow.comparison, shadow.current)
    return made


def _add(made: pb.Shadow, found: Comparison, current: Version) -> None:
    count = found.images
    made.image_count, made.agreement_count = count, found.agreed
    made.dropped_count, made.failed_count, made.failure = found.dropped, found.failed, found.failure
    made.current_seconds, made.seconds = (total / max(count, 1) for total in found.seconds)
    for (one, two), images in found.changes.copy().most_common(SHOWN):
        labels = current.labels
        made.changes.add(current_label=labels[one], label=labels[two], image_count=images)
    made.blocks.extend(_blocks(found.blocks))


def _blocks(found: BlockChanges) -> list[pb.BlockChange]:
    ratios, factors = found.ratios().T.tolist(), found.factors().T.tolist()
    return [
        pb.BlockChange(
            name=name,
            image_count=count,
            current_ratio=current,
            ratio=candidate,
            factor=factor,
            factor_lower=low,
            factor_upper=high,
        )
        for name, count, (current, candidate), (factor, low, high) in zip(
            found.names, found.counts.tolist(), ratios, factors, strict=True
        )
    ]
