"""Messages about candidates: the requests of the clients, and what the responses mean."""

from resprobe_protos import rollout_pb2 as pb

from resprobe._results.shadow import BlockChange, ClassChange, DefaultChange, Shadow
from resprobe._wire.requests import model_request
from resprobe.errors import InvalidRequest


def name(model: str) -> str:
    """Returns the name of a model, which may be empty. Raises InvalidRequest if it cannot be one."""
    which = model_request(model)
    if which.version:
        raise InvalidRequest(f"model {model!r}: expected a name without a version")
    return which.name


def set_request(model: str, version: str | int, share: float, split: float) -> pb.SetShadowRequest:
    """Creates the request that makes a version the candidate. Raises InvalidRequest for what cannot be sent."""
    try:
        return pb.SetShadowRequest(model=name(model), version=str(version), share=share, split=split)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"share {share!r}, split {split!r}: expected numbers from 0 to 1") from error


def read_change(moved: pb.PromoteModelResponse | pb.RollbackModelResponse) -> DefaultChange:
    """Reads which version is the default now."""
    return DefaultChange(moved.version, moved.previous_version)


def read_shadow(found: pb.Shadow) -> Shadow:
    """Reads how a candidate compares."""
    return Shadow(
        model=found.model,
        version=found.version,
        current_version=found.current_version,
        share=found.share,
        split=found.split,
        reason=found.reason,
        images=found.image_count,
        agreed=found.agreement_count,
        dropped=found.dropped_count,
        failed=found.failed_count,
        failure=found.failure,
        seconds=found.seconds,
        current_seconds=found.current_seconds,
        changes=tuple(ClassChange(one.current_label, one.label, one.image_count) for one in found.changes),
        blocks=tuple(
            BlockChange(
                one.name,
                one.image_count,
                one.current_ratio,
                one.ratio,
                one.factor,
                one.factor_lower,
                one.factor_upper,
            )
            for one in found.blocks
        ),
    )
