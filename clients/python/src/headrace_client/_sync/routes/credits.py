"""`client.credits`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import CreditAlerts, Credits, Entry, EntryPage, Grant, GrantPage


class CreditsRoutes:
    """`client.credits`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def get(self) -> Credits:
        """Look at the balance. `GET /v1/credits`.

        What is really usable now: grants whose time has passed are expired before this is answered.
        """
        return self._sender.ask(Call("GET", "/v1/credits"), Credits)

    def get_alerts(self) -> CreditAlerts:
        """Look at the alerts. `GET /v1/credits/alerts`.

        Below how many credits you hear of it: your own limits, or else those of this deployment.
        """
        return self._sender.ask(Call("GET", "/v1/credits/alerts"), CreditAlerts)

    def put_alerts(self, *, limits: Sequence[int] | None) -> CreditAlerts:
        """Choose the alerts. `PUT /v1/credits/alerts`.

        Each limit is told of once (`credits.low`) whenever the available credits fall below it. None: nothing is told; null: the
        limits of this deployment again.
        """
        return self._sender.ask(Call("PUT", "/v1/credits/alerts", body={"limits": limits}), CreditAlerts)

    def list_entries(self, *, limit: int | Omit = OMIT) -> Pager[Entry, EntryPage]:
        """List ledger entries. `GET /v1/credits/entries`.

        Every movement of your credits, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/credits/entries", query={"limit": limit}), EntryPage, lambda page: page.data
        )

    def list_grants(self, *, limit: int | Omit = OMIT) -> Pager[Grant, GrantPage]:
        """List grants. `GET /v1/credits/grants`.

        What the available credits are made of: the grants with credits left, those that are used first before the others.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/credits/grants", query={"limit": limit}), GrantPage, lambda page: page.data
        )
