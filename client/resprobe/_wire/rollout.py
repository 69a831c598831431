"""Candidates of a server, as its clients ask about them: compared, set, promoted and rolled back."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import grpc
from resprobe_protos import rollout_pb2 as pb
from resprobe_protos import rollout_pb2_grpc

from resprobe._results.shadow import DefaultChange, Shadow
from resprobe._wire.channel import TIMEOUT
from resprobe._wire.shadow import name, read_change, read_shadow, set_request

Calling = Callable[[], AbstractContextManager[None]]


class Rollout:
    """Candidates of the server that a Client is connected to: `client.rollout`.

    Where an address stands for several servers, one of them answers, and only it is changed.
    """

    def __init__(self, channel: grpc.Channel, calling: Calling) -> None:
        """Uses the channel of a client; `calling` turns what gRPC raises into exceptions of resprobe.errors."""
        self._stub, self._calling = rollout_pb2_grpc.RolloutServiceStub(channel), calling

    def shadow(self, model: str, *, timeout: float | None = TIMEOUT) -> Shadow:
        """Compares the candidate of a model with the version that serves.

        Args:
            model: Name of the model.
            timeout: Seconds. If None, no limit.

        Raises:
            ModelNotFound: The server has no such model, or it has no candidate.
        """
        request = pb.GetShadowRequest(model=name(model))
        with self._calling():
            return read_shadow(self._stub.GetShadow(request, timeout=timeout).shadow)

    def set(
        self,
        model: str,
        version: str | int,
        *,
        share: float = 0.0,
        split: float = 0.0,
        timeout: float | None = TIMEOUT,
    ) -> Shadow:
        """Makes a version the candidate of its model: it is not the default any more.

        Args:
            model: Name of the model.
            version: Version, such as 2 or "2"; it may be published later.
            share: Share of the images, from 0 to 1, that the candidate runs on too, after they were answered.
            split: Share of the requests, from 0 to 1, that the candidate answers, of those with a `request_id`.
            timeout: Seconds. If None, no limit.

        Raises:
            InvalidRequest: A share is not one, or the version is not a number.
            ModelNotFound: The server has no such model.
            StatisticsUnavailable: No other version is loaded, or the candidate has other classes or images.
        """
        request = set_request(model, version, share, split)
        with self._calling():
            return read_shadow(self._stub.SetShadow(request, timeout=timeout).shadow)

    def promote(self, model: str, *, timeout: float | None = TIMEOUT) -> DefaultChange:
        """Makes the candidate of a model the default version, until the server is started again.

        Args:
            model: Name of the model.
            timeout: Seconds. If None, no limit.
        """
        request = pb.PromoteModelRequest(model=name(model))
        with self._calling():
            return read_change(self._stub.PromoteModel(request, timeout=timeout))

    def rollback(self, model: str, *, timeout: float | None = TIMEOUT) -> DefaultChange:
        """Makes the version the default again that was it before the last promotion.

        Args:
            model: Name of the model.
            timeout: Seconds. If None, no limit.
        """
        request = pb.RollbackModelRequest(model=name(model))
        with self._calling():
            return read_change(self._stub.RollbackModel(request, timeout=timeout))


class AsyncRollout:
    """Candidates of the server that an AsyncClient is connected to. Methods are those of Rollout."""

    def __init__(self, channel: grpc.aio.Channel, calling: Calling) -> None:
        """Uses the channel of a client; `calling` turns what gRPC raises into exceptions of resprobe.errors."""
        self._stub, self._calling = rollout_pb2_grpc.RolloutServiceStub(channel), calling

    async def shadow(self, model: str, *, timeout: float | None = TIMEOUT) -> Shadow:  # noqa: ASYNC109  # gRPC's own
        """Compares the candidate of a model with the version that serves, as Rollout.shadow does."""
        request = pb.GetShadowRequest(model=name(model))
        with self._calling():
            return read_shadow((await self._stub.GetShadow(request, timeout=timeout)).shadow)

    async def set(
        self,
        model: str,
        version: str | int,
        *,
        share: float = 0.0,
        split: float = 0.0,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
    ) -> Shadow:
        """Makes a version the candidate of its model, as Rollout.set does."""
        request = set_request(model, version, share, split)
        with self._calling():
            return read_shadow((await self._stub.SetShadow(request, timeout=timeout)).shadow)

    async def promote(self, model: str, *, timeout: float | None = TIMEOUT) -> DefaultChange:  # noqa: ASYNC109
        """Makes the candidate of a model the default version, as Rollout.promote does."""
        request = pb.PromoteModelRequest(model=name(model))
        with self._calling():
            return read_change(await self._stub.PromoteModel(request, timeout=timeout))

    async def rollback(self, model: str, *, timeout: float | None = TIMEOUT) -> DefaultChange:  # noqa: ASYNC109
        """Makes the version the default again that was it before the last promotion, as Rollout.rollback does."""
        request = pb.RollbackModelRequest(model=name(model))
        with self._calling():
            return read_change(await self._stub.RollbackModel(request, timeout=timeout))
