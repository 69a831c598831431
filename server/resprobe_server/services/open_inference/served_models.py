"""Models by the names of this protocol: those of the table, and the lesion graphs of a model as NAME.lesion."""

from collections.abc import Callable

from resprobe_server.errors import NotFound
from resprobe_server.models.table import Table
from resprobe_server.models.version import LESION_SUFFIX, Version


def get(table: Table, name: str, version: str, identifier: str = "") -> Version:
    """Returns a version by name and number, with the arguments and errors of Table.get."""
    return _by_name(table.get, name, version, identifier)


def find(table: Table, name: str, version: str) -> Version:
    """Returns a version by name and number, also if it is not in memory."""
    return _by_name(table.find, name, version, "")


def _by_name(find: Callable[[str, str, str], Version], name: str, version: str, identifier: str) -> Version:
    try:
        return find(name, version, identifier)
    except NotFound:
        found = None
        if name.endswith(LESION_SUFFIX):
            found = find(name.removesuffix(LESION_SUFFIX), version, identifier).lesioned
        if found is None:
            raise
        return found


def all_versions(table: Table) -> list[Version]:
    """Returns all versions, with their lesion graphs. Raises NotReady while models are being loaded."""
    return [one for version in table.all() for one in (version, version.lesioned) if one is not None]
