"""Attempts at quizzes: what was answered, what would have been right, and what it was worth. All are kept; the best score counts."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access.scopes import Caller
from models.learning.lessons import find_lesson, lesson_to_learn
from models.learning.progress import CourseProgress, begin, complete_with
from models.learning.quizzes import Graded, QuestionRow, grade, is_passed, questions_named, questions_of, score_of
from models.learning.tables import MAX_ATTEMPTS
from models.locks import lock_account


class QuizAttemptRow(NamedTuple):
    """An attempt as it is listed."""

    id: UUID
    lesson_id: UUID
    score: int
    passed: bool
    created_at: datetime


_SHOWN = ", ".join(QuizAttemptRow._fields)


def answer_quiz(
    conn: Connection[Any], who: Caller, lesson_id: UUID, answers: Mapping[UUID, Collection[int]]
) -> tuple[QuizAttemptRow, list[Graded], CourseProgress]:
    """Grade answers and keep them; who passes has completed the lesson. Raises NotFound, NeedsPro, InvalidInput."""
    lock_account(conn, who.account_id)
    lesson = lesson_to_learn(conn, who, lesson_id)
    questions = questions_of(conn, lesson_id)
    if not questions:
        raise NotFound("this lesson has no quiz", param="id")
    graded = grade(questions, answers)
    score, passed = score_of(graded), is_passed(graded, lesson.pass_percent)
    begin(conn, who.account_id, lesson)
    counted = conn.execute(
        """update lesson_progress set attempts = attempts + 1, score = case when attempts = 0 then %s else greatest(score, %s) end,
                  completed_at = coalesce(completed_at, case when %s then app_now() end)
            where account_id = %s and lesson_id = %s and attempts < %s""",
        [score, score, passed, who.account_id, lesson_id, MAX_ATTEMPTS],
    )
    if not counted.rowcount:
        raise InvalidInput(f"this quiz has {MAX_ATTEMPTS} attempts of yours, the limit")
    kept = [
        {
            "question": str(each.question.id), "text": each.question.text, "explanation": each.question.explanation,
            "chosen": each.chosen, "wanted": each.question.right_options,
        }
        for each in graded
    ]  # fmt: skip
    row = conn.execute(
        f"""insert into quiz_attempts (id, account_id, lesson_id, score, passed, answers) values (%s, %s, %s, %s, %s, %s)
            returning {_SHOWN}""",
        [uuid7(), who.account_id, lesson_id, score, passed, Jsonb(kept)],
    ).fetchone()
    assert row is not None  # noqa: S101 - inserted
    return QuizAttemptRow(*row), graded, complete_with(conn, who.account_id, lesson)


def list_attempts(
    conn: Connection[Any], account_id: UUID, lesson_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[QuizAttemptRow]:
    """An account's attempts at a lesson's quiz, newest first; those too at one that was deleted since. Raises NotFound."""
    rows = conn.execute(
        f"""select {_SHOWN} from quiz_attempts where account_id = %s and lesson_id = %s and (%s::uuid is null or id < %s)
             order by id desc limit %s""",
        [account_id, lesson_id, before, before, limit],
    ).fetchall()
    if not rows and before is None:
        find_lesson(conn, lesson_id, published=True)
    return [QuizAttemptRow(*row) for row in rows]


def find_attempt(
    conn: Connection[Any], account_id: UUID, lesson_id: UUID, attempt_id: UUID
) -> tuple[QuizAttemptRow, list[Graded]]:
    """One of an account's own, with what was asked and right then. Raises NotFound."""
    row = conn.execute(
        f"select {_SHOWN}, answers from quiz_attempts where id = %s and account_id = %s and lesson_id = %s",
        [attempt_id, account_id, lesson_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no attempt {attempt_id}", param="attempt_id")
    *shown, answers = row
    questions = questions_named(conn, [UUID(each["question"]) for each in answers])
    return QuizAttemptRow(*shown), [_graded(questions[UUID(each["question"])], each) for each in answers]


def _graded(question: QuestionRow, answer: Mapping[str, Any]) -> Graded:
    """What was answered, to the question as it was worded then; attempts of before 0.2 have kept no wording."""
    worded = {name: answer[name] for name in ("text", "explanation") if name in answer}
    return Graded(question._replace(**worded), answer["chosen"], answer["chosen"] == answer["wanted"])
