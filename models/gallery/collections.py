"""Collections: made, found, renamed, shown to others, deleted. What is in them: `models.gallery.contents`."""

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.gallery import rights
from models.gallery.indexing import ALIVE
from models.gallery.items import NOT_SHUT, plain_of
from models.gallery.rights import Deed, Footing, MemberRole
from models.gallery.tables import MAX_DESCRIPTION, MAX_NAME
from models.locks import lock_account

MAX_COLLECTIONS = 1000  # of one account
MAX_COVER_PLACES = 100  # places of a collection, for a cover
Whose = Literal["own", "shared", "public"]


class CollectionRow(NamedTuple):
    """A collection, as somebody sees it who stands so to it."""

    id: UUID
    account_id: UUID
    name: str
    description: str
    public: bool
    cover_id: UUID | None  # as it was chosen
    created_at: datetime
    total: int  # of what is in it, whoever sees it
    first_name: str | None  # the owner's
    last_name: str | None
    standing: Footing
    shown_cover: UUID | None  # what is shown: the chosen one, or the first, that whoever looks may see
    cover_has_thumbnail: bool


# An item `g` that is in a collection as `ci`, its result `s` and its owner `u`: whether whoever looks sees it. The query's twin
# of `rights.sees`; %(let_in)s is `rights.let_in`.
SEEN = f"""{ALIVE} and (g.account_id = %(viewer)s or ({NOT_SHUT} and (
             g.public or (g.public is null and ci.added_by = g.account_id and %(let_in)s))))"""
IN_IT = """collection_items ci join gallery_items g on g.id = ci.item_id join assets s on s.id = g.id
           join accounts o on o.id = g.account_id join users u on u.id = o.user_id"""
# A collaborator is one as long as the owner's plan has them.
_ROW = f"""select c.id, c.account_id, c.name, c.description, c.public, c.cover_id, c.created_at,
                  (select count(*) from collection_items ci where ci.collection_id = c.id), u.first_name, u.last_name,
                  case when p.collaborators then m.role end, not ({NOT_SHUT})
             from collections c join accounts a on a.id = c.account_id join users u on u.id = a.user_id
             join plans p on p.id = a.plan_id
             left join collection_members m on m.collection_id = c.id and m.account_id = %(viewer)s"""


def lock(conn: Connection[Any], collection_id: UUID) -> None:
    """Lock a collection; what is read of it and of who may do what with it is read in a later statement."""
    conn.execute("select 1 from collections where id = %s for update", [collection_id])


def find(
    conn: Connection[Any], viewer: UUID, collection_id: UUID, deed: Deed = Deed.LOOK, *, locked: bool = False
) -> CollectionRow:
    """A collection with which this account may do this. Raises NotFound, Forbidden. `locked`: it is changed next."""
    if locked:
        lock(conn, collection_id)
    row = conn.execute(f"{_ROW} where c.id = %(id)s", {"id": collection_id, "viewer": viewer}).fetchone()
    if row is None:
        raise NotFound(f"no collection {collection_id}", param="id")
    found = _row(row, viewer)
    rights.check(found.standing, deed, str(collection_id))
    return found if locked else _with_cover(conn, found, viewer)  # who changes it looks at no cover


def of_link(conn: Connection[Any], collection_id: UUID) -> CollectionRow | None:
    """A collection as whoever has its address sees it; None: its owner is shut out, and it with them."""
    row = conn.execute(f"{_ROW} where c.id = %(id)s", {"id": collection_id, "viewer": None}).fetchone()
    if row is None or row[-1]:
        return None
    return _with_cover(conn, _row(row, None)._replace(standing=Footing.LINK), None)


def list_collections(
    conn: Connection[Any], viewer: UUID, whose: Whose, *, before: UUID | None = None, limit: int = 20
) -> list[CollectionRow]:
    """Collections, the newest first: an account's own, those that others share with it, or public ones of all."""
    where = {
        "own": "c.account_id = %(viewer)s",
        "shared": "m.account_id = %(viewer)s and p.collaborators",
        "public": "c.public and not c.shut",
    }[whose]
    if whose != "own":
        where += f" and {NOT_SHUT}"
    source = _ROW.replace("left join", "join") if whose == "shared" else _ROW
    rows = conn.execute(
        f"""{source} where {where} and (%(before)s::uuid is null or c.id < %(before)s) order by c.id desc limit %(limit)s""",
        {"viewer": viewer, "before": before, "limit": limit},
    ).fetchall()
    return [_with_cover(conn, _row(row, viewer), viewer) for row in rows]


