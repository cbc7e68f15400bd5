"""`client.refill`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import Call
from headrace_client._sync.sending import Sender
from headrace_client.models import Refill


class RefillRoutes:
    """`client.refill`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def delete(self) -> None:
        """Switch the automatic refill off. `DELETE /v1/refill`.

        What is under way goes on.
        """
        return self._sender.ask_nothing(Call("DELETE", "/v1/refill"))

    def get(self) -> Refill:
        """Look at the automatic refill. `GET /v1/refill`.

        404: there is none.
        """
        return self._sender.ask(Call("GET", "/v1/refill"), Refill)

    def put(self, *, currency: str, monthly_limit: float | str, pack: str, threshold: int) -> Refill:
        """Switch the automatic refill on. `PUT /v1/refill`.

        With the card that was kept last (`keep_card` of a payment). Put again it goes on after a pause.
        """
        return self._sender.ask(
            Call(
                "PUT",
                "/v1/refill",
                body={"currency": currency, "monthly_limit": monthly_limit, "pack": pack, "threshold": threshold},
            ),
            Refill,
        )
