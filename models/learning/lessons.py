"""Lessons, as editors write them and learners read them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access import audit_log, scopes
from models.access.audit_log import By
from models.access.scopes import Caller
from models.learning.courses import check_module
from models.learning.places import LESSONS, MODULES, archive, lock_course, ordered_ids, put, write_order
from models.learning.tables import MAX_LESSONS
from models.versions import check_version

CHANGEABLE_OF_LESSONS = frozenset({"title", "body", "video_url", "access", "status", "pass_percent"})


class LessonDraft(NamedTuple):
    """A lesson that an editor wants, in a module, at a place or at the end."""

    module_id: UUID
    title: str
    body: str
    access: str
    status: str
    pass_percent: int
    video_url: str | None = None
    position: int | None = None


class LessonRow(NamedTuple):
    """A lesson as it is kept; `questions` are those of its quiz."""

    id: UUID
    course_id: UUID
    module_id: UUID
    title: str
    body: str
    video_url: str | None
    access: str
    status: str
    pass_percent: int
    version: int
    created_at: datetime
    questions: int


_SHOWN = """select l.id, l.course_id, l.module_id, l.title, l.body, l.video_url, l.access, l.status, l.pass_percent, l.version,
                   l.created_at,
                   (select count(*) from quiz_questions q where q.lesson_id = l.id and q.position is not null)
              from lessons l join courses c on c.id = l.course_id
             where l.id = %s and l.archived_at is null and c.archived_at is null"""


def create_lesson(conn: Connection[Any], by: By, course_id: UUID, draft: LessonDraft) -> LessonRow:
    """Make a lesson. Raises NotFound, InvalidInput for one too many."""
    lock_course(conn, course_id)
    check_module(conn, course_id, draft.module_id)
    there = {each: len(ordered_ids(conn, LESSONS, each)) for each in ordered_ids(conn, MODULES, course_id)}
    if sum(there.values()) >= MAX_LESSONS:
        raise InvalidInput(f"there are {sum(there.values())} lessons in this course already, the limit")
    lesson_id = uuid7()
    conn.execute(
        """insert into lessons (id, course_id, module_id, title, body, video_url, access, status, pass_percent, position)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            lesson_id, course_id, draft.module_id, draft.title, draft.body, draft.video_url, draft.access, draft.status,
            draft.pass_percent, there[draft.module_id],
        ],
    )  # fmt: skip
    put(conn, LESSONS, draft.module_id, lesson_id, draft.position)
    audit_log.record(conn, by, "lesson.create", str(lesson_id), course=course_id, title=draft.title)
    return find_lesson(conn, lesson_id)


def locked_lesson(conn: Connection[Any], lesson_id: UUID) -> LessonRow:
    """A lesson under its course's lock. Raises NotFound."""
    lock_course(conn, find_lesson(conn, lesson_id).course_id)
    return find_lesson(conn, lesson_id)  # as it is now: who held the lock may have deleted it


def change_lesson(
    conn: Connection[Any], by: By, lesson_id: UUID, changes: Mapping[str, Any], *,
    module_id: UUID | None = None, position: int | None = None, version: int | None = None,
) -> LessonRow:  # fmt: skip
    """Change what is named, and move it to another module or place; `version`: what the editor has seen. Raises NotFound,
    VersionChanged.
    """
    before = locked_lesson(conn, lesson_id)
    check_version(version, before.version, "lesson")
    named = {name: value for name, value in changes.items() if name in CHANGEABLE_OF_LESSONS}
    if named:
        conn.execute(
            f"update lessons set version = version + 1, {', '.join(f'{name} = %s' for name in named)} where id = %s",
            [*named.values(), lesson_id],
        )
    if module_id is not None and module_id != before.module_id:
        check_module(conn, before.course_id, module_id)
        put(conn, LESSONS, module_id, lesson_id, position)
        write_order(conn, LESSONS, before.module_id, ordered_ids(conn, LESSONS, before.module_id))
    elif position is not None:
        put(conn, LESSONS, before.module_id, lesson_id, position)
    audit_log.record(
        conn, by, "lesson.change", str(lesson_id), changed=sorted(named), module=module_id, position=position
    )
    return find_lesson(conn, lesson_id)


def archive_lesson(conn: Connection[Any], by: By, lesson_id: UUID) -> None:
    """Delete a lesson; what learners have done in it stays. Raises NotFound."""
    row = locked_lesson(conn, lesson_id)
    archive(conn, LESSONS, row.module_id, lesson_id)
    audit_log.record(conn, by, "lesson.archive", str(lesson_id), course=row.course_id)


def find_lesson(conn: Connection[Any], lesson_id: UUID, *, published: bool = False) -> LessonRow:
    """One; `published`: only where it and its course are. Raises NotFound."""
    only = " and l.status = 'published' and c.status = 'published'" if published else ""
    row = conn.execute(_SHOWN + only, [lesson_id]).fetchone()
    if row is None:
        raise NotFound(f"no lesson {lesson_id}", param="id")
    return LessonRow(*row)


def lesson_for(conn: Connection[Any], who: Caller, lesson_id: UUID) -> LessonRow:
    """A lesson that the caller may read. Raises NotFound, for a draft too unless they may edit, and NeedsPro."""
    row = find_lesson(conn, lesson_id, published=not scopes.may_edit(who))
    if row.access == "pro":
        scopes.check_pro(who)
    return row


def lesson_to_learn(conn: Connection[Any], who: Caller, lesson_id: UUID) -> LessonRow:
    """A published lesson that the caller may learn: nobody makes progress in a draft. Raises NotFound, NeedsPro."""
    row = find_lesson(conn, lesson_id, published=True)
    if row.access == "pro":
        scopes.check_pro(who)
    return row
