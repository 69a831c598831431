"""Table of the versions that are served, by name and number; those of a model are all in memory, or none is.

It changes on the event loop; `get` may be called on any thread. A request that has found a version may use it for as
long as it needs it: it is finished by the version that accepted it, and the last request frees the version's sessions.
"""

from collections.abc import Collection, Mapping
from typing import Any

from resprobe_server.errors import InvalidRequest, NotFound, NotReady, Unloaded
from resprobe_server.models.repository import is_number
from resprobe_server.models.routes import HIGHEST, Route
from resprobe_server.models.version import Version


class Table:
    """Versions that are served.

    Attributes:
        is_open: Whether the models have been loaded; before that, lookups raise NotReady.
        derived: Cache of values that are derived from the table, by key. It is replaced by an empty one whenever the
            table changes. A reader that fetches it before it reads the table, and adds to the fetched one, never
            finds a value that is out of date.
    """

    def __init__(self) -> None:
        """Creates an empty table that is not open."""
        self._versions: dict[str, dict[int, Version]] = {}
        self._routes: dict[str, Route] = {}  # of models whose default is not simply the highest version
        self.is_open = False
        self.derived: dict[Any, Any] = {}

    def get(self, name: str, version: str, identifier: str = "") -> Version:
        """Returns the version that a request names.

        Args:
            name: Name of the model. If empty, the only model that is served.
            version: Number of the version. If empty, the default one, or the candidate for its share of the requests.
            identifier: Id of the request, which decides whether it belongs to that share.

        Raises:
            InvalidRequest: The name is empty, and several models are served.
            NotFound: There is no such model or version; the text names those that there are.
            NotReady: Models are still being loaded.
            Unloaded: The version is not in memory.
        """
        found = self.find(name, version, identifier)
        if not found.batchers:
            raise Unloaded(found.name)
        return found

    def find(self, name: str, version: str, identifier: str = "") -> Version:
        """Returns the version that a request names, also if it is not in memory, as `get` does otherwise."""
        self.check_open()
        if not name:
            served = self.names()
            if len(served) > 1:
                several = ", ".join(served)
                raise InvalidRequest(f"the request names no model, and several are served: {several}", "model")
            name = served[0] if served else ""
        versions = self._versions.get(name)
        if versions is None:
            raise NotFound(f"no model {name!r}; {listed(self._versions)}")
        if not version:
            route = self._routes.get(name)
            return versions[max(versions) if route is None else route.choose(versions, name, identifier)]
        if not is_number(version) or int(version) not in versions:
            numbers = ", ".join(map(str, sorted(versions)))
            raise NotFound(f"model {name} has no version {version!r}; there are: {numbers}")
        return versions[int(version)]

    def all(self) -> list[Version]:
        """Returns every version, by name and number. Raises NotReady while models are being loaded."""
        self.check_open()
        return [versions[number] for _, versions in sorted(self._versions.items()) for number in sorted(versions)]

    def names(self) -> list[str]:
        """Returns the names of the models that are served."""
        return sorted(self._versions)

    def is_loaded(self, name: str) -> bool:
        """Returns whether a model is served and in memory."""
        return any(version.is_loaded for version in self.versions(name).values())

    def only(self, name: str) -> "Table":
        """Returns a table with the versions that a model has now, whatever becomes of this one."""
        copy = Table()
        copy._versions[name], copy.is_open = dict(self._versions[name]), True
        if name in self._routes:
            copy._routes[name] = self._routes[name]
        return copy

    def versions(self, name: str) -> Mapping[int, Version]:
        """Returns the versions of a model by number; none if it is not served."""
        return self._versions.get(name, {})

    def default(self, name: str) -> int:
        """Returns the number of the default version of a model that is served."""
        return self.route(name).default(self._versions[name])

    def route(self, name: str) -> Route:
        """Returns the route of a model."""
        return self._routes.get(name, HIGHEST)

    @property
    def routes(self) -> Mapping[str, Route]:
        """Routes of the models whose default is not simply the highest version, by name."""
        return self._routes

    def set_route(self, name: str, route: Route) -> None:
        """Changes which versions of a model answer, at once; the model may be loaded later."""
        self._routes[name] = route
        self.replace(name, dict(self.versions(name)))

    def replace(self, name: str, versions: dict[int, Version]) -> None:
        """Exchanges the versions of a model at once."""
        default = self.route(name).default(versions) if versions else 0
        for number, version in versions.items():
            version.description.serving.is_default = number == default
        if versions:
            self._versions[name] = versions
        else:
            self._versions.pop(name, None)
        self.derived = {}

    def check_open(self) -> None:
        """Raises NotReady while models are being loaded."""
        if not self.is_open:
            raise NotReady("models are still being loaded; try again in a moment")


def listed(names: Collection[str]) -> str:
    """Returns the names as the end of an error's sentence."""
    return f"there are: {', '.join(sorted(names)) or 'none'}"
