"""What readers get: lists, one article, likes, and counts. Only what is published, and whose time has come."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import NotFound
from models.content.rendering import RENDERING, html_of
from models.content.states import shelf_of
from models.content.tables import NewsKind, Section

IS_SHOWN = "a.state = 'published' and a.published_at <= app_now()"


class Teaser(NamedTuple):
    """What everybody gets of an article."""

    id: UUID
    slug: str
    section: Section
    kind: NewsKind | None
    title: str
    teaser: str
    tags: list[str]
    premium: bool
    published_at: datetime
    updated_at: datetime
    views: int
    likes: int


class Reading(NamedTuple):
    """An article to be read. `liked`: by who asks."""

    top: Teaser
    html: str
    implication_html: str | None
    paper: dict[str, Any] | None
    citations: list[dict[str, Any]]
    liked: bool


SHOWN_OF_TEASER = """a.id, a.slug, a.section, a.kind, a.title, coalesce(a.teaser, a.opening), a.tags, a.premium, a.published_at,
                     a.updated_at, c.views, c.likes"""
_TEASERS = len(Teaser._fields)


def list_shown(
    conn: Connection[Any],
    *,
    part: str | None = None,
    tag: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[Teaser]:
    """Articles of a section, kind or tag, newest first. As many rows are read as are returned, however many there are."""
    at, article_id = before or (None, None)
    rows = conn.execute(
        f"""select {SHOWN_OF_TEASER}
              from (select article_id, published_at from article_shelves
                     where shelf = %(shelf)s and published_at <= app_now()
                       and (%(id)s::uuid is null or (published_at, article_id) < (%(at)s::timestamptz, %(id)s::uuid))
                     order by published_at desc, article_id desc limit %(limit)s) s
              join articles a on a.id = s.article_id join article_counts c on c.article_id = a.id
             order by s.published_at desc, s.article_id desc""",
        {"shelf": shelf_of(part, tag), "at": at, "id": article_id, "limit": limit},
    ).fetchall()
    return [Teaser(*row) for row in rows]


def read_article(conn: Connection[Any], slug: str, *, account_id: UUID | None = None) -> Reading:
    """One article by its slug. Raises NotFound."""
    row = conn.execute(
        f"""select {SHOWN_OF_TEASER}, a.html, a.implication_html, a.paper, a.citations,
                   exists (select 1 from article_likes l where l.account_id = %s and l.article_id = a.id),
                   a.rendering, case when a.rendering <> %s then a.body end, case when a.rendering <> %s then a.implication end
              from articles a join article_counts c on c.article_id = a.id where a.slug = %s and {IS_SHOWN}""",
        [account_id, RENDERING, RENDERING, slug],
    ).fetchone()
    if row is None:
        raise _no_article(slug)
    reading = Reading(Teaser(*row[:_TEASERS]), *row[_TEASERS:-3])
    rendering, body, implication = row[-3:]
    if rendering != RENDERING:  # made by rules that are not ours any more
        reading = reading._replace(html=html_of(body), implication_html=implication and html_of(implication))
    return reading


def _no_article(slug: str) -> NotFound:
    return NotFound(f"no article {slug[:40]!r}", param="slug")


def like(conn: Connection[Any], account_id: UUID, slug: str, *, liked: bool) -> int:
    """Note that an account's user likes an article, or no longer does; once, however often it is said. Returns how many
    like it. Raises NotFound.
    """
    row = conn.execute(f"select a.id from articles a where a.slug = %s and {IS_SHOWN}", [slug]).fetchone()
    if row is None:
        raise _no_article(slug)
    if liked:
        moved = conn.execute(
            "insert into article_likes (account_id, article_id) values (%s, %s) on conflict do nothing",
            [account_id, row[0]],
        ).rowcount
    else:
        moved = -conn.execute(
            "delete from article_likes where account_id = %s and article_id = %s", [account_id, row[0]]
        ).rowcount
    count = conn.execute(
        "update article_counts set likes = likes + %s where article_id = %s returning likes", [moved, row[0]]
    ).fetchone()
    assert count is not None  # noqa: S101 - made with the article
    likes: int = count[0]
    return likes


def forget_likes(conn: Connection[Any], account_id: UUID, limit: int) -> int:
    """Take the likes of somebody who is deleted back. Returns how many."""
    return conn.execute(
        """with mine as (
             delete from article_likes where account_id = %(account)s and article_id in (
               select article_id from article_likes where account_id = %(account)s order by article_id limit %(limit)s)
             returning article_id
           ), c as materialized (
             select article_id from article_counts where article_id in (select article_id from mine)
              order by article_id for no key update
           )
           update article_counts set likes = likes - 1 where article_id in (select article_id from c)""",
        {"account": account_id, "limit": limit},
    ).rowcount


def add_views(conn: Connection[Any], views: Mapping[UUID, int]) -> None:
    """Count how often articles were read, gathered by a process over a while."""
    if views:
        conn.execute(
            """with v as materialized (
                 select v.* from unnest(%s::uuid[], %s::bigint[]) as v(id, views) join article_counts c on c.article_id = v.id
                  order by c.article_id for no key update of c
               )
               update article_counts c set views = c.views + v.views from v where c.article_id = v.id""",
            [list(views), list(views.values())],
        )


def months_shown(conn: Connection[Any], limit: int) -> list[datetime]:
    """The months (UTC) in which something was published, the latest first. Read by one step per month, not by article."""
    rows = conn.execute(
        """with recursive m as (
             (select published_at from article_shelves where shelf = '/' and published_at <= app_now()
               order by published_at desc limit 1)
             union all
             select (select s.published_at from article_shelves s
                      where s.shelf = '/' and s.published_at < date_trunc('month', m.published_at, 'UTC')
                      order by s.published_at desc limit 1)
               from m where m.published_at is not null
           )
           select date_trunc('month', published_at, 'UTC') from m where published_at is not null limit %s""",
        [limit],
    ).fetchall()
    return [row[0] for row in rows]


def slugs_of_month(conn: Connection[Any], month: datetime, limit: int) -> list[tuple[str, datetime]]:
    """The slugs of a month's articles with the time of their last change, newest first."""
    rows: list[tuple[str, datetime]] = conn.execute(
        """select a.slug, greatest(a.updated_at, a.published_at) from article_shelves s join articles a on a.id = s.article_id
            where s.shelf = '/' and s.published_at >= %(month)s and s.published_at <= app_now()
              and s.published_at < %(month)s + interval '1 month' order by s.published_at desc, s.article_id desc limit %(limit)s""",
        {"month": month, "limit": limit},
    ).fetchall()
    return rows
