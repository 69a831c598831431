"""Rights of principals: what a call without a token, with one, and something that is not a call may do."""

import pytest
from resprobe_server.errors import Forbidden
from resprobe_server.principal import Authenticated, Principal, require


def test_a_right_is_required_of_the_principal_of_a_call() -> None:
    call = Authenticated()
    require("analyse", call)  # this server has no tokens
    call.principal = Principal("dashboard", b"", frozenset({"classify"}))
    require("classify", call)
    with pytest.raises(Forbidden, match="the right analyse, which the token of dashboard does not have; it has: class"):
        require("analyse", call)


def test_nothing_is_allowed_to_what_is_not_a_call() -> None:
    with pytest.raises(TypeError, match="expected the context of a call, which has a principal; got object"):
        require("classify", object())
