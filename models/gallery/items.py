"""Items: stored results as people look at them. Read from `assets` and `jobs`, with what the gallery knows of each beside."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidInput, NotFound
from models.columns import end_or_never
from models.gallery import indexing
from models.gallery.indexing import ALIVE
from models.gallery.tables import MAX_TITLE
from models.gallery.words import Kind, kind_of, media_of, prompt_of, seed_of

RECENT_JOBS = 50  # of an account, whose results are listed though the duty has not come by yet
# Whose things others see: `u` is the owner. It holds from the moment of a ban; lists of public things also leave out what
# `shutting` has marked since, so that they do not read past very many.
NOT_SHUT = "u.deleted_at is null and not u.banned and u.suspended_at is null"


class ItemRow(NamedTuple):
    """An item as somebody sees it."""

    id: UUID
    account_id: UUID
    job_id: UUID
    model_id: str
    input: dict[str, Any]
    media_type: str
    size_bytes: int
    sha256: bytes
    width: int | None
    height: int | None
    duration_ms: int | None
    thumbnail: bool
    created_at: datetime
    expires_at: datetime | None  # None: it is kept for ever
    title: str | None
    public: bool | None
    published_at: datetime | None
    likes: int
    liked: bool

    @property
    def prompt(self) -> str | None:
        """What was asked for."""
        return prompt_of(self.input)

    @property
    def seed(self) -> int | None:
        """The seed that was asked for."""
        return seed_of(self.input)


# Of an item `s`, with its job and what is known of it; %(viewer)s is who looks, or null.
SHOWN = f"""s.id, s.account_id, s.job_id, j.model_id, j.input, s.media_type, s.size_bytes, s.sha256, s.width, s.height, s.duration_ms,
            s.thumbnail_key is not null, s.created_at, {end_or_never("s.expires_at")}, g.title, g.public, g.published_at, coalesce(g.likes, 0),
            exists (select 1 from item_likes l where l.item_id = s.id and l.account_id = %(viewer)s)"""
JOINED = "join jobs j on j.id = s.job_id left join gallery_items g on g.id = s.id"
OWNERS = "join accounts o on o.id = g.account_id join users u on u.id = o.user_id"


class WantedItems(NamedTuple):
    """Which of an account's items a list is of; None: whatever it is."""

    kind: Kind
    first_day: date | None = None
    last_day: date | None = None
    model_id: str | None = None
    job_id: UUID | None = None
    public: bool | None = None


