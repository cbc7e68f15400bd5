"""`client.quotes`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import Call
from headrace_client.models import Quote


class AsyncQuotesRoutes:
    """`client.quotes`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def create(self, *, input: Mapping[str, Any], model: str) -> Quote:
        """Ask what a job would cost. `POST /v1/quotes`.

        The credits that ordering this would reserve, on your plan. Nothing is ordered.
        """
        return await self._sender.ask(Call("POST", "/v1/quotes", body={"input": input, "model": model}), Quote)
