"""`client.batches`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Batch, BatchPage


class AsyncBatchesRoutes:
    """`client.batches`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Batch, BatchPage]:
        """List batches. `GET /v1/batches`.

        Your own, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/batches", query={"limit": limit}), BatchPage, lambda page: page.data)

    async def get(self, batch_id: str) -> Batch:
        """Look at a batch. `GET /v1/batches/{batch_id}`.

        How far it has come, and what it has cost so far.
        """
        return await self._sender.ask(Call("GET", "/v1/batches/{batch_id}", at={"batch_id": batch_id}), Batch)

    async def cancel(self, batch_id: str) -> Batch:
        """Cancel a batch. `POST /v1/batches/{batch_id}/cancel`.

        No other of its jobs begins from now on; all that have not are canceled and refunded, a hundred at once and the others within
        seconds. Those that run are asked to stop, as with one job. Again, it changes nothing.
        """
        return await self._sender.ask(Call("POST", "/v1/batches/{batch_id}/cancel", at={"batch_id": batch_id}), Batch)
