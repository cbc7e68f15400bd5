"""`client.subscription`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Subscription


class AsyncSubscriptionRoutes:
    """`client.subscription`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self) -> Subscription:
        """Look at the subscription. `GET /v1/subscription`.

        The one that the account is on, or was on last; 404 where there was none.
        """
        return await self._sender.ask(Call("GET", "/v1/subscription"), Subscription)

    async def cancel(self, *, idempotency_key: str | None = None) -> Subscription:
        """Let the subscription end. `POST /v1/subscription/cancel`.

        It runs to its end, and is not renewed. One that waits for its payment ends now. A company that renews it by itself is
        told first: 503 `company_away` if it does not answer, and nothing has changed. Again is fine.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call("POST", "/v1/subscription/cancel", once=True, key=idempotency_key), Subscription
        )

    async def change(
        self,
        *,
        plan: str,
        interval: Literal["monthly", "yearly"] | Omit | None = OMIT,
        when: Literal["now", "period_end"] | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Subscription:
        """Change the plan. `POST /v1/subscription/change`.

        What costs less comes at the end of what is paid, or at once as asked. What costs more and is to come at once is 402
        `payment_required`: order that plan, and it begins when it is paid. The plan that runs undoes a change that is to come.

        Args:
            plan: A plan's id.
            when: Not said: what is more comes at once, what is less at the end of what is paid.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/subscription/change",
                body={"plan": plan, "interval": interval, "when": when},
                once=True,
                key=idempotency_key,
            ),
            Subscription,
        )

    async def resume(self, *, idempotency_key: str | None = None) -> Subscription:
        """Undo a cancel. `POST /v1/subscription/resume`.

        While the subscription runs. Again is fine.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call("POST", "/v1/subscription/resume", once=True, key=idempotency_key), Subscription
        )

    async def start_trial(self, *, plan: str, idempotency_key: str | None = None) -> Subscription:
        """Try a plan. `POST /v1/subscription/trial`.

        For the plan's days of trial, with a month's credits, once per account.

        Args:
            plan: A plan's id.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call("POST", "/v1/subscription/trial", body={"plan": plan}, once=True, key=idempotency_key), Subscription
        )