def _row(row: tuple[Any, ...], viewer: UUID | None) -> CollectionRow:
    *shown, role, shut = row
    standing = rights.standing_of(owns=row[1] == viewer, role=role, public=row[4], shut=shut)
    return CollectionRow._make((*shown, standing, None, False))


def _with_cover(conn: Connection[Any], row: CollectionRow, viewer: UUID | None) -> CollectionRow:
    """A page of twenty asks twenty times: each is answered from the index of its own collection, and stops at the first. Where the
    first places have nothing that whoever looks may see, no others are looked at.
    """
    cover = f"select s.id, s.thumbnail_key is not null from {IN_IT} where ci.collection_id = %(id)s and {SEEN}"
    first = cover.replace(
        "collection_items ci",
        "(select * from collection_items where collection_id = %(id)s order by position limit %(places)s) ci",
        1,
    )
    values = {
        "id": row.id,
        "viewer": viewer,
        "let_in": rights.let_in(row.standing),
        "chosen": row.cover_id,
        "places": MAX_COVER_PLACES,
    }
    found = None
    if row.cover_id is not None:
        found = conn.execute(f"{cover} and ci.item_id = %(chosen)s", values).fetchone()
    found = found or conn.execute(f"{first} order by ci.position limit 1", values).fetchone()
    return row if found is None else row._replace(shown_cover=found[0], cover_has_thumbnail=found[1])


def create(conn: Connection[Any], account_id: UUID, changes: dict[str, Any]) -> CollectionRow:
    """Make a collection. Raises InvalidInput."""
    lock_account(conn, account_id)
    found = conn.execute(
        "select count(*) from (select 1 from collections where account_id = %s limit %s) x",
        [account_id, MAX_COLLECTIONS],
    ).fetchone()
    if found is not None and found[0] >= MAX_COLLECTIONS:
        raise InvalidInput(f"an account has at most {MAX_COLLECTIONS} collections; delete one first", param="name")
    collection_id = uuid7()
    conn.execute(
        "insert into collections (id, account_id, name, description, public) values (%s, %s, %s, %s, %s)",
        [
            collection_id, account_id, _name(changes["name"]), _description(changes.get("description", "")),
            changes.get("public", False),
        ],
    )  # fmt: skip
    return find(conn, account_id, collection_id)


def change(conn: Connection[Any], account_id: UUID, collection_id: UUID, changes: dict[str, Any]) -> CollectionRow:
    """Rename or describe a collection, choose its cover, make it public or private. Raises NotFound, Forbidden, InvalidInput."""
    find(conn, account_id, collection_id, Deed.PUBLISH if "public" in changes else Deed.DESCRIBE, locked=True)
    checks = {"name": _name, "description": _description}
    for column in ("name", "description", "public"):
        if column in changes:
            value = checks[column](changes[column]) if column in checks else changes[column]
            marks = ", shut = false" if column == "public" else ""
            conn.execute(f"update collections set {column} = %s{marks} where id = %s", [value, collection_id])
    if "cover_id" in changes:
        _choose_cover(conn, collection_id, changes["cover_id"])
    return find(conn, account_id, collection_id)


def _choose_cover(conn: Connection[Any], collection_id: UUID, item_id: UUID | None) -> None:
    there = conn.execute(
        "select 1 from collection_items where collection_id = %s and item_id = %s", [collection_id, item_id]
    ).fetchone()
    if item_id is not None and there is None:
        raise InvalidInput(f"{item_id} is not in this collection", param="cover")
    conn.execute("update collections set cover_id = %s where id = %s", [item_id, collection_id])


def delete(conn: Connection[Any], account_id: UUID, collection_id: UUID) -> None:
    """Delete a collection, its links and who was invited; what was in it stays what it was. Raises NotFound, Forbidden."""
    find(conn, account_id, collection_id, Deed.DELETE, locked=True)
    conn.execute("delete from collections where id = %s", [collection_id])


def _name(text: str) -> str:
    plain = plain_of("name", text, MAX_NAME)
    if not plain:
        raise InvalidInput("name is empty", param="name")
    return plain


def _description(text: str) -> str:
    return plain_of("description", text, MAX_DESCRIPTION, lines=True)


def role_text(role: str) -> MemberRole:
    """Raises InvalidInput for a word that is no role."""
    if role not in rights.ROLES:
        raise InvalidInput(f"role is one of {', '.join(rights.ROLES)}", param="role")
    return role
