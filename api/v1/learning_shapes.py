"""The shapes of progress, enrolments and attempts at quizzes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from api.routes.cursors import ListPage
from api.routes.shapes import RequestBody
from api.v1.courses_shapes import Level, QuestionKind, asked_view
from models.learning.attempts import QuizAttemptRow
from models.learning.certificates import certificate_url
from models.learning.enrolments import EnrolmentRow
from models.learning.progress import CourseProgress, LessonState, Share
from models.learning.quizzes import Graded
from models.learning.tables import MAX_OPTIONS, MAX_QUESTIONS, MAX_SECONDS


class ProgressReport(RequestBody):
    """What a client says of a lesson. It may say it twice, late, or from several tabs: it counts once."""

    visit: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9_.:-]+$",
            description="Your own name for this visit: one for each tab, and a new one when the page is opened again.",
        ),
    ] = None
    seconds: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=MAX_SECONDS,
            description="How long this visit has lasted by now, in all; needs `visit`.",
        ),
    ] = 0
    completed: Annotated[
        bool, Field(strict=True, description="A lesson with a quiz is completed by passing it instead.")
    ] = False
    score: Annotated[
        int | None,
        Field(strict=True, ge=0, le=100, description="Percent, where the lesson has no quiz. The best counts."),
    ] = None

    @model_validator(mode="after")
    def _of_a_visit(self) -> "ProgressReport":
        if self.seconds and self.visit is None:
            raise ValueError("seconds are those of a visit; name it")
        return self


class QuizAnswers(RequestBody):
    """What was chosen: the places of options, from 0, by the question's id. A question that is left out is wrong."""

    answers: Annotated[
        dict[
            UUID,
            Annotated[list[Annotated[int, Field(strict=True, ge=0, lt=MAX_OPTIONS)]], Field(max_length=MAX_OPTIONS)],
        ],
        Field(max_length=MAX_QUESTIONS),
    ]


class ShareView(BaseModel):
    """How much is done, of the lessons that are published now."""

    lessons: int
    completed: int
    percent: Annotated[int, Field(ge=0, le=100)]
    seconds: Annotated[int, Field(description="Spent in these lessons.")]


class LessonProgressView(BaseModel):
    """A lesson as one learner has it. Without `started_at` they have not begun it."""

    lesson_id: UUID
    module_id: UUID
    started_at: datetime | None
    completed_at: datetime | None
    score: Annotated[int | None, Field(description="Percent, the best so far.")]
    seconds: int


class ModuleProgressView(ShareView):
    """A module as one learner has it."""

    module_id: UUID


class CourseProgressView(ShareView):
    """A course as one learner has it. `completed_at` stays when lessons are added later."""

    course_id: UUID
    enrolled_at: datetime | None
    completed_at: datetime | None
    certificate_url: Annotated[str | None, Field(description="Where anybody can see that it was completed.")]


class ProgressView(BaseModel):
    """How far a learner has come in a course, its modules and its lessons."""

    course: CourseProgressView
    modules: list[ModuleProgressView]
    lessons: list[LessonProgressView]


class LessonReported(BaseModel):
    """How far a learner has come in a lesson, its module and its course."""

    lesson: LessonProgressView
    module: ModuleProgressView
    course: CourseProgressView


class EnrolmentView(ShareView):
    """A course that somebody has begun."""

    id: UUID
    course_id: UUID
    slug: str
    title: str
    level: Level
    cover_url: str | None
    is_there: Annotated[bool, Field(description="False: the course is not published any more.")]
    enrolled_at: datetime
    completed_at: datetime | None
    certificate_url: str | None


class EnrolmentPage(ListPage[EnrolmentView]):
    """Courses that somebody has begun, the newest first."""


class QuizAttemptView(BaseModel):
    """An attempt at a quiz."""

    id: UUID
    lesson_id: UUID
    score: Annotated[int, Field(description="Percent, rounded down.")]
    passed: bool
    created_at: datetime


class QuizAttemptPage(ListPage[QuizAttemptView]):
    """Attempts at a quiz, newest first."""


class GradedQuestion(BaseModel):
    """A question with what was chosen, what was right, and why."""

    id: UUID
    kind: QuestionKind
    text: str
    options: list[str]
    chosen: list[int]
    right_options: list[int]
    is_right: bool
    explanation: str


class GradedAttempt(QuizAttemptView):
    """An attempt with its answers."""

    questions: list[GradedQuestion]


class AnsweredQuiz(GradedAttempt):
    """An attempt with its answers, and how far the learner has come by it."""

    progress: LessonReported


def share_view(share: Share) -> dict[str, Any]:
    """A share with its percentage."""
    return {**share._asdict(), "percent": share.percent}


def course_part(found: CourseProgress) -> dict[str, Any]:
    """The course of a progress."""
    url = certificate_url(found.enrolment_id) if found.enrolment_id and found.completed_at else None
    return {
        "course_id": found.course_id, "enrolled_at": found.enrolled_at, "completed_at": found.completed_at,
        "certificate_url": url, **share_view(found.course),
    }  # fmt: skip


def lesson_part(state: LessonState) -> dict[str, Any]:
    """A lesson of a progress."""
    return state._asdict()


def module_part(module_id: UUID, share: Share) -> dict[str, Any]:
    """A module of a progress."""
    return {"module_id": module_id, **share_view(share)}


def progress_view(found: CourseProgress) -> dict[str, Any]:
    """All of a course's progress."""
    return {
        "course": course_part(found), "modules": [module_part(*each) for each in found.modules.items()],
        "lessons": [lesson_part(each) for each in found.lessons],
    }  # fmt: skip


def reported_view(found: CourseProgress, lesson_id: UUID) -> dict[str, Any]:
    """What a report of one lesson has made."""
    state = next(each for each in found.lessons if each.lesson_id == lesson_id)
    return {
        "lesson": lesson_part(state), "module": module_part(state.module_id, found.modules[state.module_id]),
        "course": course_part(found),
    }  # fmt: skip


def enrolment_view(row: EnrolmentRow) -> dict[str, Any]:
    """A course that somebody has begun, as it is listed."""
    shown = row._asdict()
    del shown["share"], shown["created_at"]
    url = certificate_url(row.id) if row.completed_at else None
    return {**share_view(row.share), **shown, "enrolled_at": row.created_at, "certificate_url": url}


def attempt_view(row: QuizAttemptRow) -> dict[str, Any]:
    """An attempt as it is listed."""
    return row._asdict()


def graded_view(row: QuizAttemptRow, graded: Sequence[Graded]) -> dict[str, Any]:
    """An attempt with its answers."""
    return {**row._asdict(), "questions": [_graded(each) for each in graded]}


def _graded(each: Graded) -> dict[str, Any]:
    asked, question = asked_view(each.question), each.question
    key = {"right_options": question.right_options, "explanation": question.explanation}
    return {**asked, **key, "chosen": each.chosen, "is_right": each.is_right}
