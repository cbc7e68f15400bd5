"""/v1/lessons: what a lesson says and asks, and how editors change it."""

from typing import Annotated, Any

from fastapi import Depends
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import PathId, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.versions import IfMatch, etag_of, version_of
from api.routes.walled import WalledRoute
from api.v1.courses_shapes import (
    LessonChange,
    LessonView,
    NewQuestion,
    QuestionChange,
    QuestionOrder,
    QuestionView,
    Quiz,
    QuizKey,
    asked_view,
    changes_of,
    lesson_view,
    question_view,
)
from common.errors import NotFound
from models.access import scopes
from models.access.scopes import Caller
from models.db import certain, transaction
from models.learning import lessons, quizzes
from models.learning.quizzes import QuestionDraft

router = PrefixRouter(prefix="/v1/lessons", tags=["learning"], route_class=WalledRoute)

_Reader = Annotated[Caller, Depends(needs("read"))]
_Editor = Annotated[Caller, Depends(needs("edit"))]


@router.get("/{lesson_id}", response_model=LessonView, summary="Read a lesson")
def get_lesson(lesson_id: PathId, who: _Reader) -> Response:
    """A preview is for everybody, the others for the role `pro` and above: 403 `needs_pro`. Drafts are for editors."""
    with transaction() as conn:
        row = lessons.lesson_for(conn, who, id_of(lesson_id, "lesson"))
    return answer(lesson_view(row, edits=scopes.may_edit(who)), 200, etag_of(row.version))


@router.patch("/{lesson_id}", response_model=LessonView, summary="Change a lesson")
def change_lesson(
    lesson_id: PathId, body: LessonChange, request: Request, who: _Editor, if_match: IfMatch = None
) -> Response:
    """Only what is named changes. `module_id` and `position` move it, within its course. With If-Match nothing is overwritten that
    another editor has written meanwhile.
    """
    wanted, version = id_of(lesson_id, "lesson"), version_of(if_match)
    with certain() as conn:
        row = lessons.change_lesson(
            conn, by(who, request), wanted, changes_of(body), module_id=body.module_id, position=body.position,
            version=version,
        )  # fmt: skip
    return answer(lesson_view(row, edits=True), 200, etag_of(row.version))


@router.delete("/{lesson_id}", status_code=204, response_class=Response, summary="Delete a lesson")
def delete_lesson(lesson_id: PathId, request: Request, who: _Editor) -> Response:
    """What learners have done in it stays, and it stands in nobody's way to the end of the course."""
    with certain() as conn:
        lessons.archive_lesson(conn, by(who, request), id_of(lesson_id, "lesson"))
    return Response(status_code=204)


@router.get("/{lesson_id}/quiz", response_model=Quiz, summary="Get a quiz")
def get_quiz(lesson_id: PathId, who: _Reader) -> Response:
    """The lesson's questions, without what is right: an attempt tells that."""
    with transaction() as conn:
        row = lessons.lesson_for(conn, who, id_of(lesson_id, "lesson"))
        questions = quizzes.questions_of(conn, row.id)
    if not questions:
        raise NotFound("this lesson has no quiz", param="id")
    found = [asked_view(each) for each in questions]
    return answer({"lesson_id": row.id, "pass_percent": row.pass_percent, "questions": found})


@router.get("/{lesson_id}/quiz/key", response_model=QuizKey, summary="Get a quiz with its answers")
def get_quiz_key(lesson_id: PathId, _who: Annotated[Caller, Depends(needs("edit"))]) -> Response:
    """For editors."""
    wanted = id_of(lesson_id, "lesson")
    with transaction() as conn:
        pass_percent, questions = quizzes.quiz_of(conn, wanted)
    found = [question_view(each) for each in questions]
    return answer({"lesson_id": wanted, "pass_percent": pass_percent, "questions": found})


@router.post("/{lesson_id}/questions", status_code=201, response_model=QuestionView, summary="Add a question")
def create_question(
    lesson_id: PathId, body: NewQuestion, request: Request, who: _Editor, idempotency_key: RepeatKey = None
) -> Response:
    """A lesson with a question has a quiz, and is completed by passing it from then on."""
    wanted = id_of(lesson_id, "lesson")
    draft = QuestionDraft(body.kind, body.text, body.options, body.right_options, body.explanation)

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return question_view(quizzes.create_question(conn, by(who, request), wanted, draft, body.position))

    return once(who, idempotency_key, asked(request, body), work, status=201)


@router.put("/{lesson_id}/order", response_model=QuizKey, summary="Order a quiz")
def order_questions(lesson_id: PathId, body: QuestionOrder, request: Request, who: _Editor) -> Response:
    """All questions at once. 422 where one is left out, or is not there: look again."""
    wanted = id_of(lesson_id, "lesson")
    with certain() as conn:
        quizzes.order_questions(conn, by(who, request), wanted, body.questions)
        pass_percent, questions = quizzes.quiz_of(conn, wanted)
    found = [question_view(each) for each in questions]
    return answer({"lesson_id": wanted, "pass_percent": pass_percent, "questions": found})


@router.patch("/{lesson_id}/questions/{question_id}", response_model=QuestionView, summary="Change a question")
def change_question(
    lesson_id: PathId,
    question_id: PathId,
    body: QuestionChange,
    request: Request,
    who: _Editor,
    if_match: IfMatch = None,
) -> Response:
    """Only what is named changes. With other options, or others that are right, it has another `id` from then on: who answers the
    one that they have seen is told to load the quiz again. With If-Match nothing is overwritten that another editor has written
    meanwhile.
    """
    lesson, wanted, version = id_of(lesson_id, "lesson"), id_of(question_id, "question"), version_of(if_match)
    with certain() as conn:
        row = quizzes.change_question(conn, by(who, request), lesson, wanted, changes_of(body), body.position, version)
    return answer(question_view(row), 200, etag_of(row.version))


@router.delete(
    "/{lesson_id}/questions/{question_id}", status_code=204, response_class=Response, summary="Delete a question"
)
def delete_question(lesson_id: PathId, question_id: PathId, request: Request, who: _Editor) -> Response:
    """Attempts keep their answers to it. A lesson without questions has no quiz."""
    with certain() as conn:
        quizzes.archive_question(conn, by(who, request), id_of(lesson_id, "lesson"), id_of(question_id, "question"))
    return Response(status_code=204)
