"""How far somebody has come: what clients report of a lesson, and what it makes of its module and course.

A report may come twice, late, or from three tabs at once: what it says is never less than what was said before, so it counts once.
Time is a total per visit, of which the largest counts. All of a learner's reports come one after the other, under their account's
lock, and what they make of the course is counted in the same transaction from what is there now.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access.scopes import Caller
from models.events import events
from models.learning.certificates import certificate_url
from models.learning.lessons import LessonRow, lesson_to_learn
from models.learning.tables import COUNT_SHARDS, MAX_VISITS
from models.locks import lock_account


class LearnerReport(NamedTuple):
    """What a client says of a lesson. `seconds`: how long this visit has lasted by now."""

    visit: str | None = None
    seconds: int = 0
    completed: bool = False
    score: int | None = None


class LessonState(NamedTuple):
    """A published lesson as one learner has it; without `started_at` they have not begun."""

    lesson_id: UUID
    module_id: UUID
    started_at: datetime | None
    completed_at: datetime | None
    score: int | None
    seconds: int


class Share(NamedTuple):
    """How much of a module or course is done, of what is published now."""

    lessons: int = 0
    completed: int = 0
    seconds: int = 0

    @property
    def percent(self) -> int:
        """Whole percent, rounded down: all of it alone is 100."""
        return 100 * self.completed // self.lessons if self.lessons else 0

    def plus(self, lesson: LessonState) -> "Share":
        """With one lesson more."""
        done = lesson.completed_at is not None
        return Share(self.lessons + 1, self.completed + done, self.seconds + lesson.seconds)


class CourseProgress(NamedTuple):
    """A course as one learner has it. `enrolment_id` null: they have not begun it."""

    course_id: UUID
    enrolment_id: UUID | None
    enrolled_at: datetime | None
    completed_at: datetime | None
    course: Share
    modules: dict[UUID, Share]
    lessons: list[LessonState]


def roll_up(lessons: Iterable[LessonState]) -> tuple[Share, dict[UUID, Share]]:
    """What lessons make of their course and of each module. Pure."""
    course, modules = Share(), dict[UUID, Share]()
    for lesson in lessons:
        course = course.plus(lesson)
        modules[lesson.module_id] = modules.get(lesson.module_id, Share()).plus(lesson)
    return course, modules


def is_due(found: CourseProgress) -> bool:
    """Whether a course is done that is not known as completed yet. Pure."""
    done = found.course.lessons > 0 and found.course.completed == found.course.lessons
    return found.enrolment_id is not None and found.completed_at is None and done


def shard_of(account_id: UUID) -> int:
    """The shard of a course's counts that an account has. Pure."""
    return account_id.bytes[-1] % COUNT_SHARDS


def report(conn: Connection[Any], who: Caller, lesson_id: UUID, said: LearnerReport) -> CourseProgress:
    """Take a client's report; the first one of a course enrols. Raises NotFound, NeedsPro, InvalidInput for a lesson that is completed
    by its quiz.
    """
    lock_account(conn, who.account_id)
    lesson = lesson_to_learn(conn, who, lesson_id)
    begin(conn, who.account_id, lesson)
    if lesson.questions:
        _check_quiz(conn, who.account_id, lesson, said)
    new, more = (
        (0, 0) if said.visit is None else _count_visit(conn, who.account_id, lesson_id, said.visit, said.seconds)
    )
    conn.execute(
        """update lesson_progress set visits = visits + %s, seconds = seconds + %s, score = greatest(score, %s),
                  completed_at = coalesce(completed_at, case when %s then app_now() end)
            where account_id = %s and lesson_id = %s""",
        [new, more, said.score, said.completed, who.account_id, lesson_id],
    )
    return complete_with(conn, who.account_id, lesson)


def _check_quiz(conn: Connection[Any], account_id: UUID, lesson: LessonRow, said: LearnerReport) -> None:
    if said.score is not None:
        raise InvalidInput("this lesson has a quiz, and its score is that of its attempts", param="score")
    if said.completed:
        row = conn.execute(
            "select completed_at from lesson_progress where account_id = %s and lesson_id = %s", [account_id, lesson.id]
        ).fetchone()
        if row is None or row[0] is None:
            raise InvalidInput("this lesson has a quiz; it is completed by passing it", param="completed")


def begin(conn: Connection[Any], account_id: UUID, lesson: LessonRow) -> None:
    """Note that a lesson was begun, and with it its course, unless they were. The account's lock is held."""
    made = conn.execute(
        "insert into enrolments (id, account_id, course_id) values (%s, %s, %s) on conflict (account_id, course_id) do nothing",
        [uuid7(), account_id, lesson.course_id],
    )
    if made.rowcount:
        _count(conn, account_id, lesson.course_id, enrolled=1)
    conn.execute(
        """insert into lesson_progress (account_id, lesson_id, course_id) values (%s, %s, %s)
           on conflict (account_id, lesson_id) do nothing""",
        [account_id, lesson.id, lesson.course_id],
    )


