"""Who may do what: bearer tokens from a file, each with its rights.

The file is TOML, a table for each caller, named for the log. It holds digests, so it gives no token away:

    [dashboard]
    sha256 = "…"                        # of the token, in hexadecimal
    rights = ["classify", "analyse"]

A token must be long and random, as `openssl rand -hex 32` makes it: then its plain SHA-256 cannot be turned back.
"""

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from resprobe_server.errors import Forbidden, StartError, Unauthenticated
from resprobe_server.grpc_call import Call
from resprobe_server.reread import Reread
from resprobe_server.status import Context

# classify: images to classes. analyse: block statistics and block scales, beside `classify`. repository: load and
# unload models.
Right = Literal["classify", "analyse", "repository"]
RIGHTS: tuple[Right, ...] = get_args(Right)
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
    "inference.GRPCInferenceService/RepositoryModelLoad": "repository",
    "inference.GRPCInferenceService/RepositoryModelUnload": "repository",
}


@dataclass(frozen=True)
class Caller:
    """Who holds a token.

    Attributes:
        name: For the log and for errors.
        digest: SHA-256 of the token.
        rights: What it may do.
    """

    name: str
    digest: bytes
    rights: frozenset[Right]

    def require(self, right: Right) -> None:
        """Raises Forbidden without this right."""
        if right not in self.rights:
            has = ", ".join(sorted(self.rights)) or "none"
            raise Forbidden(
                f"this needs the right {right}, which the token of {self.name} does not have; it has: {has}"
            )


def require(right: Right, context: Context) -> None:
    """For services: raises Forbidden if the caller of this call lacks a right. Without tokens, all may all."""
    caller = cast(Call, context).caller
    if caller is not None:
        caller.require(right)


class Authorization:
    """Lets a call in that carries a token with the right that its method needs, and remembers whose it is."""

    def __init__(self, tokens: Path) -> None:
        """Reads the file; it is read again when it changes. Raises StartError if it cannot be used."""
        self._callers = Reread((tokens,), lambda: read_callers(tokens))

    def enter(self, call: Call) -> None:
        """See Gate. Raises Unauthenticated or Forbidden."""
        need = NEEDS.get(call.method, "repository")
        if need == "nothing":
            return
        caller = self._identify(dict(call.invocation_metadata()))
        if need != "token":
            caller.require(need)
        call.caller = caller

    def _identify(self, metadata: Mapping[str, str | bytes]) -> Caller:
        header = str(metadata.get("authorization", ""))
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("this server wants a token: send the metadata `authorization: Bearer TOKEN`")
        digest = hashlib.sha256(token.strip().encode()).digest()
        found = [caller for caller in self._callers.current() if hmac.compare_digest(caller.digest, digest)]
        if not found:
            raise Unauthenticated("the token is not one of those that this server knows")
        return found[0]


def read_callers(path: Path) -> tuple[Caller, ...]:
    """Reads a file of tokens; see the top of this module. Raises StartError, which names what is wrong."""
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


def _caller_from(place: str, name: str, table: object) -> Caller:
    match table:
        case {"sha256": str(digest), "rights": [*rights], **rest} if not rest:
            pass
        case _:
            raise StartError(f'{place}: expected sha256 = "…" and rights = [{", ".join(RIGHTS)}], and nothing else')
    if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
        raise StartError(f"{place}: sha256 is not 64 hexadecimal digits; `printf %s TOKEN | sha256sum` gives them")
    if unknown := [right for right in rights if right not in RIGHTS]:
        raise StartError(f"{place}: there is no right {unknown[0]!r}; there are: {', '.join(RIGHTS)}")
    return Caller(name, bytes.fromhex(digest), frozenset(rights))