def list_items(
    conn: Connection[Any],
    account_id: UUID,
    wanted: WantedItems,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[ItemRow]:
    """An account's own items, newest first. Those that the duty has not come by yet are read from the newest jobs."""
    values: dict[str, Any] = {
        "viewer": account_id, "account": account_id, "kind": wanted.kind, "media": media_of(wanted.kind) + "%",
        "model": wanted.model_id, "job": wanted.job_id, "first": wanted.first_day, "last": wanted.last_day,
        "at": before[0] if before else None, "before": before[1] if before else None, "limit": limit,
        "recent": RECENT_JOBS,
    }  # fmt: skip
    sources = [_indexed(wanted, before)]
    if not wanted.public:
        sources.append(_recent(wanted, before))
    union = " union all ".join(f"({each})" for each in sources)
    rows = conn.execute(
        f"""select {SHOWN} from (select id from ({union}) x order by created_at desc, id desc limit %(limit)s) x
              join assets s on s.id = x.id {JOINED} order by s.created_at desc, s.id desc""",
        values,
    ).fetchall()
    return [ItemRow(*row) for row in rows]


def _indexed(wanted: WantedItems, before: object) -> str:
    where = _conditions("g", wanted, before)
    if wanted.model_id is not None:
        where.append("g.model_id = %(model)s")
    if wanted.job_id is not None:
        where.append("g.id in (select id from assets where job_id = %(job)s)")
    if wanted.public is not None:
        where.append("g.public" if wanted.public else "g.public is not true")
    return f"""select g.id, g.created_at from gallery_items g join assets s on s.id = g.id
                where g.account_id = %(account)s and g.kind = %(kind)s and {ALIVE} and {" and ".join(where)}
                order by g.created_at desc, g.id desc limit %(limit)s"""


def _recent(wanted: WantedItems, before: object) -> str:
    where = _conditions("s", wanted, before)
    of_jobs = "and id = %(job)s" if wanted.job_id is not None else ""
    if wanted.model_id is not None:
        of_jobs += " and model_id = %(model)s"
    return f"""select s.id, s.created_at
                 from (select id from jobs where account_id = %(account)s and ended = 'succeeded' {of_jobs} order by id desc limit %(recent)s) j
                 join assets s on s.job_id = j.id
                where s.media_type like %(media)s and {ALIVE} and {" and ".join(where)}
                  and not exists (select 1 from gallery_items g where g.id = s.id)"""


def _conditions(table: str, wanted: WantedItems, before: object) -> list[str]:
    where = ["true"]
    if before is not None:
        where.append(f"({table}.created_at, {table}.id) < (%(at)s, %(before)s)")
    if wanted.first_day is not None:
        where.append(f"{table}.created_at >= %(first)s::date::timestamp at time zone 'UTC'")
    if wanted.last_day is not None:
        where.append(f"{table}.created_at < (%(last)s::date + 1)::timestamp at time zone 'UTC'")
    return where


def find(conn: Connection[Any], account_id: UUID, item_id: UUID, kind: Kind | None = None) -> ItemRow:
    """An item that this account may see: its own, or a public one. Raises NotFound, also from the moment its time has passed."""
    row = conn.execute(
        f"""select {SHOWN} from assets s {JOINED} join accounts o on o.id = s.account_id join users u on u.id = o.user_id
             where s.id = %(id)s and {ALIVE} and (s.account_id = %(viewer)s or (g.public and {NOT_SHUT}))""",
        {"id": item_id, "viewer": account_id},
    ).fetchone()
    found = ItemRow(*row) if row is not None else None
    its_kind = kind_of(found.media_type) if found is not None else None
    if found is None or its_kind is None or kind not in (None, its_kind):
        raise NotFound(f"no {kind or 'item'} {item_id}, or its time has passed", param="id")
    return found


def title_of(text: str | None) -> str | None:
    """A title as it is kept; None and nothing but spaces: none. Raises InvalidInput."""
    return plain_of("title", text or "", MAX_TITLE) or None


def plain_of(name: str, text: str, limit: int, *, lines: bool = False) -> str:
    """A text that people write, without the spaces around it. Raises InvalidInput where it is too long, or has what cannot be
    seen: control characters, and those that turn the direction of whatever stands around them.
    """
    plain = text.strip()
    if len(plain) > limit:
        raise InvalidInput(f"{name} has {len(plain)} characters; the limit is {limit}", param=name)
    wrong = next((each for each in plain if _is_hidden(each) and not (lines and each in "\n\t")), None)
    if wrong is not None:
        raise InvalidInput(f"{name} has a character that cannot be seen: U+{ord(wrong):04X}", param=name)
    return plain


def _is_hidden(character: str) -> bool:
    return (
        ord(character) < 32
        or 127 <= ord(character) < 160
        or character in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def change(conn: Connection[Any], account_id: UUID, item_id: UUID, kind: Kind, changes: dict[str, Any]) -> ItemRow:
    """Say of an own item that it is public or private, or give it a title. Raises NotFound, InvalidInput."""
    if find(conn, account_id, item_id, kind).account_id != account_id:
        raise NotFound(f"no {kind} of your own {item_id}", param="id")
    indexing.ensure(conn, [item_id])
    if "title" in changes:
        conn.execute("update gallery_items set title = %s where id = %s", [title_of(changes["title"]), item_id])
    if "public" in changes:
        conn.execute(
            """update gallery_items set public = %(on)s, shut = false, published_at = case when %(on)s then coalesce(published_at, app_now()) end
                where id = %(id)s""",
            {"on": changes["public"], "id": item_id},
        )
    return find(conn, account_id, item_id, kind)


def like(conn: Connection[Any], account_id: UUID, item_id: UUID, kind: Kind) -> ItemRow:
    """Like an item that one may see; again changes nothing. Raises NotFound."""
    find(conn, account_id, item_id, kind)
    indexing.ensure(conn, [item_id])
    new = conn.execute(
        """insert into item_likes (item_id, account_id) select id, %s from gallery_items where id = %s for key share
           on conflict do nothing""",
        [account_id, item_id],
    ).rowcount
    if new:
        conn.execute("update gallery_items set likes = likes + 1 where id = %s", [item_id])
    return find(conn, account_id, item_id, kind)


def unlike(conn: Connection[Any], account_id: UUID, item_id: UUID) -> None:
    """Take a like back, also of what may not be seen any more; again changes nothing."""
    conn.execute("select 1 from gallery_items where id = %s for no key update", [item_id])
    gone = conn.execute("delete from item_likes where item_id = %s and account_id = %s", [item_id, account_id]).rowcount
    if gone:
        conn.execute("update gallery_items set likes = likes - 1 where id = %s", [item_id])


FeedOrder = Literal["newest", "liked"]
FeedPlace = tuple[datetime, UUID] | tuple[int, UUID]
_ORDERS: dict[FeedOrder, str] = {"newest": "published_at", "liked": "likes"}


def feed(
    conn: Connection[Any],
    viewer: UUID,
    order: FeedOrder,
    kind: Kind | None,
    *,
    before: FeedPlace | None = None,
    limit: int = 20,
) -> Sequence[ItemRow]:
    """Public items of all: the newest, or the most liked, first."""
    column, of_kind = _ORDERS[order], "and g.kind = %(kind)s" if kind is not None else ""
    behind = f"and (g.{column}, g.id) < (%(at)s, %(before)s)" if before is not None else ""
    rows = conn.execute(
        f"""select {SHOWN} from gallery_items g join assets s on s.id = g.id join jobs j on j.id = s.job_id {OWNERS}
             where g.public and not g.shut {of_kind} {behind} and {ALIVE} and {NOT_SHUT}
             order by g.{column} desc, g.id desc limit %(limit)s""",
        {
            "viewer": viewer, "kind": kind, "limit": limit, "at": before[0] if before else None,
            "before": before[1] if before else None,
        },
    ).fetchall()  # fmt: skip
    return [ItemRow(*row) for row in rows]
