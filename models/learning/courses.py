"""Courses and their modules, as editors make them and everybody sees them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.errors import UniqueViolation
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.learning.places import (
    LESSONS,
    MODULES,
    archive,
    check_room,
    check_same,
    lock_course,
    ordered_ids,
    put,
    write_order,
)
from models.learning.tables import MAX_MODULES
from models.versions import check_version

SLUG = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
MAX_SLUG_CHARACTERS = 80
CHANGEABLE = frozenset({"slug", "title", "description", "level", "cover_url", "status"})


class CourseDraft(NamedTuple):
    """A course that an editor wants."""

    title: str
    level: str
    description: str = ""
    cover_url: str | None = None
    slug: str | None = None


class CourseRow(NamedTuple):
    """A course as it is listed. `lessons` are those that are published."""

    id: UUID
    slug: str
    title: str
    description: str
    level: str
    cover_url: str | None
    status: str
    published_at: datetime | None
    version: int
    created_at: datetime
    lessons: int
    enrolled: int
    completed: int


class ModuleRow(NamedTuple):
    """A module at its place."""

    id: UUID
    title: str


class LessonLine(NamedTuple):
    """A lesson as its course names it."""

    id: UUID
    module_id: UUID
    title: str
    access: str
    status: str
    questions: int


_COURSES = """select c.id, c.slug, c.title, c.description, c.level, c.cover_url, c.status, c.published_at, c.version,
                     c.created_at,
                     l.lessons, n.enrolled, n.completed
                from courses c
                cross join lateral (select count(*) as lessons from lessons l
                                     where l.course_id = c.id and l.archived_at is null and l.status = 'published') l
                cross join lateral (select coalesce(sum(enrolled), 0)::bigint as enrolled,
                                           coalesce(sum(completed), 0)::bigint as completed
                                      from course_counts n where n.course_id = c.id) n"""


def slug_of(title: str, course_id: UUID) -> str:
    """A name for addresses, of a title in whatever letters. Pure."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall("[a-z0-9]+", plain)
    kept = "-".join(words)[: MAX_SLUG_CHARACTERS - 13].strip("-")
    return f"{kept or 'course'}-{course_id.hex[-12:]}"


def check_slug(slug: str) -> None:
    """Raises InvalidInput for what cannot be told from an id, or is none that an address takes as it is. Pure."""
    if len(slug) > MAX_SLUG_CHARACTERS or not SLUG.fullmatch(slug) or id_in(slug) is not None:
        raise InvalidInput(
            f"slug has {len(slug)} characters; it is up to {MAX_SLUG_CHARACTERS} small letters, digits and single hyphens, "
            "and no id",
            param="slug",
        )


def id_in(text: str) -> UUID | None:
    """The id that a text is; None: it is none. Pure."""
    try:
        return UUID(text)
    except ValueError:
        return None


def create_course(conn: Connection[Any], by: By, draft: CourseDraft) -> CourseRow:
    """Make a course, which nobody sees until it is published. Raises InvalidInput for a slug that is taken."""
    course_id = uuid7()
    slug = slug_of(draft.title, course_id) if draft.slug is None else draft.slug
    check_slug(slug)
    made = conn.execute(
        """insert into courses (id, slug, title, description, level, cover_url, status) values (%s, %s, %s, %s, %s, %s, 'draft')
           on conflict do nothing""",
        [course_id, slug, draft.title, draft.description, draft.level, draft.cover_url],
    )
    if not made.rowcount:
        raise _taken(slug)
    audit_log.record(conn, by, "course.create", str(course_id), title=draft.title)
    return find_course(conn, str(course_id), drafts=True)


def _taken(slug: str) -> InvalidInput:
    return InvalidInput(f"there is a course {slug!r} already", param="slug")


def change_course(
    conn: Connection[Any], by: By, course_id: UUID, changes: Mapping[str, Any], version: int | None = None
) -> CourseRow:
    """Change what is named; `version`: what the editor has seen. Raises NotFound, VersionChanged, InvalidInput for a slug that is
    taken.
    """
    lock_course(conn, course_id)
    check_version(version, find_course(conn, str(course_id), drafts=True).version, "course")
    named = {name: value for name, value in changes.items() if name in CHANGEABLE}
    if "slug" in named:
        check_slug(named["slug"])
    if named:
        published = (
            ", published_at = case when status = 'published' then published_at else app_now() end"
            if named.get("status") == "published"
            else ""
        )
        changed = ", ".join(f"{name} = %s" for name in named)
        try:
            with conn.transaction():  # a savepoint
                conn.execute(
                    f"update courses set version = version + 1, {changed}{published} where id = %s",
                    [*named.values(), course_id],
                )
        except UniqueViolation:
            raise _taken(named["slug"]) from None
        audit_log.record(conn, by, "course.change", str(course_id), changed=sorted(named), status=named.get("status"))
    return find_course(conn, str(course_id), drafts=True)


def archive_course(conn: Connection[Any], by: By, course_id: UUID) -> None:
    """Delete a course; what learners have done in it stays. Raises NotFound."""
    lock_course(conn, course_id)
    conn.execute("update courses set archived_at = app_now() where id = %s", [course_id])
    audit_log.record(conn, by, "course.archive", str(course_id))


