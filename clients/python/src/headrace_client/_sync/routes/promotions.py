"""`client.promotions`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import Call
from headrace_client._sync.sending import Sender
from headrace_client.models import Redemption


class PromotionsRoutes:
    """`client.promotions`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def redeem(self, *, code: str, idempotency_key: str | None = None) -> Redemption:
        """Use a promotion code. `POST /v1/promotions/redeem`.

        Once per account. 400 `promotion_refused` says in `reason` why it gives nothing: unknown, used, used_up, ended.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call("POST", "/v1/promotions/redeem", body={"code": code}, once=True, key=idempotency_key), Redemption
        )
