"""What editors do with articles. Each verb is one transaction of its caller's, locks the article alone, and leaves an act."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.access import audit_log
from models.access.audit_log import By
from models.content import states
from models.content.rendering import RENDERING, fit, html_of, plain_of, render
from models.content.slugs import take_slug
from models.content.states import ArticleStanding, shelves
from models.content.tables import NEWS_KINDS, ArticleState, NewsKind, Section
from models.versions import check_version


class Paper(NamedTuple):
    """What research is about."""

    title: str
    url: str | None = None
    authors: Sequence[str] = ()
    year: int | None = None


class Citation(NamedTuple):
    """A source that an article names."""

    title: str
    url: str | None = None


class ArticleText(NamedTuple):
    """What an editor writes. `teaser` None: the beginning of the body. Only news has a kind, only research the last three."""

    section: Section
    title: str
    body: str
    kind: NewsKind | None = None
    teaser: str | None = None
    tags: Sequence[str] = ()
    premium: bool = False
    implication: str | None = None
    paper: Paper | None = None
    citations: Sequence[Citation] = ()


class ArticleRow(NamedTuple):
    """An article as its editors see it."""

    id: UUID
    slug: str
    section: Section
    kind: NewsKind | None
    state: ArticleState
    version: int
    title: str
    body: str
    teaser: str | None
    tags: list[str]
    premium: bool
    implication: str | None
    paper: dict[str, Any] | None
    citations: list[dict[str, Any]]
    html: str
    implication_html: str | None
    rendering: int
    opening: str
    published_at: datetime | None
    created_by: UUID
    updated_by: UUID
    created_at: datetime
    updated_at: datetime

    def text(self) -> ArticleText:
        """What of it an editor wrote."""
        return text_of(self._asdict())


class ArticleHead(NamedTuple):
    """An article in an editor's list, without its text."""

    id: UUID
    slug: str
    section: Section
    kind: NewsKind | None
    state: ArticleState
    version: int
    title: str
    tags: list[str]
    premium: bool
    published_at: datetime | None
    created_by: UUID
    updated_by: UUID
    created_at: datetime
    updated_at: datetime


_HEAD = ", ".join(f"a.{name}" for name in ArticleHead._fields)
_WHOLE = ", ".join(f"a.{name}" for name in ArticleRow._fields)
_WRITTEN = ArticleText._fields
# Words as they are, so that a prefix finds them, and their stems, so that a form finds another. The title, tags and teaser are
# A and B, which everybody may search; the rest is C and D.
_OPEN = """
  setweight(to_tsvector(%(language)s::text::regconfig, %(title)s), 'A') || setweight(to_tsvector('simple', %(title)s), 'B')
  || setweight(to_tsvector('simple', %(tag_words)s), 'B') || setweight(to_tsvector(%(language)s::text::regconfig, %(shown)s), 'B')
  || setweight(to_tsvector('simple', %(shown)s), 'B')
"""
_OPEN_SEARCH = f"case when %(premium)s then {_OPEN} end"
_SEARCH = f"""{_OPEN}
  || setweight(to_tsvector(%(language)s::text::regconfig, %(plain)s), 'C') || setweight(to_tsvector('simple', %(plain)s), 'D')
"""


def text_of(said: dict[str, Any]) -> ArticleText:
    """What an editor wrote, out of what a row or a revision says."""
    paper = said["paper"]
    return ArticleText(
        **{
            **{name: said[name] for name in _WRITTEN},
            "paper": paper and Paper(**paper),
            "citations": [Citation(**each) for each in said["citations"]],
        }
    )


def said_of(text: ArticleText) -> dict[str, Any]:
    """What an editor wrote, as JSON."""
    return {
        **text._asdict(),
        "tags": list(text.tags),
        "paper": text.paper and {**text.paper._asdict(), "authors": list(text.paper.authors)},
        "citations": [each._asdict() for each in text.citations],
    }


