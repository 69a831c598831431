"""Bearer tokens from a file, each with its rights.

The file is TOML, a table for each principal, whose name is for the log. It has digests, so it gives no token away:

    [dashboard]
    sha256 = "…"                        # of the token, in hexadecimal
    rights = ["classify", "analyse"]

A token must be long and random, as `openssl rand -hex 32` makes it: then its plain SHA-256 cannot be turned back.
"""

import asyncio
import hashlib
import hmac
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias, cast

import structlog

from resprobe_server.config import Config
from resprobe_server.errors import RequestError, StartError, Unauthenticated
from resprobe_server.principal import RIGHTS, Principal, Right
from resprobe_server.rpc.context import GateContext
from resprobe_server.security.reloading import Reread

CHECK_EVERY = 1.0  # seconds between checks for tokens that were removed
log = structlog.get_logger()
Need: TypeAlias = Right | Literal["token", "nothing"]  # token: any that is known

# What a call needs before its request is read. A method that is not here needs the strongest right.
NEEDS: Mapping[str, Need] = {
    "grpc.health.v1.Health/Check": "nothing",  # probes have no tokens
    "grpc.health.v1.Health/List": "nothing",
    "grpc.health.v1.Health/Watch": "nothing",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "token",
    "resprobe.v1.ResidualService/Classify": "classify",
    "resprobe.v1.ResidualService/ClassifyStream": "classify",
    "resprobe.v1.ResidualService/GetModel": "token",
    "resprobe.v1.ResidualService/ListModels": "token",
    "resprobe.v1.RolloutService/GetShadow": "analyse",
    "resprobe.v1.RolloutService/SetShadow": "repository",
    "resprobe.v1.RolloutService/PromoteModel": "repository",
    "resprobe.v1.RolloutService/RollbackModel": "repository",
    "inference.GRPCInferenceService/ServerLive": "nothing",
    "inference.GRPCInferenceService/ServerReady": "nothing",
    "inference.GRPCInferenceService/ServerMetadata": "token",
    "inference.GRPCInferenceService/ModelConfig": "token",
    "inference.GRPCInferenceService/ModelMetadata": "token",
    "inference.GRPCInferenceService/ModelReady": "token",
    "inference.GRPCInferenceService/ModelStatistics": "token",
    "inference.GRPCInferenceService/RepositoryIndex": "token",
    "inference.GRPCInferenceService/ModelInfer": "classify",
    "inference.GRPCInferenceService/ModelStreamInfer": "classify",
    "inference.GRPCInferenceService/SystemSharedMemoryStatus": "classify",
    "inference.GRPCInferenceService/SystemSharedMemoryRegister": "classify",
    "inference.GRPCInferenceService/SystemSharedMemoryUnregister": "classify",
    "inference.GRPCInferenceService/RepositoryModelLoad": "repository",
    "inference.GRPCInferenceService/RepositoryModelUnload": "repository",
}


class Authorization:
    """Gate that lets a call in if it carries a token with the right that its method needs, and names its principal."""

    def __init__(self, tokens: Path) -> None:
        """Reads the file, which is read again when it changes. Raises StartError if it cannot be used."""
        self._callers = Reread((tokens,), lambda: read_callers(tokens))
        self._streams: set[GateContext] = set()  # open streams

    def enter(self, call: GateContext) -> None:
        """Sets the principal of a call. Raises Unauthenticated or Forbidden to refuse it."""
        need = NEEDS.get(call.method, "repository")
        if need == "nothing":
            return
        principal = self._identify(dict(call.invocation_metadata() or ()))
        if need != "token":
            principal.require(need)
        call.principal = principal
        if call.streams:
            self._streams.add(call)
            call.add_done_callback(self._streams.discard)

    def revoke(self) -> None:
        """Ends streams whose token, or its right to the method, was removed. Runs on the event loop."""
        known = {caller.digest: caller for caller in self._callers.current()}
        for call in self._streams.copy():
            principal = call.principal and known.get(call.principal.digest)
            need = NEEDS.get(call.method, "repository")
            try:
                if principal is None:
                    raise Unauthenticated("the token of this stream is not known any more")
                if need not in ("token", "nothing"):
                    principal.require(cast(Right, need))
            except RequestError as error:
                call.break_off(error)
            else:
                call.principal = principal

    def _identify(self, metadata: Mapping[str, str | bytes]) -> Principal:
        header = str(metadata.get("authorization", ""))
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("this server wants a token: send the metadata `authorization: Bearer TOKEN`")
        digest = hashlib.sha256(token.strip().encode()).digest()
        found = [caller for caller in self._callers.current() if hmac.compare_digest(caller.digest, digest)]
        if not found:
            raise Unauthenticated("the token is not one of those that this server knows")
        return found[0]


@asynccontextmanager
async def revoking(gates: Sequence[object]) -> AsyncIterator[None]:
    """Ends streams whose token was removed while the context is open, also when no call arrives."""
    loop = asyncio.get_running_loop()
    found = [gate for gate in gates if isinstance(gate, Authorization)]
    timer: asyncio.TimerHandle

    def check() -> None:
        nonlocal timer
        for gate in found:
            gate.revoke()
        timer = loop.call_later(CHECK_EVERY, check)

    timer = loop.call_later(CHECK_EVERY, check)
    try:
        yield
    finally:
        timer.cancel()


def log_open(config: Config) -> None:
    """Writes to the log which methods need no token, if the server has no tokens."""
    if config.tokens is not None:
        return
    refused = [] if config.mode == "explicit" else [method for method, need in NEEDS.items() if need == "repository"]
    log.warning(
        "no --tokens: every client that can connect may call these methods",
        connect="with a certificate of --tls-client-ca" if config.tls_client_ca else "without a certificate",
        methods=[method for method in NEEDS if method not in refused],
        refused_without_mode_explicit=refused,
    )


def read_callers(path: Path) -> tuple[Principal, ...]:
    """Reads a file of tokens; see the top of this module. Raises StartError if it cannot be used."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"cannot read the tokens in {path}: {error.strerror}") from error
    except ValueError as error:  # neither UTF-8 nor TOML
        raise StartError(f"{path} is not TOML: {error}") from error
    callers = tuple(_caller_from(f"{path}, [{name}]", name, table) for name, table in tables.items())
    if not callers:
        raise StartError(f"{path} holds no tokens; expected [NAME] with sha256 and rights")
    if len({caller.digest for caller in callers}) < len(callers):
        raise StartError(f"{path}: two callers have the same token")
    return callers


def _caller_from(place: str, name: str, table: object) -> Principal:
    match table:
        case {"sha256": str(digest), "rights": [*rights], **rest} if not rest:
            pass
        case _:
            raise StartError(f'{place}: expected sha256 = "…" and rights = [{", ".join(RIGHTS)}], and nothing else')
    if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
        raise StartError(f"{place}: sha256 is not 64 hexadecimal digits; `printf %s TOKEN | sha256sum` gives them")
    if unknown := [right for right in rights if right not in RIGHTS]:
        raise StartError(f"{place}: there is no right {unknown[0]!r}; there are: {', '.join(RIGHTS)}")
    return Principal(name, bytes.fromhex(digest), frozenset(rights))
