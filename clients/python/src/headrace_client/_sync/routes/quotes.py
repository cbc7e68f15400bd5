"""`client.quotes`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace_client._calls import Call
from headrace_client._sync.sending import Sender
from headrace_client.models import Quote


class QuotesRoutes:
    """`client.quotes`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(self, *, input: Mapping[str, Any], model: str) -> Quote:
        """Ask what a job would cost. `POST /v1/quotes`.

        The credits that ordering this would reserve, on your plan. Nothing is ordered.
        """
        return self._sender.ask(Call("POST", "/v1/quotes", body={"input": input, "model": model}), Quote)
