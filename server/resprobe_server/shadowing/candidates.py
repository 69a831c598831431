"""Candidates of all models: set, compared, promoted and rolled back. Lives on the event loop."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from resprobe_server.errors import NotFound, NotReady, NotSupported, RequestError
from resprobe_server.models.routes import HIGHEST, Route
from resprobe_server.models.table import Table
from resprobe_server.shadowing.rules import Rule
from resprobe_server.shadowing.shadow import Shadow, WhenIdle, check

log = structlog.get_logger()


@dataclass(frozen=True)
class Standing:
    """State of a model's candidate.

    Attributes:
        rule: Rule that made it the candidate.
        current: Number of the version that serves; 0 if none does.
        shadow: Shadow that compares the two. If None, they are not compared.
        reason: Why they are not compared; empty if they are.
    """

    rule: Rule
    current: int
    shadow: Shadow | None
    reason: str


class Candidates:
    """Candidates of a server."""

    def __init__(self, table: Table, when_idle: WhenIdle, rules: Sequence[Rule]) -> None:
        """Keeps the candidates of these rules from becoming the default, before any model is loaded.

        Args:
            table: Versions that are served.
            when_idle: Runs a job when the device is idle, but not before a time, which may be never.
            rules: Rules of the configuration.
        """
        self._table, self._when_idle = table, when_idle
        self._rules = {rule.model: rule for rule in rules}
        self._shadows: dict[str, Shadow] = {}
        self._reasons: dict[str, str] = {}
        self._previous: dict[str, int] = {}
        for rule in rules:
            table.set_route(rule.model, Route(None, rule.version, rule.split))

    def follow(self, model: str) -> None:
        """Compares the versions of a model that are loaded now, after they have changed."""
        rule = self._rules.get(model)
        old = self._shadows.pop(model, None)
        self._reasons.pop(model, None)
        new = None
        if rule is not None:
            try:
                new = self._shadow(rule, old)
            except RequestError as error:
                self._reasons[model] = str(error)
                log.warning("a candidate is not compared", model=model, version=rule.version, reason=str(error))
        if old is not None and old is not new:
            old.detach()
        if new is not None:
            self._shadows[model] = new
            if old is not new:
                new.attach()

    def _shadow(self, rule: Rule, old: Shadow | None) -> Shadow | None:
        """Returns the shadow of a rule, the old one if nothing has changed. If None, nothing is to be compared.

        Raises:
            NotSupported: The versions cannot be compared.
        """
        versions = self._table.versions(rule.model)
        if not versions:
            raise NotFound(f"model {rule.model} is not loaded")
        if rule.version not in versions:
            raise NotFound(f"version {rule.version} is not loaded")
        current, candidate = versions[self._table.default(rule.model)], versions[rule.version]
        if not current.is_loaded:
            raise NotReady(f"model {rule.model} is not in memory")
        if current is candidate:
            raise NotSupported(f"version {rule.version} is the only one that is loaded, and serves")
        if not rule.share:
            check(current, candidate)
            raise NotSupported("its share of the images is 0")
        if old is not None and (old.current, old.candidate, old.share) == (current, candidate, rule.share):
            return old
        return Shadow(current, candidate, rule.share, self._when_idle)

    def set(self, rule: Rule) -> Standing:
        """Makes a version the candidate of its model; it is waited for if it is not loaded.

        Raises:
            NotFound: There is no such model.
            NotSupported: The candidate is the only version that is loaded, or is of another kind than the current one.
        """
        name, versions = rule.model, self._table.versions(rule.model)
        if not versions:
            self._table.find(name, "")  # raises what there is
        others = [number for number in versions if number != rule.version]
        if not others:
            raise NotSupported(f"version {rule.version} is the only one of {name}: nothing else could serve")
        pinned = self._table.route(name).pinned
        route = Route(None if pinned == rule.version else pinned, rule.version, rule.split)
        if rule.version in versions:
            check(versions[route.default(versions)], versions[rule.version])
        self._table.set_route(name, route)
        self._rules[name] = rule
        self.follow(name)
        log.info("candidate set", model=name, version=rule.version, share=rule.share, split=rule.split)
        return self.get(name)

    def get(self, model: str) -> Standing:
        """Returns the state of a model's candidate. Raises NotFound if it has none."""
        rule = self._rules.get(model)
        if rule is None:
            self._table.find(model, "")
            raise NotFound(f"model {model} has no candidate; `resprobe shadow {model} --candidate VERSION` sets one")
        current = self._table.default(model) if self._table.versions(model) else 0
        return Standing(rule, current, self._shadows.get(model), self._reasons.get(model, ""))

    def all(self) -> list[Standing]:
        """Returns the states of all candidates, by the name of the model."""
        return [self.get(model) for model in sorted(self._rules)]

    def promote(self, model: str) -> tuple[int, int]:
        """Makes the candidate the default version. Returns the numbers of the default now and before.

        Raises:
            NotFound: The model has no candidate, or it is not loaded.
        """
        number, versions = self.get(model).rule.version, self._table.versions(model)
        if number not in versions:
            raise NotFound(f"version {number} of {model} is not loaded; the candidate cannot be promoted")
        before = self._table.default(model)
        del self._rules[model]
        return self._move(model, number, before)

    def rollback(self, model: str) -> tuple[int, int]:
        """Makes the version the default that was it before the last promotion. Returns its number and the other's.

        Raises:
            NotFound: The version is not loaded any more, or there is no such model.
            NotSupported: No version of the model was promoted since the start of the server.
        """
        self._table.find(model, "")
        if model not in self._previous:
            raise NotSupported(f"no version of {model} was promoted since the server was started")
        number = self._previous[model]
        if number not in self._table.versions(model):
            raise NotFound(f"version {number} of {model} is not loaded any more")
        self._rules.pop(model, None)
        before = self._table.default(model)
        moved = self._move(model, number, before)
        del self._previous[model]
        return moved

    def state(self) -> dict[str, Any]:
        """Returns the candidates and default versions as JSON has them, for other workers of the server."""
        return {
            "rules": [asdict(rule) for rule in self._rules.values()],
            "previous": self._previous,
            "routes": {model: asdict(route) for model, route in self._table.routes.items()},
        }

    async def adopt(self, state: dict[str, Any]) -> None:
        """Makes the candidates and default versions those of a state; the comparisons begin anew."""
        old = {*self._rules, *self._table.routes}
        self._rules = {rule["model"]: Rule(**rule) for rule in state["rules"]}
        self._previous = state["previous"]
        routes = {model: Route(**route) for model, route in state["routes"].items()}
        for model in sorted(old | routes.keys()):
            self._table.set_route(model, routes.get(model, HIGHEST))
            self.follow(model)

    def _move(self, model: str, number: int, before: int) -> tuple[int, int]:
        highest = number == max(self._table.versions(model))
        self._table.set_route(model, HIGHEST if highest else Route(number))
        self._previous[model] = before
        self.follow(model)
        log.info("default version changed", model=model, version=number, previous=before)
        return number, before