def list_courses(
    conn: Connection[Any],
    *,
    status: str = "published",
    level: str | None = None,
    before: UUID | None = None,
    limit: int = 20,
) -> list[CourseRow]:
    """Courses, newest first."""
    rows = conn.execute(
        f"""{_COURSES} where c.archived_at is null and c.status = %s and (%s::text is null or c.level = %s) and (%s::uuid is null or c.id < %s)
             order by c.id desc limit %s""",
        [status, level, level, before, before, limit],
    ).fetchall()
    return [CourseRow(*row) for row in rows]


def find_course(conn: Connection[Any], name: str, *, drafts: bool) -> CourseRow:
    """One, by its id or slug; `drafts`: also one that is not published. Raises NotFound."""
    course_id = id_in(name)
    which, value = ("id", course_id) if course_id is not None else ("slug", name)
    row = conn.execute(
        f"{_COURSES} where c.archived_at is null and c.{which} = %s and (%s or c.status = 'published')", [value, drafts]
    ).fetchone()
    if row is None:
        raise NotFound(f"no course {name[:40]!r}", param="id")
    return CourseRow(*row)


def outline(conn: Connection[Any], course_id: UUID, *, drafts: bool) -> tuple[list[ModuleRow], list[LessonLine]]:
    """A course's modules and lessons, in order."""
    modules = conn.execute(
        "select id, title from course_modules where course_id = %s and position is not null order by position",
        [course_id],
    ).fetchall()
    lessons = conn.execute(
        """select l.id, l.module_id, l.title, l.access, l.status,
                  (select count(*) from quiz_questions q where q.lesson_id = l.id and q.position is not null)
             from lessons l where l.course_id = %s and l.archived_at is null and (%s or l.status = 'published')
            order by l.position""",
        [course_id, drafts],
    ).fetchall()
    return [ModuleRow(*row) for row in modules], [LessonLine(*row) for row in lessons]


def create_module(conn: Connection[Any], by: By, course_id: UUID, title: str, position: int | None = None) -> ModuleRow:
    """Make a module at a place, or at the end. Raises NotFound, InvalidInput for one too many."""
    lock_course(conn, course_id)
    there = check_room(conn, MODULES, course_id, MAX_MODULES, "modules in this course")
    made = ModuleRow(uuid7(), title)
    conn.execute(
        "insert into course_modules (id, course_id, title, position) values (%s, %s, %s, %s)",
        [made.id, course_id, title, there],
    )
    put(conn, MODULES, course_id, made.id, position)
    audit_log.record(conn, by, "module.create", str(made.id), course=course_id, title=title)
    return made


def check_module(conn: Connection[Any], course_id: UUID, module_id: UUID) -> None:
    """Raises NotFound for a module that is not of this course, or was deleted. Under the course's lock."""
    if module_id not in ordered_ids(conn, MODULES, course_id):
        raise NotFound(f"no module {module_id} in this course", param="module_id")


def change_module(
    conn: Connection[Any],
    by: By,
    course_id: UUID,
    module_id: UUID,
    *,
    title: str | None = None,
    position: int | None = None,
) -> ModuleRow:
    """Give a module another title or place. Raises NotFound."""
    lock_course(conn, course_id)
    check_module(conn, course_id, module_id)
    row = conn.execute(
        "update course_modules set title = coalesce(%s, title) where id = %s returning id, title", [title, module_id]
    ).fetchone()
    assert row is not None  # noqa: S101 - it was checked under the lock
    if position is not None:
        put(conn, MODULES, course_id, module_id, position)
    audit_log.record(conn, by, "module.change", str(module_id), title=title, position=position)
    return ModuleRow(*row)


def archive_module(conn: Connection[Any], by: By, course_id: UUID, module_id: UUID) -> None:
    """Delete a module with its lessons; what learners have done in them stays. Raises NotFound."""
    lock_course(conn, course_id)
    check_module(conn, course_id, module_id)
    conn.execute(
        "update lessons set position = null, archived_at = app_now() where module_id = %s and position is not null",
        [module_id],
    )
    archive(conn, MODULES, course_id, module_id)
    audit_log.record(conn, by, "module.archive", str(module_id), course=course_id)


def order_course(conn: Connection[Any], by: By, course_id: UUID, order: Sequence[tuple[UUID, Sequence[UUID]]]) -> None:
    """Give all modules, and all lessons in them, their places at once; lessons may change their module. Raises NotFound,
    InvalidInput where not each is named once.
    """
    lock_course(conn, course_id)
    modules = ordered_ids(conn, MODULES, course_id)
    lessons = [each for module_id in modules for each in ordered_ids(conn, LESSONS, module_id)]
    check_same([module_id for module_id, _ in order], modules, "modules")
    check_same([each for _, named in order for each in named], lessons, "lessons")
    write_order(conn, MODULES, course_id, [module_id for module_id, _ in order])
    for module_id, named in order:
        write_order(conn, LESSONS, module_id, named)
    audit_log.record(conn, by, "course.order", str(course_id), lessons=len(lessons))