def _count(conn: Connection[Any], account_id: UUID, course_id: UUID, *, enrolled: int = 0, completed: int = 0) -> None:
    conn.execute(
        """insert into course_counts as n (course_id, shard, enrolled, completed) values (%s, %s, %s, %s)
           on conflict (course_id, shard) do update
              set enrolled = n.enrolled + excluded.enrolled, completed = n.completed + excluded.completed""",
        [course_id, shard_of(account_id), enrolled, completed],
    )


def _count_visit(conn: Connection[Any], account_id: UUID, lesson_id: UUID, visit: str, seconds: int) -> tuple[int, int]:
    """Whether a visit is new, and how many of its seconds were not counted before. Raises InvalidInput for one too many."""
    row = conn.execute(
        """select p.visits, v.seconds from lesson_progress p
             left join lesson_visits v on v.account_id = p.account_id and v.lesson_id = p.lesson_id and v.visit = %s
            where p.account_id = %s and p.lesson_id = %s""",
        [visit, account_id, lesson_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - it has begun
    visits, before = row
    if before is None and visits >= MAX_VISITS:
        raise InvalidInput(f"this lesson has {visits} visits of yours, the limit; leave visit out", param="visit")
    conn.execute(
        """insert into lesson_visits as v (account_id, lesson_id, visit, seconds) values (%s, %s, %s, %s)
           on conflict (account_id, lesson_id, visit) do update set seconds = greatest(v.seconds, excluded.seconds)""",
        [account_id, lesson_id, visit, seconds],
    )
    return int(before is None), max(0, seconds - (before or 0))


def course_progress(conn: Connection[Any], account_id: UUID, course_id: UUID) -> CourseProgress:
    """How far an account has come in a course: in the lessons that are published now, of which there are few."""
    row = conn.execute(
        "select id, created_at, completed_at from enrolments where account_id = %s and course_id = %s",
        [account_id, course_id],
    ).fetchone()
    rows = conn.execute(
        """select l.id, l.module_id, p.started_at, p.completed_at, p.score, coalesce(p.seconds, 0)
             from lessons l join course_modules m on m.id = l.module_id
             left join lesson_progress p on p.account_id = %s and p.lesson_id = l.id
            where l.course_id = %s and l.archived_at is null and l.status = 'published'
            order by m.position, l.position""",
        [account_id, course_id],
    ).fetchall()
    lessons = [LessonState(*each) for each in rows]
    enrolment_id, enrolled_at, completed_at = row or (None, None, None)
    return CourseProgress(course_id, enrolment_id, enrolled_at, completed_at, *roll_up(lessons), lessons)


def complete_if_done(conn: Connection[Any], account_id: UUID, course_id: UUID) -> CourseProgress:
    """Complete a course that is done, once: event, notice and certificate. The account's lock is held. Lessons that are added later
    undo nothing, and those that are deleted stand in nobody's way.
    """
    found = course_progress(conn, account_id, course_id)
    if not is_due(found):
        return found
    row = conn.execute(
        """update enrolments e set completed_at = app_now(), course_title = c.title, course_level = c.level from courses c
            where e.id = %s and e.completed_at is null and c.id = e.course_id returning e.completed_at, c.title, c.slug""",
        [found.enrolment_id],
    ).fetchone()
    if row is None or found.enrolment_id is None:
        return found
    _count(conn, account_id, course_id, completed=1)
    facts: Mapping[str, Any] = {
        "course": row[1], "course_id": course_id, "slug": row[2], "certificate": certificate_url(found.enrolment_id),
    }  # fmt: skip
    events.add(conn, account_id, "course.completed", facts)
    return found._replace(completed_at=row[0])


def complete_with(conn: Connection[Any], account_id: UUID, lesson: LessonRow) -> CourseProgress:
    """The same once something was learned in a lesson. Raises NotFound where an editor has taken it away meanwhile."""
    found = complete_if_done(conn, account_id, lesson.course_id)
    if all(each.lesson_id != lesson.id for each in found.lessons):
        raise NotFound(f"no lesson {lesson.id}", param="id")
    return found


def look_at_progress(conn: Connection[Any], account_id: UUID, course_id: UUID) -> CourseProgress:
    """The same for who only looks: a lesson that was deleted since the last report may have been the last one missing."""
    found = course_progress(conn, account_id, course_id)
    if not is_due(found):
        return found
    lock_account(conn, account_id)
    return complete_if_done(conn, account_id, course_id)
