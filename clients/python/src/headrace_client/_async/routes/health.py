"""`client.health`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Any

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import Call


class AsyncHealthRoutes:
    """`client.health`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get_health(self) -> dict[str, str]:
        """Is this process alive. `GET /healthz`.

        Answers as long as the event loop runs.
        """
        found: dict[str, str] = await self._sender.ask_json(Call("GET", "/healthz"))
        return found

    async def get_readiness(self) -> Any:
        """Can this process serve. `GET /readyz`.

        Answers 200 when the database takes writes and the catalogue is loaded, and names each server with what is wrong with
        it. Redis and storage may be away: orders are accepted, and `status` is `degraded`.
        """
        return await self._sender.ask_json(Call("GET", "/readyz"))
