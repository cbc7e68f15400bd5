"""`client.storage`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import Call
from headrace_client.models import Storage


class AsyncStorageRoutes:
    """`client.storage`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self) -> Storage:
        """Look at what is stored. `GET /v1/storage`.

        How much of the plan's quota is used, by what, and which files are the largest. What has expired counts until the
        next sweep, a few seconds later.
        """
        return await self._sender.ask(Call("GET", "/v1/storage"), Storage)
