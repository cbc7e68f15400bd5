"""/v1/enrolments, and what learners do: say how far they are, answer quizzes, see what it comes to."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.learning_shapes import (
    AnsweredQuiz,
    EnrolmentPage,
    GradedAttempt,
    LessonReported,
    ProgressReport,
    ProgressView,
    QuizAnswers,
    QuizAttemptPage,
    attempt_view,
    enrolment_view,
    graded_view,
    progress_view,
    reported_view,
)
from models.access import scopes
from models.access.scopes import Caller
from models.db import certain, transaction
from models.learning import attempts, courses, enrolments, progress
from models.learning.progress import LearnerReport

router = PrefixRouter(prefix="/v1", tags=["learning"], route_class=WalledRoute)

ENROLMENTS = Listing("enrolments", UUID)
QUIZ_ATTEMPTS = Listing("quiz_attempts", UUID)
_Reader = Annotated[Caller, Depends(needs("read"))]
_Learner = Annotated[Caller, Depends(needs("write"))]


@router.get("/enrolments", response_model=EnrolmentPage, summary="List the courses that you have begun")
def list_enrolments(who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(ENROLMENTS.wanted)]) -> Response:
    """Newest first, with how far you have come and, once completed, the certificate."""
    with certain() as conn:
        rows = enrolments.look_at_enrolments(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(ENROLMENTS.page(rows, wanted, lambda row: row.id, enrolment_view))


@router.get("/courses/{course_id}/progress", response_model=ProgressView, summary="See how far you have come")
def get_progress(course_id: PathId, who: _Reader) -> Response:
    """In a course, its modules and its lessons: of what is published now."""
    with certain() as conn:
        row = courses.find_course(conn, str(id_of(course_id, "course")), drafts=scopes.may_edit(who))
        found = progress.look_at_progress(conn, who.account_id, row.id)
    return answer(progress_view(found))


@router.post("/lessons/{lesson_id}/progress", response_model=LessonReported, summary="Report how far you are")
def report_progress(lesson_id: PathId, body: ProgressReport, who: _Learner) -> Response:
    """The first report of a course enrols you. A report may be sent again, late, or from several tabs: nothing becomes less, and time
    is the largest total of each `visit`, so send totals and not what was added.
    """
    wanted = id_of(lesson_id, "lesson")
    said = LearnerReport(body.visit, body.seconds, body.completed, body.score)
    with certain() as conn:
        found = progress.report(conn, who, wanted, said)
    return answer(reported_view(found, wanted))


@router.post("/lessons/{lesson_id}/attempts", status_code=201, response_model=AnsweredQuiz, summary="Answer a quiz")
def answer_quiz(
    lesson_id: PathId, body: QuizAnswers, request: Request, who: _Learner, idempotency_key: RepeatKey = None
) -> Response:
    """Tells the score, what was right, and why. Who passes has completed the lesson. All attempts are kept, and the best score counts."""
    wanted = id_of(lesson_id, "lesson")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        row, graded, found = attempts.answer_quiz(conn, who, wanted, body.answers)
        return {**graded_view(row, graded), "progress": reported_view(found, wanted)}

    location = f"/v1/lessons/{wanted}/attempts/{{id}}"
    return once(who, idempotency_key, asked(request, body), work, status=201, location=location)


@router.get("/lessons/{lesson_id}/attempts", response_model=QuizAttemptPage, summary="List your attempts at a quiz")
def list_attempts(
    lesson_id: PathId, who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(QUIZ_ATTEMPTS.wanted)]
) -> Response:
    """Newest first."""
    with transaction() as conn:
        rows = attempts.list_attempts(
            conn, who.account_id, id_of(lesson_id, "lesson"), before=wanted.after, limit=wanted.reads
        )
    return answer(QUIZ_ATTEMPTS.page(rows, wanted, lambda row: row.id, attempt_view))


@router.get(
    "/lessons/{lesson_id}/attempts/{attempt_id}", response_model=GradedAttempt, summary="Look at an attempt at a quiz"
)
def get_attempt(lesson_id: PathId, attempt_id: PathId, who: _Reader) -> Response:
    """One of your own, with what was right and why."""
    with transaction() as conn:
        row, graded = attempts.find_attempt(
            conn, who.account_id, id_of(lesson_id, "lesson"), id_of(attempt_id, "attempt")
        )
    return answer(graded_view(row, graded))
