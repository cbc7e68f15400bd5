"""`client.holds`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Hold, HoldPage


class HoldsRoutes:
    """`client.holds`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        open: bool | Omit | None = OMIT,
        reference: str | Omit | None = OMIT,
        label: str | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[Hold, HoldPage]:
        """List holds. `GET /v1/holds`.

        Your own, newest first.

        Args:
            open: Only those of which something is held, or only the others.
            label: Only those with this label: name:value, such as customer:acme.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/holds", query={"open": open, "reference": reference, "label": label, "limit": limit}),
            HoldPage,
            lambda page: page.data,
        )

    def create(
        self,
        *,
        amount: int,
        kind: Literal["image", "video", "speech", "text"] | Omit | None = OMIT,
        labels: Mapping[str, str] | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        reference: str | Omit | None = OMIT,
        seconds: int | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Hold:
        """Set credits aside. `POST /v1/holds`.

        They are reserved at once, as a job's are, and go back by themselves when their time has passed. The same `reference`
        again is the same hold. A key that is for some models alone names one of them.

        Args:
            kind: The same, by kind.
            model: What it is for, where credits are for some models alone.
            reference: Your own name for it: once per account.
            seconds: From now, until what is held goes back by itself.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/holds",
                body={
                    "amount": amount,
                    "kind": kind,
                    "labels": labels,
                    "model": model,
                    "reference": reference,
                    "seconds": seconds,
                },
                once=True,
                key=idempotency_key,
            ),
            Hold,
        )

    def get(self, hold_id: str) -> Hold:
        """Look at a hold. `GET /v1/holds/{hold_id}`.

        How much of it is held, settled and released.
        """
        return self._sender.ask(Call("GET", "/v1/holds/{hold_id}", at={"hold_id": hold_id}), Hold)

    def extend(self, hold_id: str, *, seconds: int, idempotency_key: str | None = None) -> Hold:
        """Let a hold live longer. `POST /v1/holds/{hold_id}/extend`.

        Up to a month from now, any number of times.

        Args:
            seconds: From now, until what is held goes back by itself.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/holds/{hold_id}/extend",
                at={"hold_id": hold_id},
                body={"seconds": seconds},
                once=True,
                key=idempotency_key,
            ),
            Hold,
        )

    def release(self, hold_id: str, *, amount: int | Omit | None = OMIT, idempotency_key: str | None = None) -> Hold:
        """Give a hold back. `POST /v1/holds/{hold_id}/release`.

        All that is held, or a part of it. One that is over is 400 `hold_ended`, with what became of it.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/holds/{hold_id}/release",
                at={"hold_id": hold_id},
                body={"amount": amount},
                once=True,
                key=idempotency_key,
            ),
            Hold,
        )

    def settle(
        self, hold_id: str, *, amount: int, release_rest: bool | Omit = OMIT, idempotency_key: str | None = None
    ) -> Hold:
        """Spend of a hold. `POST /v1/holds/{hold_id}/settle`.

        Up to what is held, in as many parts as you like. Send an `Idempotency-Key`: without one, the same request again spends
        again.

        Args:
            release_rest: Give back what is then still held.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/holds/{hold_id}/settle",
                at={"hold_id": hold_id},
                body={"amount": amount, "release_rest": release_rest},
                once=True,
                key=idempotency_key,
            ),
            Hold,
        )
