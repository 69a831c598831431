"""Which models leave: the rule, against a list that is kept in the order of use."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from resprobe_server.models.residence.limits import Limits, Resident, leaving

NAMES = st.sampled_from("abcdef")


class Machine(RuleBasedStateMachine):
    """Models are asked for, used, kept and let go of; the oracle is a list with the least recently used one first."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.residents: dict[str, Resident] = {}
        self.order: list[str] = []  # of the oracle
        self.sizes = dict(zip("abcdef", (1, 2, 3, 5, 8, 13), strict=True))
        self.busy: set[str] = set()
        self.kept: set[str] = set()
        self.limits = Limits()

    @rule(models=st.integers(0, 4), memory=st.integers(0, 20))
    @precondition(lambda self: not self.order)
    def configure(self, models: int, memory: int) -> None:
        self.limits = Limits(models, memory)

    @rule(name=NAMES)
    def ask(self, name: str) -> None:
        self.time += 1
        if name not in self.residents:
            self._load(name)
        if name in self.residents:
            self._replace(name, used=self.time)
            self.order.remove(name)
            self.order.append(name)

    @rule(name=NAMES)
    def begin_or_end_a_request(self, name: str) -> None:
        self.busy ^= {name}
        self._replace(name, busy=name in self.busy)

    @rule(name=NAMES)
    def keep_or_let_go(self, name: str) -> None:
        if name in self.residents:
            self.kept ^= {name}
            self._replace(name, kept=name in self.kept)

    @invariant()
    def it_is_within_the_limits(self) -> None:
        assert sorted(self.residents) == sorted(self.order)
        assert not self.limits.models or len(self.order) <= self.limits.models
        assert not self.limits.memory or sum(self.sizes[name] for name in self.order) <= self.limits.memory

    def _load(self, name: str) -> None:
        found = leaving(list(self.residents.values()), self.sizes[name], self.limits)
        expected = self._oracle(name)
        assert found == expected
        if found is None:
            return
        for gone in found:
            del self.residents[gone]
            self.order.remove(gone)
        self.residents[name] = Resident(name, self.sizes[name], self.time, name in self.busy)
        self.kept.discard(name)
        self.order.append(name)

    def _oracle(self, name: str) -> list[str] | None:
        """Removes one after the other until the new one fits: idle ones in the order of use, then busy ones."""
        left, gone = list(self.order), list[str]()
        while not self._fits([*left, name]):
            idle = [one for one in left if one not in self.kept and one not in self.busy]
            busy = [one for one in left if one not in self.kept and one in self.busy]
            if not idle and not busy:
                return None
            first = (idle or busy)[0]
            left.remove(first)
            gone.append(first)
        return gone

    def _fits(self, names: list[str]) -> bool:
        within = not self.limits.models or len(names) <= self.limits.models
        return within and (not self.limits.memory or sum(self.sizes[name] for name in names) <= self.limits.memory)

    def _replace(self, name: str, **changes: object) -> None:
        if name in self.residents:
            self.residents[name] = replace(self.residents[name], **changes)  # type: ignore[arg-type]


TestLeastRecentlyUsed = Machine.TestCase
TestLeastRecentlyUsed.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