def checked_text(text: ArticleText) -> ArticleText:
    """A text that can be kept: of its section, and each tag once, in small letters. Raises InvalidInput."""
    if text.section == "news":
        if text.kind is None:
            raise InvalidInput(f"news need a kind: {', '.join(NEWS_KINDS)}", param="kind")
        for name in ("implication", "paper", "citations"):
            if getattr(text, name):
                raise InvalidInput(f"{name} belongs to research, and this is news", param=name)
    elif text.kind is not None:
        raise InvalidInput("only news have a kind, and this is research", param="kind")
    if not fit(text.title).strip():
        raise InvalidInput("title has nothing that can be shown", param="title")
    return text._replace(tags=list(dict.fromkeys(tag.lower() for tag in text.tags)))


def create_article(conn: Connection[Any], by: By, user_id: UUID, text: ArticleText) -> ArticleRow:
    """Begin a draft. Raises InvalidInput."""
    text = checked_text(text)
    slug = take_slug(conn, text.title)
    values = {**_columns(text), "id": uuid7(), "slug": slug, "user": user_id}
    conn.execute(
        f"""insert into articles (id, slug, section, kind, title, body, teaser, tags, premium, implication, paper, citations, html,
                   implication_html, rendering, opening, plain, search, open_search, created_by, updated_by)
            values (%(id)s, %(slug)s, %(section)s, %(kind)s, %(title)s, %(body)s, %(teaser)s, %(tags)s, %(premium)s,
                   %(implication)s, %(paper)s, %(citations)s, %(html)s, %(implication_html)s, %(rendering)s, %(opening)s,
                   %(plain)s, {_SEARCH}, {_OPEN_SEARCH}, %(user)s, %(user)s)""",
        values,
    )
    conn.execute("insert into article_counts (article_id) values (%s)", [values["id"]])
    audit_log.record(conn, by, "article.create", str(values["id"]), slug=slug, title=text.title)
    return find_article(conn, values["id"])


def _columns(text: ArticleText) -> dict[str, Any]:
    """What is stored of a text, and what is made of it."""
    body = render(text.body)
    implication = None if text.implication is None else html_of(text.implication)
    said = said_of(text)
    return {
        **said,
        "paper": None if text.paper is None else Jsonb(said["paper"]),
        "citations": Jsonb(said["citations"]),
        "html": body.html,
        "implication_html": implication,
        "rendering": RENDERING,
        "opening": body.opening,
        "plain": " ".join([body.plain, *([plain_of(implication)] if implication else [])]),
        "language": settings().content_language,
        "tag_words": " ".join(text.tags),
        "shown": body.opening if text.teaser is None else text.teaser,
    }


def find_article(conn: Connection[Any], article_id: UUID) -> ArticleRow:
    """One article, whatever its state. Raises NotFound."""
    row = conn.execute(f"select {_WHOLE} from articles a where a.id = %s", [article_id]).fetchone()
    if row is None:
        raise NotFound(f"no article {article_id}", param="id")
    return ArticleRow(*row)


def _locked(conn: Connection[Any], article_id: UUID, version: int | None) -> tuple[ArticleRow, datetime]:
    """An article that is being changed, and the time. `version`: the one that its editor has seen. Raises NotFound, and
    VersionChanged where it is another by now.
    """
    row = conn.execute("select app_now() from articles where id = %s for update", [article_id]).fetchone()
    if row is None:
        raise NotFound(f"no article {article_id}", param="id")
    article = find_article(
        conn, article_id
    )  # a later statement: it sees what was committed while the lock was waited for
    check_version(version, article.version, "article")
    return article, row[0]


