"""Courses, and who has come how far in them.

What is deleted is archived: it is in no list and counts for nothing, and the progress in it stays. A place in an order is a
number from 0 without gaps; what is archived has none.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Column, Index, Integer, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import counter, created_at, in_list, moment

MAX_TITLE_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 5_000
MAX_BODY_CHARACTERS = 50_000
MAX_URL_CHARACTERS = 2_000
MAX_TEXT_CHARACTERS = 2_000  # of a question, an option, an explanation
MAX_MODULES = 100  # of a course
MAX_LESSONS = 200  # of a course: each report looks at all of them
MAX_QUESTIONS = 50  # of a lesson
MAX_OPTIONS = 12
MAX_VISITS = 1_000  # of a lesson, by one learner
MAX_ATTEMPTS = 1_000  # the same
MAX_SECONDS = 7 * 86_400  # of one visit
COUNT_SHARDS = 32

_PLACED = "(position is null) = (archived_at is not null)"
_LIVING = text("archived_at is null")


def _in_order(parent: str) -> UniqueConstraint:
    """One thing at each place. Checked at the commit: while an order changes two may have the same."""
    return UniqueConstraint(parent, "position", deferrable=True, initially="DEFERRED")


def _text(default: str | None = None) -> Any:
    return Field(default=default, sa_type=Text, nullable=False)


def _place() -> Any:
    return Field(default=None, sa_type=Integer, nullable=True)


class Course(SQLModel, table=True):
    """A course. What is not published is for editors alone."""

    __tablename__ = "courses"
    __table_args__ = (
        CheckConstraint(in_list("level", "basic", "intermediate", "advanced"), name="level"),
        CheckConstraint(in_list("status", "draft", "published"), name="status"),
        CheckConstraint(
            f"length(title) <= {MAX_TITLE_CHARACTERS} and length(description) <= {MAX_DESCRIPTION_CHARACTERS}",
            name="size",
        ),
        Index("uq_courses_slug", "slug", unique=True, postgresql_where=_LIVING),
        Index("ix_courses_listed", "status", text("id desc"), postgresql_where=_LIVING),
    )

    id: UUID = Field(primary_key=True)
    slug: str = _text()
    title: str = _text()
    description: str = _text()
    level: str = _text()
    cover_url: str | None = Field(default=None, sa_type=Text, nullable=True)
    status: str = _text()
    published_at: datetime | None = moment()  # when it was published last
    version: int = Field(default=1, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "1"})
    archived_at: datetime | None = moment()
    created_at: datetime = created_at()


class CourseModule(SQLModel, table=True):
    """A part of a course."""

    __tablename__ = "course_modules"
    __table_args__ = (CheckConstraint(_PLACED, name="place"), _in_order("course_id"))

    id: UUID = Field(primary_key=True)
    course_id: UUID = Field(foreign_key="courses.id", nullable=False)
    title: str = _text()
    position: int | None = _place()
    archived_at: datetime | None = moment()
    created_at: datetime = created_at()


class Lesson(SQLModel, table=True):
    """A lesson of a module. It has a quiz where it has questions, and is then completed by passing it. `body` is Markdown."""

    __tablename__ = "lessons"
    __table_args__ = (
        CheckConstraint(in_list("access", "preview", "pro"), name="access"),
        CheckConstraint(in_list("status", "draft", "published"), name="status"),
        CheckConstraint("pass_percent between 1 and 100", name="pass_percent"),
        CheckConstraint(
            f"length(title) <= {MAX_TITLE_CHARACTERS} and length(body) <= {MAX_BODY_CHARACTERS}", name="size"
        ),
        CheckConstraint(_PLACED, name="place"),
        _in_order("module_id"),
        Index("ix_lessons_course", "course_id", postgresql_where=_LIVING),
    )

    id: UUID = Field(primary_key=True)
    course_id: UUID = Field(foreign_key="courses.id", nullable=False)
    module_id: UUID = Field(foreign_key="course_modules.id", nullable=False)
    title: str = _text()
    body: str = _text()
    video_url: str | None = Field(default=None, sa_type=Text, nullable=True)
    access: str = _text()
    status: str = _text()
    pass_percent: int = Field(sa_type=SmallInteger, nullable=False)
    version: int = Field(default=1, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "1"})
    position: int | None = _place()
    archived_at: datetime | None = moment()
    created_at: datetime = created_at()


class QuizQuestion(SQLModel, table=True):
    """A question of a lesson's quiz. Its options never change: who changes them archives it and makes another, so that no answer
    is compared with options that its learner has not seen.
    """

    __tablename__ = "quiz_questions"
    __table_args__ = (
        CheckConstraint(in_list("kind", "single", "multiple"), name="kind"),
        CheckConstraint("cardinality(right_options) > 0", name="right_options"),
        CheckConstraint("kind = 'multiple' or cardinality(right_options) = 1", name="one_is_right"),
        CheckConstraint(_PLACED, name="place"),
        _in_order("lesson_id"),
    )

    id: UUID = Field(primary_key=True)
    lesson_id: UUID = Field(foreign_key="lessons.id", nullable=False)
    kind: str = _text()
    text: str = _text()
    options: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    right_options: list[int] = Field(sa_column=Column(ARRAY(SmallInteger), nullable=False))
    explanation: str = _text()
    version: int = Field(default=1, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "1"})
    position: int | None = _place()
    archived_at: datetime | None = moment()
    created_at: datetime = created_at()


class Enrolment(SQLModel, table=True):
    """That somebody has begun a course, and completed it, once. Its id is what the certificate's address names; `course_title` and
    `course_level` are what the course was then.
    """

    __tablename__ = "enrolments"
    __table_args__ = (
        CheckConstraint("(completed_at is null) = (course_title is null)", name="completed"),
        UniqueConstraint("account_id", "course_id"),
        Index(None, "account_id", text("id desc")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    course_id: UUID = Field(foreign_key="courses.id", nullable=False)
    created_at: datetime = created_at()
    completed_at: datetime | None = moment()
    course_title: str | None = Field(default=None, sa_type=Text, nullable=True)
    course_level: str | None = Field(default=None, sa_type=Text, nullable=True)


class LessonProgress(SQLModel, table=True):
    """How far an account has come in a lesson. Nothing of it ever becomes less. `seconds` is the sum of its visits'."""

    __tablename__ = "lesson_progress"
    __table_args__ = (
        CheckConstraint("score between 0 and 100", name="score"),
        CheckConstraint("seconds >= 0 and visits >= 0 and attempts >= 0", name="counts"),
        Index("ix_lesson_progress_course", "account_id", "course_id"),
    )

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    lesson_id: UUID = Field(primary_key=True, foreign_key="lessons.id")
    course_id: UUID = Field(foreign_key="courses.id", nullable=False)
    started_at: datetime = created_at()
    completed_at: datetime | None = moment()
    score: int | None = Field(default=None, sa_type=SmallInteger, nullable=True)
    seconds: int = counter()
    visits: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    attempts: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})


