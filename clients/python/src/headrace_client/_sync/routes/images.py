"""`client.images`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Item, ItemPage


class ImagesRoutes:
    """`client.images`: its routes."""

    def __init__(self, sender: Sender) -> None:
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
    ) -> Pager[Item, ItemPage]:
        """List images. `GET /v1/images`.

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
                "/v1/images",
                query={"from": from_, "to": to, "model": model, "job": job, "public": public, "limit": limit},
            ),
            ItemPage,
            lambda page: page.data,
        )

    def get(self, item_id: str) -> Item:
        """Look at one of the images. `GET /v1/images/{item_id}`.

        One of yours, or a public one.
        """
        return self._sender.ask(Call("GET", "/v1/images/{item_id}", at={"item_id": item_id}), Item)

    def change(self, item_id: str, *, public: bool | Omit = OMIT, title: str | Omit | None = OMIT) -> Item:
        """Publish or name one of the images. `PATCH /v1/images/{item_id}`.

        One of yours. What was made public is in the feed at once; made private it is seen by nobody else any more, but for
        whoever has kept its address.

        Args:
            public: False: nobody else sees it, in no collection either.
            title: At most 200 characters; null: none.
        """
        return self._sender.ask(
            Call("PATCH", "/v1/images/{item_id}", at={"item_id": item_id}, body={"public": public, "title": title}),
            Item,
        )

    def unlike(self, item_id: str) -> Item:
        """Like one of the images no more. `DELETE /v1/images/{item_id}/like`.

        Again changes nothing. A like of what is private by now is taken back too, and answered with 404.
        """
        return self._sender.ask(Call("DELETE", "/v1/images/{item_id}/like", at={"item_id": item_id}), Item)

    def like(self, item_id: str) -> Item:
        """Like one of the images. `PUT /v1/images/{item_id}/like`.

        Once: again changes nothing.
        """
        return self._sender.ask(Call("PUT", "/v1/images/{item_id}/like", at={"item_id": item_id}), Item)
