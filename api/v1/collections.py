"""/v1/collections: choices of items, in an order of their own, shared with others. /v1/invitations: those of others."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, PathId, WantedPage, id_of, number_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.gallery_shapes import (
    ChangedView,
    CollectionChange,
    CollectionPage,
    CollectionRequest,
    CollectionView,
    ItemPage,
    ItemsRequest,
    OrderRequest,
    collection_view,
    item_view,
)
from models.access.scopes import Caller
from models.db import certain, transaction
from models.fleet.replicas import caught_up
from models.gallery import collections, contents

router = PrefixRouter(prefix="/v1/collections", tags=["collections"], route_class=WalledRoute)

_Reader = Annotated[Caller, Depends(needs("read"))]
_Writer = Annotated[Caller, Depends(needs("write"))]


def _place_of(text: str) -> tuple[int, UUID]:
    position, _, item_id = text.partition(" ")
    return number_of(position), UUID(item_id)


COLLECTIONS = Listing("collections", UUID)
CONTENTS = Listing("collection-items", _place_of, lambda place: f"{place[0]} {place[1]}")


@router.post("", status_code=201, response_model=CollectionView, summary="Make a collection")
def create_collection(
    body: CollectionRequest, request: Request, who: _Writer, idempotency_key: RepeatKey = None
) -> Response:
    """Empty, and seen by nobody else unless it is public."""

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return collection_view(collections.create(conn, who.account_id, body.model_dump()))

    return once(who, idempotency_key, asked(request, body), work, status=201, location="/v1/collections/{id}")


@router.get("", response_model=CollectionPage, summary="List collections")
def list_collections(
    who: _Reader,
    wanted: Annotated[WantedPage[UUID], Depends(COLLECTIONS.wanted)],
    of: Annotated[
        Literal["own", "shared", "public"],
        Query(description="Yours, those that others share with you, or the public ones of all."),
    ] = "own",
) -> Response:
    """Newest first."""
    with caught_up() as conn:
        rows = collections.list_collections(conn, who.account_id, of, before=wanted.after, limit=wanted.reads)
    return answer(COLLECTIONS.page(rows, wanted, lambda row: row.id, collection_view))


@router.get("/{collection_id}", response_model=CollectionView, summary="Look at a collection")
def get_collection(collection_id: PathId, who: _Reader) -> Response:
    """One of yours, one that is shared with you, or a public one."""
    with transaction() as conn:
        return answer(collection_view(collections.find(conn, who.account_id, _id(collection_id))))


@router.patch("/{collection_id}", response_model=CollectionView, summary="Change a collection")
def change_collection(collection_id: PathId, body: CollectionChange, who: _Writer) -> Response:
    """Its name, description and cover, for editors too; whether it is public, for its owner."""
    changes = body.model_dump(exclude_unset=True)
    if "cover" in changes:
        changes["cover_id"] = changes.pop("cover")
    with certain() as conn:
        return answer(collection_view(collections.change(conn, who.account_id, _id(collection_id), changes)))


@router.delete("/{collection_id}", status_code=204, summary="Delete a collection")
def delete_collection(collection_id: PathId, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """With its links and collaborators. Its items stay what they are."""
    with certain() as conn:
        collections.delete(conn, who.account_id, _id(collection_id))
    return Response(status_code=204)


@router.get("/{collection_id}/items", response_model=ItemPage, summary="List a collection's items")
def list_collection_items(
    collection_id: PathId,
    who: _Reader,
    wanted: Annotated[WantedPage[tuple[int, UUID]], Depends(CONTENTS.wanted)],
) -> Response:
    """Those that you may see, in the collection's order. Of a public collection others see its public items; its
    collaborators, and whoever has a link to it, also what its owner has put in without ever making it private.
    """
    with transaction() as conn:
        found = collections.find(conn, who.account_id, _id(collection_id))
        rows = contents.list_items(conn, who.account_id, found, after=wanted.after, limit=wanted.reads)
    return answer(
        CONTENTS.page(
            rows, wanted, lambda each: (each.position, each.item.id), lambda each: item_view(each.item, who.account_id)
        )
    )


@router.post("/{collection_id}/items", response_model=ChangedView, summary="Add items to a collection")
def add_collection_items(collection_id: PathId, body: ItemsRequest, who: _Writer) -> Response:
    """Your own, or public ones, up to 500 at once; all of them or none. What is in it already is not added again."""
    with certain() as conn:
        return answer(contents.add(conn, who.account_id, _id(collection_id), body.items)._asdict())


@router.post("/{collection_id}/items/remove", response_model=ChangedView, summary="Remove items from a collection")
def remove_collection_items(collection_id: PathId, body: ItemsRequest, who: _Writer) -> Response:
    """Up to 500 at once. What is not in it is no fault."""
    with certain() as conn:
        return answer(contents.remove(conn, who.account_id, _id(collection_id), body.items)._asdict())


@router.post("/{collection_id}/items/order", response_model=ChangedView, summary="Order a collection's items")
def order_collection_items(collection_id: PathId, body: OrderRequest, who: _Writer) -> Response:
    """Puts items, in the order in which they are sent, right behind another one, or at the beginning."""
    with certain() as conn:
        return answer(contents.move(conn, who.account_id, _id(collection_id), body.items, body.after)._asdict())


def _id(text: str) -> UUID:
    return id_of(text, "collection")
