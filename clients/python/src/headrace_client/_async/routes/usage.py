"""`client.usage`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import UsageTable


class AsyncUsageRoutes:
    """`client.usage`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(
        self,
        *,
        since: dt.date | Omit | None = OMIT,
        until: dt.date | Omit | None = OMIT,
        time_zone: str | Omit | None = OMIT,
        by: str | Omit = OMIT,
    ) -> UsageTable:
        """What you used. `GET /v1/usage`.

        Generations by outcome, credits, results, tokens, requests and storage, of whole days in your time zone. A job counts in
        the moment in which it ended, exactly once; requests are counted within some seconds.

        Args:
            since: The first day; without it, 30 days to `until`.
            until: The day before which it ends; without it, today is the last one.
            time_zone: In which days begin, such as Asia/Jakarta; without it, as you prefer.
            by: Any of hour, day or month; model; label:NAME; by commas. Nothing: one sum.
        """
        return await self._sender.ask(
            Call("GET", "/v1/usage", query={"since": since, "until": until, "time_zone": time_zone, "by": by}),
            UsageTable,
        )

    async def get_csv(
        self,
        *,
        since: dt.date | Omit | None = OMIT,
        until: dt.date | Omit | None = OMIT,
        time_zone: str | Omit | None = OMIT,
        by: str | Omit = OMIT,
    ) -> str:
        """What you used. `GET /v1/usage`.

        Generations by outcome, credits, results, tokens, requests and storage, of whole days in your time zone. A job counts in
        the moment in which it ended, exactly once; requests are counted within some seconds.

        Args:
            since: The first day; without it, 30 days to `until`.
            until: The day before which it ends; without it, today is the last one.
            time_zone: In which days begin, such as Asia/Jakarta; without it, as you prefer.
            by: Any of hour, day or month; model; label:NAME; by commas. Nothing: one sum.
        """
        return await self._sender.ask_text(
            Call(
                "GET",
                "/v1/usage",
                query={"since": since, "until": until, "time_zone": time_zone, "by": by, "format": "csv"},
            )
        )
