"""Search over the titles and bodies of news and research together."""

import re
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.settings import settings
from models.content.reading import IS_SHOWN, SHOWN_OF_TEASER, Teaser
from models.content.rendering import END_MARK, MARK, marked
from models.content.states import shelf_of

MAX_RANKED = 1000  # articles; where more fit, a word was asked for that says little, and the newest are looked through
_LAST_WORD = re.compile(r"(?:^|\s)(\w{2,50})$")
_WORDS = f"StartSel={MARK}, StopSel={END_MARK}, MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=' … '"


class FoundArticle(NamedTuple):
    """An article that fits, how well, and where, as HTML with <mark> alone."""

    top: Teaser
    rank: float
    excerpt: str


def prefix_of(query: str) -> str | None:
    """The word that somebody may still be typing: the last one, outside of a phrase."""
    found = _LAST_WORD.search(query)
    return found[1] if found and query.count('"') % 2 == 0 else None


def search(
    conn: Connection[Any],
    query: str,
    *,
    section: str | None = None,
    reads_on: bool,
    before: tuple[float, UUID] | None = None,
    limit: int = 20,
) -> list[FoundArticle]:
    """Articles that fit, the best first: all words, "a phrase", -without, this or that; the last word may be a beginning.

    `reads_on`: of premium articles the body is searched as well, and shown in the excerpt. To others it is as if they had none,
    so that nobody reads by asking.
    """
    asked = _asked(conn, query)
    if asked is None:
        return []
    rank, article_id = before or (None, None)
    rows = conn.execute(
        _SEARCH.format(fits=_FITS if reads_on else _FITS_STRANGERS),
        {
            "language": settings().content_language, "asked": asked, "section": section, "reads_on": reads_on, "rank": rank,
            "id": article_id, "limit": limit, "ranked": MAX_RANKED, "words": _WORDS, "shelf": shelf_of(section),
        },
    ).fetchall()  # fmt: skip
    return [FoundArticle(Teaser(*row[:-3]), row[-3], marked(row[-2] if MARK in row[-2] else row[-1])) for row in rows]


def _asked(conn: Connection[Any], query: str) -> str | None:
    """What is asked for, as the database has it; None: nothing. A statement of its own, so that the search is planned by how
    frequent these words are.
    """
    word = prefix_of(query)
    values = {
        "language": settings().content_language, "query": query, "rest": query if word is None else query[: -len(word)],
        "prefix": None if word is None else f"'{word}':*",
    }  # fmt: skip
    row = conn.execute(_ASKED, values).fetchone()
    return row[0] if row and row[0] else None


# All as it was asked for, or with the last word as a beginning of one. In stems; where no stem is left, as it was typed.
_ASKED = """
with of as (
  select websearch_to_tsquery(%(language)s::text::regconfig, %(query)s) as stems, websearch_to_tsquery('simple', %(query)s) as words,
         websearch_to_tsquery(%(language)s::text::regconfig, %(rest)s) as rest, to_tsquery('simple', %(prefix)s) as prefix
), whole as (select case when numnode(stems) > 0 then stems else words end as query, rest, prefix from of)
select (case when prefix is null or numnode(prefix) = 0 then query when numnode(rest) > 0 then query || (rest && prefix)
             else query || prefix end)::text from whole
"""
_FITS = "a.search @@ %(asked)s::tsquery"
# Not all of it and then less: what lacks a word would tell that the rest has it.
_FITS_STRANGERS = "(not a.premium and a.search @@ %(asked)s::tsquery or a.open_search @@ %(asked)s::tsquery)"
# An order by time would let the planner walk through all articles in that order for a rare word: it takes the beginning of a word
# for a frequent one.
_SEARCH = f"""
with fitting as materialized (
  select a.id from articles a where {{fits}} and a.state = 'published' limit %(ranked)s + 1
), few as materialized (
  select count(*) <= %(ranked)s as is_all from fitting
), looked_at as (
  select id from fitting where (select is_all from few)
  union all
  (select article_id from article_shelves where shelf = %(shelf)s and published_at <= app_now() and not (select is_all from few)
    order by published_at desc, article_id desc limit %(ranked)s)
), found as (
  select a.id, a.premium, a.search, a.open_search from looked_at l join articles a on a.id = l.id
   where {{fits}} and {IS_SHOWN} and (%(section)s::text is null or a.section = %(section)s)
), ranked as (
  select id, ts_rank_cd('{{{{0.05, 0.2, 0.4, 1.0}}}}',
         case when %(reads_on)s or not premium then search else open_search end, %(asked)s::tsquery, 1)::float8 as rank
    from found
), page as (
  select * from ranked where %(id)s::uuid is null or (rank, id) < (%(rank)s::float8, %(id)s::uuid)
   order by rank desc, id desc limit %(limit)s
)
select {SHOWN_OF_TEASER}, p.rank, ts_headline(%(language)s::text::regconfig, t.text, %(asked)s::tsquery, %(words)s),
       ts_headline('simple', t.text, %(asked)s::tsquery, %(words)s)
  from page p join articles a on a.id = p.id join article_counts c on c.article_id = a.id
  cross join lateral (select case when %(reads_on)s or not a.premium then a.plain else coalesce(a.teaser, a.opening) end) t(text)
 order by p.rank desc, p.id desc
"""
