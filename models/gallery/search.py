"""Searching prompts: an account's own, or the public ones of all, the best first.

Both come from an index of words: an account's rows have a word of their own, so that its search reads its own matches and
nobody else's, and public rows are in an index apart. Of many matches the newest are ranked. A word that very many prompts have says
little, and to read its whole list in the index would cost by how many these are: the newest items are looked through first.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection, sql

from common.settings import settings
from models.gallery.indexing import ALIVE, word_of
from models.gallery.items import NOT_SHUT, OWNERS, SHOWN, ItemRow
from models.gallery.words import Kind, Term, query_of, terms_of

MAX_RANKED = 500  # matches that are ranked, the newest that may be seen
MANY = 25_000  # prompts that a word is in, as the database takes it, are too many to be read
MAX_NEWEST = 5_000  # items that are looked through then
MAX_LOOKED_AT = 1000  # of the newest items, whose words are compared with one that was mistyped
LIKENESS = 0.3  # that two words have at least, of which one is the other mistyped
MIN_LETTERS = 4  # of a word that may be mistyped

RankPlace = tuple[int, UUID]


class Hit(NamedTuple):
    """An item that was found, and how well it fits, in millionths."""

    rank: int
    item: ItemRow


def search(
    conn: Connection[Any],
    viewer: UUID,
    query: str,
    *,
    public: bool,
    kind: Kind | None = None,
    before: RankPlace | None = None,
    limit: int = 20,
) -> list[Hit]:
    """The items whose prompts fit a search, the best first. Where nothing fits, words that may be mistyped are replaced by the
    most alike of those in the newest prompts, if the database has pg_trgm. Raises InvalidParameter.
    """
    terms = terms_of(query)
    look = partial(_hits, conn, viewer, public=public, kind=kind, before=before, limit=limit)
    hits = look(terms)
    if hits or not _can_compare(conn):
        return hits
    meant = _meant(conn, viewer, terms, public=public, kind=kind)
    return look(meant) if meant else hits


def _hits(
    conn: Connection[Any],
    viewer: UUID,
    terms: list[Term],
    *,
    public: bool,
    kind: Kind | None,
    before: RankPlace | None,
    limit: int,
) -> list[Hit]:
    text, words = query_of(terms, settings().search_language)
    query = conn.execute(sql.SQL("select {}::text").format(text), words).fetchone()
    if query is None or query[0] is None:
        return []
    values = {
        "viewer": viewer, "own": f"'{word_of(viewer)}'", "query": query[0], "kind": kind, "limit": limit,
        "rank": before[0] if before else None, "before": before[1] if before else None,
    }  # fmt: skip
    look = partial(_ranked, conn, values, public=public)
    hits = look(newest=True) if _is_common(conn, query[0]) else []
    return hits if len(hits) >= limit else look(newest=False)  # what comes behind the newest is read after all


def _ranked(conn: Connection[Any], values: dict[str, Any], *, public: bool, newest: bool) -> list[Hit]:
    """What fits, the best first, of all items or of the newest."""
    whose, fits, owners, not_shut = (
        "g.public and not g.shut",
        "g.words @@ %(query)s::tsquery",
        OWNERS,
        f"and {NOT_SHUT}",
    )
    at = "published_at"
    if not public:
        whose, fits = "g.account_id = %(viewer)s", "g.words @@ (%(own)s::tsquery && %(query)s::tsquery)"
        owners = not_shut = ""
        at = "created_at"
    if values["kind"] is not None:
        whose += " and g.kind = %(kind)s"
    # In one with the order by time the planner would walk along it for a word that few have.
    source, kept = "gallery_items g", "materialized"
    if newest:
        source = f"(select g.* from gallery_items g where {whose} order by g.{at} desc, g.id desc limit %(newest)s) g"
        kept = "not materialized"  # it ends when so many are found
    behind = "where (rank, id) < (%(rank)s, %(before)s)" if values["before"] is not None else ""
    # What may not be seen is left out before so many are taken: whoever was banned would hide the others.
    rows = conn.execute(
        f"""with fitting as {kept} (
              select g.id, g.account_id, g.{at} as at, g.words from {source} where {whose} and {fits}),
            ranked as materialized (
              select g.id, (ts_rank(g.words, %(query)s::tsquery, 1) * 1000000)::int as rank
                from (select * from fitting order by at desc, id desc offset 0) g join assets s on s.id = g.id {owners}
               where {ALIVE} {not_shut} order by g.at desc, g.id desc limit %(most)s),
            page as materialized (select * from ranked {behind} order by rank desc, id desc limit %(limit)s)
            select r.rank, {SHOWN} from page r join assets s on s.id = r.id join jobs j on j.id = s.job_id
              join gallery_items g on g.id = s.id order by r.rank desc, r.id desc""",
        {**values, "newest": MAX_NEWEST, "most": MAX_RANKED},
    ).fetchall()
    return [Hit(row[0], ItemRow(*row[1:])) for row in rows]


def _is_common(conn: Connection[Any], query: str) -> bool:
    """Whether very many prompts fit, by the database's statistics, which know words and not whose prompts have them."""
    row = conn.execute(
        sql.SQL("explain (format json) select 1 from gallery_items g where g.words @@ {}::tsquery").format(
            sql.Literal(query)
        )
    ).fetchone()
    assert row is not None  # noqa: S101 - a plan
    return bool(row[0][0]["Plan"]["Plan Rows"] > MANY)


def _can_compare(conn: Connection[Any]) -> bool:
    return conn.execute("select 1 from pg_extension where extname = 'pg_trgm'").fetchone() is not None


def _meant(
    conn: Connection[Any], viewer: UUID, terms: Sequence[Term], *, public: bool, kind: Kind | None
) -> list[Term] | None:
    """What may have been meant; None: nothing else."""
    typed = sorted({each.text.lower() for each in terms if _may_be_mistyped(each)})
    if not typed:
        return None
    whose, at = ("public and not shut", "published_at") if public else ("account_id = %(viewer)s", "created_at")
    of_kind = "and kind = %(kind)s" if kind is not None else ""
    newest = f"{whose} {of_kind} order by {at} desc, id desc"
    rows = conn.execute(
        f"""with known as materialized (
              select distinct word from (select words from gallery_items where {newest} limit %(most)s) g,
                     unnest(tsvector_to_array(g.words)) as word where word not like '=%%'),
            typed as (
              select t.word, (tsvector_to_array(to_tsvector(%(language)s::text::regconfig, t.word)))[1] as stem
                from unnest(%(typed)s::text[]) as t(word))
            select t.word, k.word from typed t cross join lateral (
              select word from known where similarity(word, t.stem) >= %(likeness)s
               order by similarity(word, t.stem) desc, word limit 1) k
             where t.stem is not null and not exists (select 1 from known where word = t.stem)""",
        {
            "viewer": viewer, "kind": kind, "most": MAX_LOOKED_AT, "language": settings().search_language, "typed": typed,
            "likeness": LIKENESS,
        },
    ).fetchall()  # fmt: skip
    instead: dict[str, str] = dict(rows)
    if not instead:
        return None
    return [
        each._replace(text=instead[each.text.lower()], prefix=True)
        if _may_be_mistyped(each) and each.text.lower() in instead
        else each
        for each in terms
    ]


def _may_be_mistyped(term: Term) -> bool:
    return not (term.phrase or term.without) and re.fullmatch(rf"\w{{{MIN_LETTERS},}}", term.text) is not None
