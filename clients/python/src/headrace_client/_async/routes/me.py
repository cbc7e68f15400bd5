"""`client.me`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Me


class AsyncMeRoutes:
    """`client.me`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self) -> Me:
        """Look at yourself. `GET /v1/me`.

        Profile, plan, role, subscription, balance, storage and preferences.
        """
        return await self._sender.ask(Call("GET", "/v1/me"), Me)

    async def change_preferences(
        self,
        *,
        language: str | Omit | None = OMIT,
        mail: bool | Omit | None = OMIT,
        notifications: bool | Omit | None = OMIT,
        theme: Literal["light", "dark", "system"] | Omit | None = OMIT,
        time_zone: str | Omit | None = OMIT,
    ) -> Me:
        """Change your preferences. `PATCH /v1/me`.

        Only what is named changes.

        Args:
            mail: False: no notice goes by mail.
            time_zone: In which your days of usage begin.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/me",
                body={
                    "language": language,
                    "mail": mail,
                    "notifications": notifications,
                    "theme": theme,
                    "time_zone": time_zone,
                },
            ),
            Me,
        )

    def export_mine(self) -> AsyncIterator[dict[str, Any]]:
        """Export your account. `GET /v1/me/export`.

        All that is stored of your account, as JSON Lines: profile, keys (what they are, not what they say), jobs, where results lie, ledger, payments,
        usage, webhooks, gallery, learning, sessions, events, acts. The last line is of the kind `end`. Files are fetched one by one (`/files/…`).
        """
        return self._sender.ask_lines(Call("GET", "/v1/me/export"))