def change_article(
    conn: Connection[Any], by: By, user_id: UUID, article_id: UUID, version: int, change: Callable[[ArticleText], ArticleText]
) -> ArticleRow:  # fmt: skip
    """Write a text anew; what it said before is kept as a revision. Raises NotFound, VersionChanged, InvalidInput."""
    article, _ = _locked(conn, article_id, version)
    if article.state == "deleted":
        raise NotFound("this article is deleted; restore it first", param="id")
    before = article.text()
    after = checked_text(change(before))
    if said_of(after) == said_of(before):
        return article
    conn.execute(
        """insert into article_revisions (article_id, number, said, saved_by, saved_at) values (%s, %s, %s, %s, %s)""",
        [article_id, article.version, Jsonb(said_of(before)), article.updated_by, article.updated_at],
    )
    conn.execute(
        f"""update articles set kind = %(kind)s, title = %(title)s, body = %(body)s, teaser = %(teaser)s, tags = %(tags)s,
                  premium = %(premium)s, implication = %(implication)s, paper = %(paper)s, citations = %(citations)s,
                  html = %(html)s, implication_html = %(implication_html)s, rendering = %(rendering)s, opening = %(opening)s,
                  plain = %(plain)s, search = {_SEARCH}, open_search = {_OPEN_SEARCH}, updated_by = %(user)s, updated_at = app_now(), version = version + 1
            where id = %(id)s""",
        {**_columns(after), "id": article_id, "user": user_id},
    )
    changed = [name for name in _WRITTEN if getattr(after, name) != getattr(before, name)]
    audit_log.record(conn, by, "article.change", str(article_id), version=article.version + 1, changed=changed)
    return _shelved(conn, article_id)


def publish(
    conn: Connection[Any], by: By, article_id: UUID, *, at: datetime | None = None, version: int | None = None
) -> ArticleRow:
    """Show an article from now on, or from a time on. Raises NotFound, VersionChanged, InvalidInput."""
    return _move(conn, by, article_id, "article.publish", lambda now, was: states.published(was, now, at), version)


def take_article_back(conn: Connection[Any], by: By, article_id: UUID, *, version: int | None = None) -> ArticleRow:
    """Make an article a draft again. Raises NotFound, VersionChanged."""
    return _move(conn, by, article_id, "article.unpublish", lambda _now, was: states.taken_back(was), version)


def delete_article(conn: Connection[Any], by: By, article_id: UUID, *, version: int | None = None) -> ArticleRow:
    """Show an article to nobody but editors, who may restore it. Raises NotFound, VersionChanged."""
    return _move(conn, by, article_id, "article.delete", lambda _now, was: states.deleted(was), version)


def restore_article(conn: Connection[Any], by: By, article_id: UUID, *, version: int | None = None) -> ArticleRow:
    """Make a deleted article a draft. Raises NotFound, VersionChanged."""
    return _move(conn, by, article_id, "article.restore", lambda _now, was: states.restored(was), version)


def _move(
    conn: Connection[Any],
    by: By,
    article_id: UUID,
    action: str,
    decide: Callable[[datetime, ArticleStanding], ArticleStanding],
    version: int | None,
) -> ArticleRow:
    article, now = _locked(conn, article_id, version)
    before = ArticleStanding(article.state, article.published_at)
    after = decide(now, before)
    if after == before:
        return article
    conn.execute(
        "update articles set state = %s, published_at = %s, version = version + 1 where id = %s", [*after, article_id]
    )
    audit_log.record(
        conn, by, action, str(article_id), version=article.version + 1, slug=article.slug, published_at=after.published_at
    )  # fmt: skip
    return _shelved(conn, article_id)


def _shelved(conn: Connection[Any], article_id: UUID) -> ArticleRow:
    """The article after a change, standing in its lists and in no other."""
    article = find_article(conn, article_id)
    conn.execute("delete from article_shelves where article_id = %s", [article_id])
    if article.state == "published":
        conn.execute(
            "insert into article_shelves (shelf, published_at, article_id) select unnest(%s::text[]), %s, %s",
            [shelves(article.section, article.kind, article.tags), article.published_at, article_id],
        )
    return article


def list_articles(
    conn: Connection[Any], *, state: ArticleState | None = None, before: UUID | None = None, limit: int = 20
) -> list[ArticleHead]:
    """Articles in any state or in one, those that were begun last first."""
    is_in = "" if state is None else "and a.state = %(state)s"
    rows = conn.execute(
        f"""select {_HEAD} from articles a
             where (%(before)s::uuid is null or a.id < %(before)s) {is_in} order by a.id desc limit %(limit)s""",
        {"state": state, "before": before, "limit": limit},
    ).fetchall()
    return [ArticleHead(*row) for row in rows]
