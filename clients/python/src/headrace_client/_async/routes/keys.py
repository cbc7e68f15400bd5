"""`client.keys`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Key, KeyPage, MadeKey


class AsyncKeysRoutes:
    """`client.keys`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Key, KeyPage]:
        """List keys. `GET /v1/keys`.

        All that are not revoked before those that are, newest first: none that works is behind many that do not.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/keys", query={"limit": limit}), KeyPage, lambda page: page.data)

    async def create(
        self,
        *,
        name: str,
        expires_at: dt.datetime | Omit | None = OMIT,
        models: Sequence[str] | Omit | None = OMIT,
        monthly_credits: int | Omit | None = OMIT,
        per_minute: int | Omit | None = OMIT,
        scopes: Sequence[Literal["generate", "read", "write", "delete", "edit", "admin", "act"]] | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> MadeKey:
        """Make a key. `POST /v1/keys`.

        A key can do no more than who makes it, in any respect: what is not asked for is as the maker has it, and what it
        spends and asks counts for the maker too. It ends with a maker that is revoked.

        Args:
            models: Only these models may be ordered.
            monthly_credits: What its jobs may cost in a calendar month (UTC).
            per_minute: Requests per minute.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/keys",
                body={
                    "name": name,
                    "expires_at": expires_at,
                    "models": models,
                    "monthly_credits": monthly_credits,
                    "per_minute": per_minute,
                    "scopes": scopes,
                },
                once=True,
                key=idempotency_key,
            ),
            MadeKey,
        )

    async def revoke(self, key_id: str) -> None:
        """Revoke a key. `DELETE /v1/keys/{key_id}`.

        It and what it has made are refused everywhere within five seconds. Revoking it again changes nothing.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/keys/{key_id}", at={"key_id": key_id}))

    async def rotate(
        self, key_id: str, *, overlap_hours: int | Omit | None = OMIT, idempotency_key: str | None = None
    ) -> MadeKey:
        """Rotate a key. `POST /v1/keys/{key_id}/rotate`.

        A new key that may do the same, with the same budget and end; the old one works for `overlap_hours` more. For the
        key itself, and for who could have made it.

        Args:
            overlap_hours: How long the old key still works.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/keys/{key_id}/rotate",
                at={"key_id": key_id},
                body={"overlap_hours": overlap_hours},
                once=True,
                key=idempotency_key,
            ),
            MadeKey,
        )
