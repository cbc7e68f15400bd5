"""How stored results become rows of the gallery: a duty follows the results by cursors, in batches, so that the end of a job
does nothing for it.

Results have ids in the order of time, made by a worker shortly before its commit. So the duty walks along them several
times, at growing distances from now: the first walk finds nearly all within a second, and the later ones those whose commit
took longer. The last distance is longer than a result that cannot be stored is tried again. Places move on in the transaction
that writes the rows, so a kill loses nothing and writes nothing twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from uuid_utils.compat import uuid7

from common.settings import settings
from models.fleet import processes
from models.gallery.words import FOLDING, MAX_PROMPT, fold, kind_of, prompt_of

NAME = "index_results"  # of the duty
DISTANCES = (0, 15, 600, 30 * 3600)  # seconds
LOOK_AGAIN_DAYS = 7  # after which it is asked whether a result that is kept still is
NOWHERE = UUID(int=0)
ALIVE = "s.status = 'stored' and s.expires_at > app_now()"  # a result that is there
# When it is asked what became of a result: by its plan, for who keeps it may leave it to its plan again.
PLAN_END = "coalesce(s.plan_ends_at, s.expires_at)"


class Walked(NamedTuple):
    """How many results became rows, and whether there may be more at once."""

    written: int
    more: bool


class _Found(NamedTuple):
    id: UUID
    job_id: UUID
    account_id: UUID
    media_type: str
    created_at: datetime
    expires_at: datetime
    wanted: bool
    model_id: str
    input: dict[str, Any]


def follow(conn: Connection[Any], limit: int) -> Walked:
    """Write rows for the next results of each walk. With another language of search all are walked along again."""
    read_as, places = _places(conn)
    written, more = 0, False
    for number, distance in enumerate(DISTANCES):
        found = _next(conn, places[number], _as_of(distance), limit, read_as)
        written += _write(conn, [each for each in found if each.wanted])
        more = more or len(found) >= limit
        if found:
            places[number] = found[-1].id
    processes.set_cursor(conn, NAME, orjson.dumps([read_as, *places]).decode())
    return Walked(written, more)


def ensure(conn: Connection[Any], item_ids: Iterable[UUID]) -> None:
    """Write the rows of these results now, where they are missing and the results are there: something is said of them."""
    rows = conn.execute(
        f"""select s.id, s.job_id, s.account_id, s.media_type, s.created_at, {PLAN_END}, true, j.model_id, j.input
              from assets s join jobs j on j.id = s.job_id
             where s.id = any(%s) and {ALIVE} and not exists (select 1 from gallery_items g where g.id = s.id) order by s.id""",
        [list(item_ids)],
    ).fetchall()
    _write(conn, [_Found(*row) for row in rows])


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete the rows of results whose time has passed, and with them their likes and places. A result that its owner keeps past its
    plan's time keeps its row, and is looked at again later: it may be left to its plan again. Returns how many were looked at.
    """
    row = conn.execute(
        f"""with due as materialized (
              select g.id, {ALIVE} as is_there, s.expires_at from gallery_items g join assets s on s.id = g.id
               where g.id = any(array(select id from gallery_items where expires_at <= app_now() order by expires_at limit %(limit)s))
               order by g.id for update of g),
            kept as (
              update gallery_items g set expires_at = least(due.expires_at, app_now() + make_interval(days => %(days)s))
                from due where due.is_there and g.id = due.id returning g.id),
            gone as (delete from gallery_items g using due where not due.is_there and g.id = due.id returning g.id)
            select (select count(*) from kept) + (select count(*) from gone)""",
        {"limit": limit, "days": LOOK_AGAIN_DAYS},
    ).fetchone()
    assert row is not None  # noqa: S101 - it counts
    return int(row[0])


def forget_deleted(conn: Connection[Any], job_id: UUID) -> None:
    """Delete the rows of a job's results that were deleted, with all that was said of them. Their time may be far away."""
    conn.execute(
        """delete from gallery_items where id = any(array(
             select g.id from gallery_items g join assets s on s.id = g.id where s.job_id = %s and s.status = 'deleted'
              order by g.id for update of g))""",
        [job_id],
    )


def _places(conn: Connection[Any]) -> tuple[str, list[UUID]]:
    text = processes.cursor(conn, NAME)
    before = orjson.loads(text) if text else [None]
    if before[0] != _read_as():
        return _read_as(), [NOWHERE] * len(DISTANCES)
    return _read_as(), [UUID(each) for each in before[1:]]


def _read_as() -> str:
    """In which language, and how, prompts are read now: rows of prompts that were read otherwise are written again."""
    return f"{settings().search_language}/{FOLDING}"


def _as_of(distance: int) -> UUID:
    """Ids that were made so many seconds ago are below this."""
    milliseconds = (uuid7().int >> 80) - distance * 1000
    return UUID(int=milliseconds << 80)


def _next(conn: Connection[Any], after: UUID, before: UUID, limit: int, read_as: str) -> list[_Found]:
    rows = conn.execute(
        f"""select s.id, s.job_id, s.account_id, s.media_type, s.created_at, {PLAN_END},
                   {ALIVE} and not exists (select 1 from gallery_items g where g.id = s.id and g.language = %(read_as)s)
                   and not exists (select 1 from accounts a join users u on u.id = a.user_id where a.id = s.account_id and u.deleted_at is not null),
                   j.model_id, j.input
              from (select * from assets where id > %(after)s and id < %(before)s order by id limit %(limit)s) s
              join jobs j on j.id = s.job_id order by s.id""",
        {"after": after, "before": before, "limit": limit, "read_as": read_as},
    ).fetchall()
    return [_Found(*row) for row in rows]


def _write(conn: Connection[Any], found: Sequence[_Found]) -> int:
    kept = [(each, kind) for each in found if (kind := kind_of(each.media_type)) is not None]
    if not kept:
        return 0
    return conn.execute(
        """insert into gallery_items (id, account_id, kind, model_id, created_at, expires_at, language, words)
           select n.id, n.account_id, n.kind, n.model_id, n.created_at, n.expires_at, %(read_as)s,
                  to_tsvector(%(language)s::text::regconfig, n.prompt) || array_to_tsvector(array[n.word])
             from unnest(%(id)s::uuid[], %(account)s::uuid[], %(kind)s::text[], %(model)s::text[], %(created)s::timestamptz[],
                         %(expires)s::timestamptz[], %(prompt)s::text[], %(word)s::text[])
               as n(id, account_id, kind, model_id, created_at, expires_at, prompt, word)
           on conflict (id) do update set language = excluded.language, words = excluded.words""",
        {
            "language": settings().search_language,
            "read_as": _read_as(),
            "id": [each.id for each, _ in kept],
            "account": [each.account_id for each, _ in kept],
            "kind": [kind for _, kind in kept],
            "model": [each.model_id for each, _ in kept],
            "created": [each.created_at for each, _ in kept],
            "expires": [each.expires_at for each, _ in kept],
            "prompt": [fold((prompt_of(each.input) or "")[:MAX_PROMPT]) for each, _ in kept],
            "word": [word_of(each.account_id) for each, _ in kept],
        },
    ).rowcount


def word_of(account_id: UUID) -> str:
    """The word that an account's rows have besides those of the prompt, so that a search among them reads no others. No prompt
    has it, since the equals sign is in no word.
    """
    return f"={account_id.hex}"