class LessonVisit(SQLModel, table=True):
    """The most seconds that one visit, as its client calls it, was reported to have lasted."""

    __tablename__ = "lesson_visits"

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    lesson_id: UUID = Field(primary_key=True, foreign_key="lessons.id")
    visit: str = Field(primary_key=True, sa_type=Text)
    seconds: int = counter()


class QuizAttempt(SQLModel, table=True):
    """One go at a lesson's quiz. `answers`: each question as it was worded, with the options that were chosen and those that were
    wanted.
    """

    __tablename__ = "quiz_attempts"
    __table_args__ = (
        CheckConstraint("score between 0 and 100", name="score"),
        Index("ix_quiz_attempts_lesson", "account_id", "lesson_id", text("id desc")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    lesson_id: UUID = Field(foreign_key="lessons.id", nullable=False)
    score: int = Field(sa_type=SmallInteger, nullable=False)
    passed: bool = Field(nullable=False)
    answers: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = created_at()


class CourseCount(SQLModel, table=True):
    """How many have begun a course and completed it: the sum of its shards. An account has one shard, so that many who begin at
    once do not wait for one row; to count enrolments would cost by how many there are.
    """

    __tablename__ = "course_counts"

    course_id: UUID = Field(primary_key=True, foreign_key="courses.id")
    shard: int = Field(primary_key=True, sa_type=SmallInteger)
    enrolled: int = counter()
    completed: int = counter()
