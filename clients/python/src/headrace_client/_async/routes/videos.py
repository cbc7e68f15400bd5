"""`client.videos`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Item, ItemPage


class AsyncVideosRoutes:
    """`client.videos`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        from_: dt.date | Omit | None = OMIT,
        to: dt.date | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        job: str | Omit | None = OMIT,
        public: bool | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> AsyncPager[Item, ItemPage]:
        """List videos. `GET /v1/videos`.

        Your own, newest first, as soon as their jobs have ended and until they expire.

        Args:
            from_: The first day, UTC.
            to: The last day, UTC.
            public: Only public ones, or only the others.
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/videos",
                query={"from": from_, "to": to, "model": model, "job": job, "public": public, "limit": limit},
            ),
            ItemPage,
            lambda page: page.data,
        )

    async def get(self, item_id: str) -> Item:
        """Look at one of the videos. `GET /v1/videos/{item_id}`.

        One of yours, or a public one.
        """
        return await self._sender.ask(Call("GET", "/v1/videos/{item_id}", at={"item_id": item_id}), Item)

    async def change(self, item_id: str, *, public: bool | Omit = OMIT, title: str | Omit | None = OMIT) -> Item:
        """Publish or name one of the videos. `PATCH /v1/videos/{item_id}`.

        One of yours. What was made public is in the feed at once; made private it is seen by nobody else any more, but for
        whoever has kept its address.

        Args:
            public: False: nobody else sees it, in no collection either.
            title: At most 200 characters; null: none.
        """
        return await self._sender.ask(
            Call("PATCH", "/v1/videos/{item_id}", at={"item_id": item_id}, body={"public": public, "title": title}),
            Item,
        )

    async def unlike(self, item_id: str) -> Item:
        """Like one of the videos no more. `DELETE /v1/videos/{item_id}/like`.

        Again changes nothing. A like of what is private by now is taken back too, and answered with 404.
        """
        return await self._sender.ask(Call("DELETE", "/v1/videos/{item_id}/like", at={"item_id": item_id}), Item)

    async def like(self, item_id: str) -> Item:
        """Like one of the videos. `PUT /v1/videos/{item_id}/like`.

        Once: again changes nothing.
        """
        return await self._sender.ask(Call("PUT", "/v1/videos/{item_id}/like", at={"item_id": item_id}), Item)
