"""`client.tokens`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import MadeToken, Token, TokenPage


class AsyncTokensRoutes:
    """`client.tokens`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Token, TokenPage]:
        """List tokens. `GET /v1/tokens`.

        Newest first, never with their secrets.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/tokens", query={"limit": limit}), TokenPage, lambda page: page.data)

    async def create(
        self,
        *,
        may: Sequence[Literal["read", "stream", "generate"]],
        credits: int | Omit | None = OMIT,
        job: str | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        seconds: int | Omit = OMIT,
    ) -> MadeToken:
        """Make a token for a browser. `POST /v1/tokens`.

        It may less than who makes it, for an hour at most, and ends with them. Send it as a key is sent. What it opens:
        the jobs, one job, their events, the balance; quotes, uploads and orders for so many credits. Nothing else.

        Args:
            may: `generate` orders, and needs `credits`.
            credits: What its orders may cost together.
            job: Only this job is read and followed.
            model: Only this model is ordered, only its jobs are seen.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/tokens",
                body={"may": may, "credits": credits, "job": job, "model": model, "seconds": seconds},
            ),
            MadeToken,
        )

    async def revoke(self, token_id: str) -> None:
        """Revoke a token. `DELETE /v1/tokens/{token_id}`.

        It is refused everywhere, and its streams end, within five seconds. Revoking it again changes nothing.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/tokens/{token_id}", at={"token_id": token_id}))
