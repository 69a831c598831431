"""Principals and their rights: what a token says about the client that carries it. A leaf, for services and rpc."""

from dataclasses import dataclass
from typing import Literal, get_args

from resprobe_server.errors import Forbidden

# classify: images to classes. analyse: block statistics and block scales, beside `classify`. repository: load and
# unload models.
Right = Literal["classify", "analyse", "repository"]
RIGHTS: tuple[Right, ...] = get_args(Right)


@dataclass(frozen=True)
class Principal:
    """Holder of a token.

    Attributes:
        name: Name in the log and in errors.
        digest: SHA-256 of the token.
        rights: Rights of the token.
    """

    name: str
    digest: bytes
    rights: frozenset[Right]

    def require(self, right: Right) -> None:
        """Raises Forbidden if the token does not have a right."""
        if right not in self.rights:
            has = ", ".join(sorted(self.rights)) or "none"
            raise Forbidden(
                f"this needs the right {right}, which the token of {self.name} does not have; it has: {has}"
            )


class Authenticated:
    """Base of calls: they carry a principal if the server has tokens.

    Attributes:
        principal: Holder of the call's token. If None, the server has no tokens, or the method needs none.
    """

    principal: Principal | None = None


def name_of(context: object) -> str:
    """Returns the name of the principal of a call; empty without tokens."""
    principal = context.principal if isinstance(context, Authenticated) else None
    return "" if principal is None else principal.name


def require(right: Right, context: object) -> None:
    """Raises Forbidden if the principal of a call does not have a right. Without tokens, every client has all rights.

    Args:
        right: Right that is needed.
        context: Context of the call.

    Raises:
        Forbidden: The principal does not have the right.
        TypeError: The context is not a call of this server, so nothing is known of its principal.
    """
    if not isinstance(context, Authenticated):
        raise TypeError(f"expected the context of a call, which has a principal; got {type(context).__name__}")
    if context.principal is not None:
        context.principal.require(right)
