"""`client.invitations`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Collection, Invitation, InvitationPage


class AsyncInvitationsRoutes:
    """`client.invitations`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Invitation, InvitationPage]:
        """List your invitations. `GET /v1/invitations`.

        To collections of others, by the address that your identity provider knows you by, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/invitations", query={"limit": limit}), InvitationPage, lambda page: page.data
        )

    async def decline(self, invitation_id: str) -> None:
        """Decline an invitation. `DELETE /v1/invitations/{invitation_id}`.

        It is gone; you may be invited again.
        """
        return await self._sender.ask_nothing(
            Call("DELETE", "/v1/invitations/{invitation_id}", at={"invitation_id": invitation_id})
        )

    async def accept(self, invitation_id: str) -> Collection:
        """Accept an invitation. `POST /v1/invitations/{invitation_id}/accept`.

        From now on the collection is among those that others share with you.
        """
        return await self._sender.ask(
            Call("POST", "/v1/invitations/{invitation_id}/accept", at={"invitation_id": invitation_id}), Collection
        )
