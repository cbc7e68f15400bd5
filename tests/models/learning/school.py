"""Courses made to order, and learners."""

from typing import Any
from uuid import UUID

from models.access.audit_log import By
from models.access.scopes import Caller, Role
from models.db import transaction
from models.learning import attempts, courses, lessons, progress, quizzes
from models.learning.attempts import QuizAttemptRow
from models.learning.courses import CourseDraft
from models.learning.lessons import LessonDraft, LessonRow
from models.learning.progress import CourseProgress, LearnerReport
from models.learning.quizzes import QuestionDraft
from tests.support import account, caller, one, rows

BY = By("editor")


def course(*sizes: int, title: str = "Pictures", published: bool = True, **fields: Any) -> tuple[UUID, list[UUID]]:
    """A course with modules of so many lessons, in order. Returns it and its lessons."""
    with transaction() as conn:
        made = courses.create_course(conn, BY, CourseDraft(title, "basic", **fields)).id
        if published:
            courses.change_course(conn, BY, made, {"status": "published"})
    found = []
    for size in sizes:
        module = part(made)
        found += [lesson(made, module) for _ in range(size)]
    return made, found


def part(course_id: UUID, title: str = "A part", position: int | None = None) -> UUID:
    """A module of a course."""
    with transaction() as conn:
        return courses.create_module(conn, BY, course_id, title, position).id


def lesson(course_id: UUID, module_id: UUID, **fields: Any) -> UUID:
    """A lesson that everybody may learn."""
    usual = {"title": "A lesson", "body": "# Hello", "access": "preview", "status": "published", "pass_percent": 80}
    with transaction() as conn:
        return lessons.create_lesson(conn, BY, course_id, LessonDraft(module_id, **{**usual, **fields})).id


def changed(lesson_id: UUID, **fields: Any) -> LessonRow:
    """A lesson after a change."""
    with transaction() as conn:
        return lessons.change_lesson(conn, BY, lesson_id, fields)


def question(lesson_id: UUID, right: list[int], *, count: int = 3, **fields: Any) -> UUID:
    """A question, of as many right options as are named."""
    draft = QuestionDraft(
        "single" if len(right) == 1 else "multiple", "What?", [f"option {n}" for n in range(count)], right, "Because."
    )._replace(**fields)
    with transaction() as conn:
        return quizzes.create_question(conn, BY, lesson_id, draft).id


def learner(role: Role = "user") -> Caller:
    """Somebody with an account of their own."""
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
    found = caller(who)
    return Caller(found.account_id, found.user_id, None, frozenset({"read", "write"}), role)


def said(who: Caller, lesson_id: UUID, **fields: Any) -> CourseProgress:
    """What a report makes."""
    with transaction() as conn:
        return progress.report(conn, who, lesson_id, LearnerReport(**fields))


def answered(who: Caller, lesson_id: UUID, answers: dict[UUID, list[int]]) -> tuple[QuizAttemptRow, CourseProgress]:
    """What an attempt at a quiz makes."""
    with transaction() as conn:
        row, _, found = attempts.answer_quiz(conn, who, lesson_id, answers)
    return row, found


def seen(who: Caller, course_id: UUID) -> CourseProgress:
    """How far somebody has come."""
    with transaction() as conn:
        return progress.look_at_progress(conn, who.account_id, course_id)


def counts(course_id: UUID) -> tuple[int, int]:
    """How many have begun a course, and completed it, as its list says; and it is what there is."""
    with transaction() as conn:
        row = courses.find_course(conn, str(course_id), drafts=True)
    kept = one("select count(*), count(completed_at) from enrolments where course_id = %s", course_id)
    assert (row.enrolled, row.completed) == kept
    return row.enrolled, row.completed


def completions(who: Caller) -> tuple[int, int]:
    """How many events and notices of completed courses somebody has."""
    events = rows("select 1 from events where account_id = %s and type = 'course.completed'", who.account_id)
    notes = rows("select 1 from notifications where account_id = %s and kind = 'course.completed'", who.account_id)
    return len(events), len(notes)


def order_of(course_id: UUID) -> list[list[UUID]]:
    """The lessons of a course as they stand in its modules; places have no gap."""
    with transaction() as conn:
        modules, found = courses.outline(conn, course_id, drafts=True)
    for table, parent in (("course_modules", "course_id"), ("lessons", "module_id"), ("quiz_questions", "lesson_id")):
        assert (
            rows(
                f"""select 1 from {table} where position is not null group by {parent}
                having min(position) <> 0 or max(position) <> count(*) - 1 or count(distinct position) <> count(*)"""
            )
            == []
        )
    return [[each.id for each in found if each.module_id == module.id] for module in modules]
