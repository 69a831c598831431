"""Refuses inference while models are being loaded.

As a gate it does so before the request is read, so that the status is all that is sent: proxies and clients send a
request again only if nothing of a response has arrived.
"""

from resprobe_server.models.table import Table
from resprobe_server.rpc.context import GateContext
from resprobe_server.services.message_limits import CARRY_TENSORS


class Readiness:
    """Gate that is closed for inference until the table is open."""

    def __init__(self, table: Table) -> None:
        """Creates the gate of a table."""
        self._table = table

    def enter(self, call: GateContext) -> None:
        """Admits a call. Raises NotReady for inference while models are being loaded."""
        if not self._table.is_open and call.method in CARRY_TENSORS:
            self._table.check_open()
