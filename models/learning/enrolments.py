"""The courses that somebody has begun."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.learning.progress import Share, look_at_progress


class EnrolmentRow(NamedTuple):
    """A course that somebody has begun; `is_there` false: it is not published any more."""

    id: UUID
    course_id: UUID
    slug: str
    title: str
    level: str
    cover_url: str | None
    is_there: bool
    created_at: datetime
    completed_at: datetime | None
    share: Share


def list_enrolments(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[EnrolmentRow]:
    """An account's, the newest first."""
    rows = conn.execute(
        """select e.id, e.course_id, c.slug, coalesce(e.course_title, c.title), coalesce(e.course_level, c.level), c.cover_url,
                  c.archived_at is null and c.status = 'published', e.created_at, e.completed_at, x.lessons, x.completed, x.seconds
             from enrolments e join courses c on c.id = e.course_id
            cross join lateral (
                  select count(*) as lessons, count(p.completed_at) as completed, coalesce(sum(p.seconds), 0)::bigint as seconds
                    from lessons l left join lesson_progress p on p.account_id = e.account_id and p.lesson_id = l.id
                   where l.course_id = e.course_id and l.archived_at is null and l.status = 'published') x
            where e.account_id = %s and (%s::uuid is null or e.id < %s) order by e.id desc limit %s""",
        [account_id, before, before, limit],
    ).fetchall()
    return [EnrolmentRow._make((*row[:9], Share(*row[9:]))) for row in rows]


def look_at_enrolments(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[EnrolmentRow]:
    """The same, and courses that became done by what was deleted since are completed."""
    rows = list_enrolments(conn, account_id, before=before, limit=limit)
    due = [row.course_id for row in rows if row.completed_at is None and 0 < row.share.lessons == row.share.completed]
    for course_id in due:
        look_at_progress(conn, account_id, course_id)
    return list_enrolments(conn, account_id, before=before, limit=limit) if due else rows
