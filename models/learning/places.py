"""Places in an order: of modules in a course, lessons in a module, questions in a lesson. All of it under the course's lock, so
that who orders and who adds or moves come one after the other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidInput, NotFound


class Shelf(NamedTuple):
    """A table whose rows stand in an order below their parent."""

    table: str
    parent: str


MODULES = Shelf("course_modules", "course_id")
LESSONS = Shelf("lessons", "module_id")
QUESTIONS = Shelf("quiz_questions", "lesson_id")


def inserted(ids: Sequence[UUID], one: UUID, position: int | None) -> list[UUID]:
    """An order with one of them, or a new one, at a place; at the end where none is named, or one beyond it. Pure."""
    others = [each for each in ids if each != one]
    at = len(others) if position is None else min(position, len(others))
    return [*others[:at], one, *others[at:]]


def check_same(named: Sequence[UUID], there: Sequence[UUID], param: str) -> None:
    """Raises InvalidInput for an order that leaves something out, names it twice, or names what is not there: somebody has added or
    deleted meanwhile, and must not be overruled unseen. Pure.
    """
    if len(named) != len(there) or set(named) != set(there):
        missing, unknown = len(set(there) - set(named)), len(set(named) - set(there))
        raise InvalidInput(
            f"{param} names {len(named)}, and there are {len(there)} now: {missing} are left out, {unknown} are not there; "
            "look at the course again and name each once",
            param=param,
        )


def lock_course(conn: Connection[Any], course_id: UUID) -> None:
    """Keep other editors of a course waiting. Raises NotFound."""
    if not conn.execute(
        "select 1 from courses where id = %s and archived_at is null for no key update", [course_id]
    ).fetchone():
        raise NotFound(f"no course {course_id}", param="id")


def ordered_ids(conn: Connection[Any], shelf: Shelf, parent_id: UUID) -> list[UUID]:
    """What stands there, in order."""
    rows = conn.execute(
        f"select id from {shelf.table} where {shelf.parent} = %s and position is not null order by position",
        [parent_id],
    ).fetchall()
    return [row[0] for row in rows]


def write_order(conn: Connection[Any], shelf: Shelf, parent_id: UUID, ids: Sequence[UUID]) -> None:
    """Give each its place, below this parent."""
    conn.execute(
        f"""update {shelf.table} t set {shelf.parent} = %s, position = x.place - 1
              from unnest(%s::uuid[]) with ordinality as x(id, place) where t.id = x.id""",
        [parent_id, list(ids)],
    )


def put(conn: Connection[Any], shelf: Shelf, parent_id: UUID, one: UUID, position: int | None) -> None:
    """Put a row at a place below a parent; those behind it move on."""
    write_order(conn, shelf, parent_id, inserted(ordered_ids(conn, shelf, parent_id), one, position))


def archive(conn: Connection[Any], shelf: Shelf, parent_id: UUID, one: UUID) -> None:
    """Take a row out of its order, for good; those behind it move up."""
    conn.execute(f"update {shelf.table} set position = null, archived_at = app_now() where id = %s", [one])
    write_order(conn, shelf, parent_id, ordered_ids(conn, shelf, parent_id))


def check_room(conn: Connection[Any], shelf: Shelf, parent_id: UUID, most: int, what: str) -> int:
    """How many are there already. Raises InvalidInput where that is as many as there may be."""
    there = len(ordered_ids(conn, shelf, parent_id))
    if there >= most:
        raise InvalidInput(f"there are {there} {what} already, the limit")
    return there
