"""`client.notifications`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Marked, Notification, NotificationPage, UnreadCount


class AsyncNotificationsRoutes:
    """`client.notifications`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(
        self, *, unread: bool | Omit = OMIT, limit: int | Omit = OMIT
    ) -> AsyncPager[Notification, NotificationPage]:
        """List notifications. `GET /v1/notifications`.

        Newest first.

        Args:
            unread: Only those not read yet.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/notifications", query={"unread": unread, "limit": limit}),
            NotificationPage,
            lambda page: page.data,
        )

    async def read_all_notifications(self) -> Marked:
        """Mark all as read. `POST /v1/notifications/read`."""
        return await self._sender.ask(Call("POST", "/v1/notifications/read"), Marked)

    async def count_unread_notifications(self) -> UnreadCount:
        """Count the unread ones. `GET /v1/notifications/unread`.

        For a badge.
        """
        return await self._sender.ask(Call("GET", "/v1/notifications/unread"), UnreadCount)

    async def read(self, notification_id: str) -> None:
        """Mark one as read. `POST /v1/notifications/{notification_id}/read`.

        Again is fine.
        """
        return await self._sender.ask_nothing(
            Call("POST", "/v1/notifications/{notification_id}/read", at={"notification_id": notification_id})
        )
