"""`client.batches`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Batch, BatchPage


class BatchesRoutes:
    """`client.batches`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Batch, BatchPage]:
        """List batches. `GET /v1/batches`.

        Your own, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/batches", query={"limit": limit}), BatchPage, lambda page: page.data)

    def get(self, batch_id: str) -> Batch:
        """Look at a batch. `GET /v1/batches/{batch_id}`.

        How far it has come, and what it has cost so far.
        """
        return self._sender.ask(Call("GET", "/v1/batches/{batch_id}", at={"batch_id": batch_id}), Batch)

    def cancel(self, batch_id: str) -> Batch:
        """Cancel a batch. `POST /v1/batches/{batch_id}/cancel`.

        No other of its jobs begins from now on; all that have not are canceled and refunded, a hundred at once and the others within
        seconds. Those that run are asked to stop, as with one job. Again, it changes nothing.
        """
        return self._sender.ask(Call("POST", "/v1/batches/{batch_id}/cancel", at={"batch_id": batch_id}), Batch)
