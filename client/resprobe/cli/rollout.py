"""Candidates of a server, as the commands ask about them: compared, set, promoted and rolled back."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message
from resprobe_protos import rollout_pb2 as pb
from resprobe_protos import rollout_pb2_grpc

from resprobe._client import Client
from resprobe._results.shadow import BlockChange, ClassChange, Shadow

TIMEOUT = 30.0  # seconds
Answer = TypeVar("Answer", bound=Message)


class Rollout:
    """RolloutService of the server that a client is connected to. Methods raise what those of the client raise."""

    def __init__(self, client: Client) -> None:
        """Uses the connection of a client."""
        self._client = client
        self._stub = rollout_pb2_grpc.RolloutServiceStub(client._channel)

    def shadow(self, model: str) -> Shadow:
        """Returns how the candidate of a model compares with the version that serves."""
        return _read(self._call(lambda: self._stub.GetShadow(pb.GetShadowRequest(model=model), timeout=TIMEOUT)).shadow)

    def set(self, model: str, version: str, share: float, split: float) -> Shadow:
        """Makes a version the candidate of its model, for shares of the images and of the requests, in [0, 1]."""
        request = pb.SetShadowRequest(model=model, version=version, share=share, split=split)
        return _read(self._call(lambda: self._stub.SetShadow(request, timeout=TIMEOUT)).shadow)

    def promote(self, model: str) -> tuple[str, str]:
        """Makes the candidate the default version. Returns the default version now and before."""
        request = pb.PromoteModelRequest(model=model)
        moved = self._call(lambda: self._stub.PromoteModel(request, timeout=TIMEOUT))
        return moved.version, moved.previous_version

    def rollback(self, model: str) -> tuple[str, str]:
        """Takes the last promotion back. Returns the default version now and before."""
        request = pb.RollbackModelRequest(model=model)
        moved = self._call(lambda: self._stub.RollbackModel(request, timeout=TIMEOUT))
        return moved.version, moved.previous_version

    def _call(self, call: Callable[[], Answer]) -> Answer:
        with self._client._calling():
            return call()


def _read(found: pb.Shadow) -> Shadow:
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
