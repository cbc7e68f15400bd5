"""`client.feed`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Item, ItemPage


class FeedRoutes:
    """`client.feed`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        order: Literal["newest", "liked"] | Omit = OMIT,
        kind: Literal["image", "video", "sound"] | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[Item, ItemPage]:
        """Look at what is public. `GET /v1/feed`.

        Public items of all. Likes change meanwhile: in a walk along the most liked, an item may come twice or not at all.

        Args:
            order: The newest first, or the most liked.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/feed", query={"order": order, "kind": kind, "limit": limit}),
            ItemPage,
            lambda page: page.data,
        )
