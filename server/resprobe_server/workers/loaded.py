"""Models that are loaded by request, as a state that all workers have in common."""

from resprobe_server.models.registry import Models


class LoadedModels:
    """Names of the models that are loaded by request; see Shared in siblings.py."""

    def __init__(self, models: Models, explicit: bool) -> None:
        """Creates the state of a worker's models; `explicit` says whether they are loaded by request."""
        self._models, self._explicit = models, explicit

    def state(self) -> list[str] | None:
        """Returns the names. If None, each worker follows the repository by itself."""
        return self._models.table.names() if self._explicit else None

    async def adopt(self, names: list[str] | None) -> None:
        """Loads and unloads models until they are those of these names. Raises a RequestError if one does not load."""
        if names is None:
            return
        loaded = set(self._models.table.names())
        for name in sorted(loaded - set(names)):
            await self._models.unload_model(name)
        for name in sorted(set(names) - loaded):
            await self._models.load_model(name)
