"""`client.search`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Item, ItemPage


class SearchRoutes:
    """`client.search`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def images(
        self, *, q: str, of: Literal["own", "public"] | Omit = OMIT, limit: int | Omit = OMIT
    ) -> Pager[Item, ItemPage]:
        """Search images. `GET /v1/search/images`.

        By their prompts, the best first. A new one is found within seconds.

        Args:
            q: Words of the prompt: all of them; "in a row", begin*, -without.
            of: Yours, or the public ones of all.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/search/images", query={"q": q, "of": of, "limit": limit}), ItemPage, lambda page: page.data
        )

    def sounds(
        self, *, q: str, of: Literal["own", "public"] | Omit = OMIT, limit: int | Omit = OMIT
    ) -> Pager[Item, ItemPage]:
        """Search sounds. `GET /v1/search/sounds`.

        By their prompts, the best first. A new one is found within seconds.

        Args:
            q: Words of the prompt: all of them; "in a row", begin*, -without.
            of: Yours, or the public ones of all.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/search/sounds", query={"q": q, "of": of, "limit": limit}), ItemPage, lambda page: page.data
        )

    def videos(
        self, *, q: str, of: Literal["own", "public"] | Omit = OMIT, limit: int | Omit = OMIT
    ) -> Pager[Item, ItemPage]:
        """Search videos. `GET /v1/search/videos`.

        By their prompts, the best first. A new one is found within seconds.

        Args:
            q: Words of the prompt: all of them; "in a row", begin*, -without.
            of: Yours, or the public ones of all.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/search/videos", query={"q": q, "of": of, "limit": limit}), ItemPage, lambda page: page.data
        )
