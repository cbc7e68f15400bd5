"""What articles said before they were changed."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import NotFound
from models.access.audit_log import By
from models.content.articles import ArticleRow, change_article, text_of


class RevisionRow(NamedTuple):
    """An earlier version; `said` is what an editor wrote then."""

    number: int
    said: dict[str, Any]
    saved_by: UUID
    saved_at: datetime


_SHOWN = ", ".join(RevisionRow._fields)


def list_revisions(
    conn: Connection[Any], article_id: UUID, *, before: int | None = None, limit: int = 20
) -> list[RevisionRow]:
    """Earlier versions of an article, the latest first. Raises NotFound."""
    if conn.execute("select 1 from articles where id = %s", [article_id]).fetchone() is None:
        raise NotFound(f"no article {article_id}", param="id")
    rows = conn.execute(
        f"""select {_SHOWN} from article_revisions where article_id = %s and (%s::int is null or number < %s)
             order by number desc limit %s""",
        [article_id, before, before, limit],
    ).fetchall()
    return [RevisionRow(*row) for row in rows]


def find_revision(conn: Connection[Any], article_id: UUID, number: int) -> RevisionRow:
    """One earlier version. Raises NotFound."""
    row = conn.execute(
        f"select {_SHOWN} from article_revisions where article_id = %s and number = %s", [article_id, number]
    ).fetchone()
    if row is None:
        raise NotFound(f"no revision {number} of this article", param="number")
    return RevisionRow(*row)


def restore_revision(
    conn: Connection[Any], by: By, user_id: UUID, article_id: UUID, number: int, version: int
) -> ArticleRow:
    """Let an article say again what it said; what it says now is kept as well. Raises NotFound, VersionChanged."""
    earlier = find_revision(conn, article_id, number)
    return change_article(conn, by, user_id, article_id, version, lambda _now: text_of(earlier.said))
