"""`client.payments`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Payment, PaymentPage


class PaymentsRoutes:
    """`client.payments`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Payment, PaymentPage]:
        """List payments. `GET /v1/payments`.

        Your own, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/payments", query={"limit": limit}), PaymentPage, lambda page: page.data
        )

    def create(
        self,
        *,
        currency: str,
        company: str | Omit | None = OMIT,
        interval: Literal["monthly", "yearly"] | Omit | None = OMIT,
        keep_card: bool | Omit = OMIT,
        pack: str | Omit | None = OMIT,
        plan: str | Omit | None = OMIT,
        return_url: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Payment:
        """Order a pack or a plan. `POST /v1/payments`.

        Answers with where to pay. Nothing is credited before the company says that the money is there. The order is written
        down first: if the company is away, 503 says so, and the same request with its `Idempotency-Key` goes on with it.

        Args:
            currency: ISO 4217, as in the prices of packs and plans.
            interval: Of a plan; a month if left out.
            keep_card: Keep the card for refills that the account asks for.
            return_url: Where the payer's browser comes back to. That it did proves nothing.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/payments",
                body={
                    "currency": currency,
                    "company": company,
                    "interval": interval,
                    "keep_card": keep_card,
                    "pack": pack,
                    "plan": plan,
                    "return_url": return_url,
                },
                once=True,
                key=idempotency_key,
            ),
            Payment,
        )

    def get(self, payment_id: str) -> Payment:
        """Look at a payment. `GET /v1/payments/{payment_id}`.

        How it stands, as its company said last.
        """
        return self._sender.ask(Call("GET", "/v1/payments/{payment_id}", at={"payment_id": payment_id}), Payment)
