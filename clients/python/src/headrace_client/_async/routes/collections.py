"""`client.collections`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import (
    Changed,
    Collection,
    CollectionPage,
    Item,
    ItemPage,
    Link,
    LinkPage,
    Member,
    MemberPage,
    NewLink,
)


class AsyncCollectionsRoutes:
    """`client.collections`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(
        self, *, of: Literal["own", "shared", "public"] | Omit = OMIT, limit: int | Omit = OMIT
    ) -> AsyncPager[Collection, CollectionPage]:
        """List collections. `GET /v1/collections`.

        Newest first.

        Args:
            of: Yours, those that others share with you, or the public ones of all.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/collections", query={"of": of, "limit": limit}), CollectionPage, lambda page: page.data
        )

    async def create(
        self,
        *,
        name: str,
        description: str | Omit = OMIT,
        public: bool | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Collection:
        """Make a collection. `POST /v1/collections`.

        Empty, and seen by nobody else unless it is public.

        Args:
            name: At most 200 characters.
            description: At most 2000 characters.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections",
                body={"name": name, "description": description, "public": public},
                once=True,
                key=idempotency_key,
            ),
            Collection,
        )

    async def delete(self, collection_id: str) -> None:
        """Delete a collection. `DELETE /v1/collections/{collection_id}`.

        With its links and collaborators. Its items stay what they are.
        """
        return await self._sender.ask_nothing(
            Call("DELETE", "/v1/collections/{collection_id}", at={"collection_id": collection_id})
        )

    async def get(self, collection_id: str) -> Collection:
        """Look at a collection. `GET /v1/collections/{collection_id}`.

        One of yours, one that is shared with you, or a public one.
        """
        return await self._sender.ask(
            Call("GET", "/v1/collections/{collection_id}", at={"collection_id": collection_id}), Collection
        )

    async def change(
        self,
        collection_id: str,
        *,
        cover: str | Omit | None = OMIT,
        description: str | Omit = OMIT,
        name: str | Omit = OMIT,
        public: bool | Omit = OMIT,
    ) -> Collection:
        """Change a collection. `PATCH /v1/collections/{collection_id}`.

        Its name, description and cover, for editors too; whether it is public, for its owner.

        Args:
            cover: One of its items; null: the first.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/collections/{collection_id}",
                at={"collection_id": collection_id},
                body={"cover": cover, "description": description, "name": name, "public": public},
            ),
            Collection,
        )

    def list_items(self, collection_id: str, *, limit: int | Omit = OMIT) -> AsyncPager[Item, ItemPage]:
        """List a collection's items. `GET /v1/collections/{collection_id}/items`.

        Those that you may see, in the collection's order. Of a public collection others see its public items; its
        collaborators, and whoever has a link to it, also what its owner has put in without ever making it private.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/collections/{collection_id}/items",
                at={"collection_id": collection_id},
                query={"limit": limit},
            ),
            ItemPage,
            lambda page: page.data,
        )

    async def add_items(self, collection_id: str, *, items: Sequence[str]) -> Changed:
        """Add items to a collection. `POST /v1/collections/{collection_id}/items`.

        Your own, or public ones, up to 500 at once; all of them or none. What is in it already is not added again.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections/{collection_id}/items",
                at={"collection_id": collection_id},
                body={"items": items},
            ),
            Changed,
        )

    async def order_items(
        self, collection_id: str, *, items: Sequence[str], after: str | Omit | None = OMIT
    ) -> Changed:
        """Order a collection's items. `POST /v1/collections/{collection_id}/items/order`.

        Puts items, in the order in which they are sent, right behind another one, or at the beginning.

        Args:
            after: Right behind this one; null: at the beginning.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections/{collection_id}/items/order",
                at={"collection_id": collection_id},
                body={"items": items, "after": after},
            ),
            Changed,
        )

    async def remove_items(self, collection_id: str, *, items: Sequence[str]) -> Changed:
        """Remove items from a collection. `POST /v1/collections/{collection_id}/items/remove`.

        Up to 500 at once. What is not in it is no fault.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections/{collection_id}/items/remove",
                at={"collection_id": collection_id},
                body={"items": items},
            ),
            Changed,
        )

    async def leave(self, collection_id: str) -> None:
        """Leave a collection. `POST /v1/collections/{collection_id}/leave`.

        As a collaborator. What you have put in of your own goes with you.
        """
        return await self._sender.ask_nothing(
            Call("POST", "/v1/collections/{collection_id}/leave", at={"collection_id": collection_id})
        )

    def list_links(self, collection_id: str, *, limit: int | Omit = OMIT) -> AsyncPager[Link, LinkPage]:
        """List a collection's links. `GET /v1/collections/{collection_id}/links`.

        Without their addresses, revoked and expired ones included, newest first: for the owner.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/collections/{collection_id}/links",
                at={"collection_id": collection_id},
                query={"limit": limit},
            ),
            LinkPage,
            lambda page: page.data,
        )

    async def create_link(
        self,
        collection_id: str,
        *,
        expires_at: dt.datetime | Omit | None = OMIT,
        password: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> NewLink:
        """Share a collection by link. `POST /v1/collections/{collection_id}/links`.

        The address is shown once. Whoever has it, and its password if there is one, sees what collaborators see.

        Args:
            password: Asked for on the page.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections/{collection_id}/links",
                at={"collection_id": collection_id},
                body={"expires_at": expires_at, "password": password},
                once=True,
                key=idempotency_key,
            ),
            NewLink,
        )

    async def revoke_link(self, collection_id: str, link_id: str) -> None:
        """Revoke a link. `DELETE /v1/collections/{collection_id}/links/{link_id}`.

        At once; again changes nothing.
        """
        return await self._sender.ask_nothing(
            Call(
                "DELETE",
                "/v1/collections/{collection_id}/links/{link_id}",
                at={"collection_id": collection_id, "link_id": link_id},
            )
        )

    def list_members(self, collection_id: str, *, limit: int | Omit = OMIT) -> AsyncPager[Member, MemberPage]:
        """List collaborators. `GET /v1/collections/{collection_id}/members`.

        Those who were invited too, oldest first: for the owner.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/collections/{collection_id}/members",
                at={"collection_id": collection_id},
                query={"limit": limit},
            ),
            MemberPage,
            lambda page: page.data,
        )

    async def invite_member(
        self, collection_id: str, *, email: str, role: Literal["viewer", "editor"] | Omit = OMIT
    ) -> Member:
        """Invite a collaborator. `POST /v1/collections/{collection_id}/members`.

        By e-mail address; needs a plan with collaborators. Who has signed in with that address finds it at
        GET /v1/invitations. No mail is sent: tell them.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/collections/{collection_id}/members",
                at={"collection_id": collection_id},
                body={"email": email, "role": role},
            ),
            Member,
        )

    async def remove_member(self, collection_id: str, member_id: str) -> None:
        """Remove a collaborator. `DELETE /v1/collections/{collection_id}/members/{member_id}`.

        Or take an invitation back. What they have put in of their own goes with them.
        """
        return await self._sender.ask_nothing(
            Call(
                "DELETE",
                "/v1/collections/{collection_id}/members/{member_id}",
                at={"collection_id": collection_id, "member_id": member_id},
            )
        )

    async def change_member(self, collection_id: str, member_id: str, *, role: Literal["viewer", "editor"]) -> Member:
        """Change a collaborator's role. `PATCH /v1/collections/{collection_id}/members/{member_id}`.

        At once: a request of theirs that waits is decided by the new role.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/collections/{collection_id}/members/{member_id}",
                at={"collection_id": collection_id, "member_id": member_id},
                body={"role": role},
            ),
            Member,
        )
