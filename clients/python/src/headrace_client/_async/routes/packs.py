"""`client.packs`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Pack, PackPage


class AsyncPacksRoutes:
    """`client.packs`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Pack, PackPage]:
        """List packs. `GET /v1/packs`.

        Credits that can be bought once, in the order in which they are offered.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/packs", query={"limit": limit}), PackPage, lambda page: page.data)

    async def get(self, pack_id: str) -> Pack:
        """Look at a pack. `GET /v1/packs/{pack_id}`.

        One pack.
        """
        return await self._sender.ask(Call("GET", "/v1/packs/{pack_id}", at={"pack_id": pack_id}), Pack)
