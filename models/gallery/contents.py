"""What is in a collection, and in which order. Each change is made under the collection's lock."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidInput, NotFound
from models.gallery import collections, indexing, rights
from models.gallery.collections import IN_IT, SEEN, CollectionRow
from models.gallery.items import NOT_SHUT, SHOWN, ItemRow
from models.gallery.rights import Deed

MAX_ITEMS = 2000  # in one collection
MAX_AT_ONCE = 500  # that are added, removed or moved by one request


class Placed(NamedTuple):
    """An item at its place in a collection."""

    position: int
    item: ItemRow


class Changed(NamedTuple):
    """How many items a request added, removed or moved, and how many are in the collection now."""

    changed: int
    total: int


def list_items(
    conn: Connection[Any],
    viewer: UUID | None,
    collection: CollectionRow,
    *,
    after: tuple[int, UUID] | None = None,
    limit: int = 20,
) -> list[Placed]:
    """What somebody who may look at a collection sees in it, in its order."""
    behind = "and (ci.position, ci.item_id) > (%(position)s, %(after)s)" if after is not None else ""
    rows = conn.execute(
        f"""select ci.position, {SHOWN} from {IN_IT} join jobs j on j.id = s.job_id
             where ci.collection_id = %(id)s and {SEEN} {behind} order by ci.position, ci.item_id limit %(limit)s""",
        {
            "id": collection.id, "viewer": viewer, "let_in": rights.let_in(collection.standing), "limit": limit,
            "position": after[0] if after else None, "after": after[1] if after else None,
        },
    ).fetchall()  # fmt: skip
    return [Placed(row[0], ItemRow(*row[1:])) for row in rows]


def add(conn: Connection[Any], account_id: UUID, collection_id: UUID, item_ids: Sequence[UUID]) -> Changed:
    """Put items at a collection's end, in this order: own ones, and public ones of others. What is in it already stays where
    it is. Raises NotFound, Forbidden, InvalidInput; then none is added.
    """
    collections.find(conn, account_id, collection_id, Deed.FILL, locked=True)
    wanted = list(dict.fromkeys(item_ids))
    indexing.ensure(conn, wanted)
    conn.execute(
        "select 1 from gallery_items where id = any(%s) order by id for key share", [wanted]
    )  # none goes meanwhile
    seen = conn.execute(
        f"""select g.id from gallery_items g join assets s on s.id = g.id join accounts o on o.id = g.account_id
              join users u on u.id = o.user_id
             where g.id = any(%s) and {indexing.ALIVE} and (g.account_id = %s or (g.public and {NOT_SHUT}))""",
        [wanted, account_id],
    ).fetchall()
    there = {row[0] for row in seen}
    lacking = next((each for each in wanted if each not in there), None)
    if lacking is not None:
        raise NotFound(f"no item {lacking} that you may see", param="items")
    before = _order(conn, collection_id)
    known = set(before)
    new = [each for each in wanted if each not in known]
    if len(before) + len(new) > MAX_ITEMS:
        raise InvalidInput(
            f"items: {len(before)} are in this collection and {len(new)} would be added; the limit is {MAX_ITEMS}",
            param="items",
        )
    conn.execute(
        """insert into collection_items (collection_id, item_id, position, added_by)
           select %(id)s, n.item_id, n.number + coalesce((select max(position) from collection_items where collection_id = %(id)s), 0),
                  %(by)s
             from unnest(%(items)s::uuid[]) with ordinality as n(item_id, number)""",
        {"id": collection_id, "items": new, "by": account_id},
    )
    return Changed(len(new), len(before) + len(new))


def remove(conn: Connection[Any], account_id: UUID, collection_id: UUID, item_ids: Sequence[UUID]) -> Changed:
    """Take items out of a collection; those that are not in it are no fault. Raises NotFound, Forbidden."""
    before = collections.find(conn, account_id, collection_id, Deed.FILL, locked=True).total
    gone = conn.execute(
        "delete from collection_items where collection_id = %s and item_id = any(%s)", [collection_id, list(item_ids)]
    ).rowcount
    return Changed(gone, before - gone)


def move(
    conn: Connection[Any], account_id: UUID, collection_id: UUID, item_ids: Sequence[UUID], after: UUID | None
) -> Changed:
    """Put items of a collection, in this order, right behind another of it; None: at its beginning. Raises NotFound, Forbidden,
    InvalidInput.
    """
    collections.find(conn, account_id, collection_id, Deed.FILL, locked=True)
    order = moved(_order(conn, collection_id), item_ids, after)
    conn.execute(
        """update collection_items ci set position = n.number from unnest(%s::uuid[]) with ordinality as n(item_id, number)
            where ci.collection_id = %s and ci.item_id = n.item_id and ci.position <> n.number""",
        [order, collection_id],
    )
    return Changed(len(set(item_ids)), len(order))


def moved(order: Sequence[UUID], items: Sequence[UUID], after: UUID | None) -> list[UUID]:
    """The order in which these items stand right behind another. Pure. Raises InvalidInput for what is not in it."""
    chosen, there, moving = list(dict.fromkeys(items)), set(order), set(items)
    lacking = next((each for each in chosen if each not in there), None)
    if lacking is not None:
        raise InvalidInput(f"{lacking} is not in this collection", param="items")
    if after is not None and (after not in there or after in moving):
        raise InvalidInput(f"{after} is not in this collection, or is to be moved itself", param="after")
    rest = [each for each in order if each not in moving]
    place = 0 if after is None else rest.index(after) + 1
    return [*rest[:place], *chosen, *rest[place:]]


def _order(conn: Connection[Any], collection_id: UUID) -> list[UUID]:
    rows = conn.execute(
        "select item_id from collection_items where collection_id = %s order by position, item_id", [collection_id]
    ).fetchall()
    return [row[0] for row in rows]
