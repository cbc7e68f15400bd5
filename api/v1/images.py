"""/v1/images, /v1/videos and /v1/sounds: stored results as items, found, searched, published and liked; and the feed of public
ones. The three have the same routes.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import (
    Listing,
    PathId,
    WantedPage,
    id_of,
    moment_and_id_of,
    moment_and_id_text,
    number_of,
)
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.gallery_shapes import (
    FirstDay,
    ItemChange,
    ItemPage,
    ItemView,
    LastDay,
    SearchText,
    item_view,
)
from common.errors import InvalidParameter
from models.access.scopes import Caller
from models.db import certain, transaction
from models.fleet.replicas import caught_up
from models.gallery import items, search
from models.gallery.items import FeedPlace, ItemRow, WantedItems
from models.gallery.words import Kind

_Reader = Annotated[Caller, Depends(needs("read"))]
_Writer = Annotated[Caller, Depends(needs("write"))]
_Place = tuple[datetime, UUID]
_RankPlace = tuple[int, UUID]


def _rank_of(text: str) -> _RankPlace:
    rank, _, item_id = text.partition(" ")
    return number_of(rank), UUID(item_id)


def _rank_text(place: _RankPlace) -> str:
    return f"{place[0]} {place[1]}"


def _feed_place(text: str) -> FeedPlace:
    return _rank_of(text) if re.match("[0-9]+ ", text) else moment_and_id_of(text)


def _feed_text(place: FeedPlace) -> str:
    at, item_id = place
    return moment_and_id_text((at, item_id)) if isinstance(at, datetime) else _rank_text((at, item_id))


FEED: Listing[FeedPlace] = Listing("feed", _feed_place, _feed_text)
LISTS: dict[Kind, Listing[_Place]] = {
    kind: Listing(f"{kind}s", moment_and_id_of, moment_and_id_text) for kind in ("image", "video", "sound")
}
SEARCHES: dict[Kind, Listing[_RankPlace]] = {
    kind: Listing(f"{kind}-search", _rank_of, _rank_text) for kind in ("image", "video", "sound")
}


def _routes_of(kind: Kind) -> APIRouter:
    """The routes of one kind of items."""
    router = PrefixRouter(prefix=f"/v1/{kind}s", tags=["gallery"], route_class=WalledRoute)
    _add_list(router, kind)
    _add_items(router, kind)
    return router


def _add_list(router: APIRouter, kind: Kind) -> None:
    listing = LISTS[kind]

    @router.get("", response_model=ItemPage, summary=f"List {kind}s", name=f"list_{kind}s")
    def list_items(
        who: _Reader,
        wanted: Annotated[WantedPage[_Place], Depends(listing.wanted)],
        first: FirstDay = None,
        last: LastDay = None,
        model: Annotated[str | None, Query(max_length=100)] = None,
        job: UUID | None = None,
        public: Annotated[bool | None, Query(description="Only public ones, or only the others.")] = None,
    ) -> Response:
        """Your own, newest first, as soon as their jobs have ended and until they expire."""
        if first is not None and last is not None and first > last:
            raise InvalidParameter(f"from ({first}) is after to ({last})", param="from")
        which = WantedItems(kind, first, last, model, job, public)
        with caught_up() as conn:
            rows = items.list_items(conn, who.account_id, which, before=wanted.after, limit=wanted.reads)
        return answer(listing.page(rows, wanted, lambda row: (row.created_at, row.id), _shown_to(who)))


def _add_search(router: APIRouter, kind: Kind) -> None:
    searching = SEARCHES[kind]

    @router.get(f"/{kind}s", response_model=ItemPage, summary=f"Search {kind}s", name=f"search_{kind}s")
    def search_items(
        who: _Reader,
        wanted: Annotated[WantedPage[_RankPlace], Depends(searching.wanted)],
        q: SearchText,
        of: Annotated[Literal["own", "public"], Query(description="Yours, or the public ones of all.")] = "own",
    ) -> Response:
        """By their prompts, the best first. A new one is found within seconds."""
        with caught_up() as conn:
            hits = search.search(
                conn,
                who.account_id,
                q,
                public=of == "public",
                kind=kind,
                before=wanted.after,
                limit=wanted.reads,
            )
        return answer(
            searching.page(
                hits, wanted, lambda hit: (hit.rank, hit.item.id), lambda hit: item_view(hit.item, who.account_id)
            )
        )


def _add_items(router: APIRouter, kind: Kind) -> None:
    @router.get("/{item_id}", response_model=ItemView, summary=f"Look at one of the {kind}s", name=f"get_{kind}")
    def get_item(item_id: PathId, who: _Reader) -> Response:
        """One of yours, or a public one."""
        with transaction() as conn:
            return answer(_shown_to(who)(items.find(conn, who.account_id, id_of(item_id, kind), kind)))

    @router.patch(
        "/{item_id}", response_model=ItemView, summary=f"Publish or name one of the {kind}s", name=f"change_{kind}"
    )
    def change_item(item_id: PathId, body: ItemChange, who: _Writer) -> Response:
        """One of yours. What was made public is in the feed at once; made private it is seen by nobody else any more, but for
        whoever has kept its address.
        """
        changes = body.model_dump(exclude_unset=True)
        with certain() as conn:
            return answer(_shown_to(who)(items.change(conn, who.account_id, id_of(item_id, kind), kind, changes)))

    @router.put("/{item_id}/like", response_model=ItemView, summary=f"Like one of the {kind}s", name=f"like_{kind}")
    def like_item(item_id: PathId, who: _Writer) -> Response:
        """Once: again changes nothing."""
        with certain() as conn:
            return answer(_shown_to(who)(items.like(conn, who.account_id, id_of(item_id, kind), kind)))

    @router.delete(
        "/{item_id}/like", response_model=ItemView, summary=f"Like one of the {kind}s no more", name=f"unlike_{kind}"
    )
    def unlike_item(item_id: PathId, who: _Writer) -> Response:
        """Again changes nothing. A like of what is private by now is taken back too, and answered with 404."""
        wanted = id_of(item_id, kind)
        with certain() as conn:
            items.unlike(conn, who.account_id, wanted)
        with transaction() as conn:
            return answer(_shown_to(who)(items.find(conn, who.account_id, wanted, kind)))


images_router, videos_router, sounds_router = _routes_of("image"), _routes_of("video"), _routes_of("sound")
search_router = PrefixRouter(prefix="/v1/search", tags=["gallery"], route_class=WalledRoute)
for _kind in SEARCHES:
    _add_search(search_router, _kind)
feed_router = PrefixRouter(prefix="/v1/feed", tags=["gallery"], route_class=WalledRoute)


@feed_router.get("", response_model=ItemPage, summary="Look at what is public")
def list_feed(
    who: _Reader,
    wanted: Annotated[WantedPage[FeedPlace], Depends(FEED.wanted)],
    order: Annotated[Literal["newest", "liked"], Query(description="The newest first, or the most liked.")] = "newest",
    kind: Kind | None = None,
) -> Response:
    """Public items of all. Likes change meanwhile: in a walk along the most liked, an item may come twice or not at all."""
    place = wanted.after
    if place is not None and isinstance(place[0], datetime) is not (order == "newest"):
        raise InvalidParameter("cursor is of the feed in another order", param="cursor")
    with caught_up() as conn:
        rows = items.feed(conn, who.account_id, order, kind, before=place, limit=wanted.reads)

    def place_of(row: ItemRow) -> FeedPlace:
        if order == "liked" or row.published_at is None:
            return row.likes, row.id
        return row.published_at, row.id

    return answer(FEED.page(rows, wanted, place_of, _shown_to(who)))


def _shown_to(who: Caller) -> Callable[[ItemRow], dict[str, Any]]:
    return lambda row: item_view(row, who.account_id)
