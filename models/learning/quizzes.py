"""The quiz of a lesson: its questions, and what an answer is worth."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.learning.lessons import find_lesson, locked_lesson
from models.learning.places import QUESTIONS, archive, check_room, check_same, ordered_ids, put, write_order
from models.learning.tables import MAX_OPTIONS, MAX_QUESTIONS
from models.versions import check_version


class QuestionDraft(NamedTuple):
    """A question as an editor writes it; its right options are named by their places, from 0."""

    kind: str
    text: str
    options: Sequence[str]
    right_options: Sequence[int]
    explanation: str = ""


class QuestionRow(NamedTuple):
    """A question as it is kept."""

    id: UUID
    kind: str
    text: str
    options: list[str]
    right_options: list[int]
    explanation: str
    version: int


class Graded(NamedTuple):
    """One question's answer, and whether it was right."""

    question: QuestionRow
    chosen: list[int]
    is_right: bool


_SHOWN = ", ".join(QuestionRow._fields)


def check_question(draft: QuestionDraft) -> None:
    """Raises InvalidInput that names the field. Pure."""
    options, wanted = draft.options, draft.right_options
    if not 2 <= len(options) <= MAX_OPTIONS:
        raise InvalidInput(f"options has {len(options)} entries; a question has 2 to {MAX_OPTIONS}", param="options")
    if len(set(options)) != len(options):
        raise InvalidInput("options has one text twice", param="options")
    beyond = [each for each in wanted if not 0 <= each < len(options)]
    if beyond:
        raise InvalidInput(
            f"right_options names {beyond[0]}; the options are 0 to {len(options) - 1}", param="right_options"
        )
    if len(set(wanted)) != len(wanted) or not wanted:
        raise InvalidInput(
            f"right_options has {len(wanted)} entries; name each once, and one at least", param="right_options"
        )
    if draft.kind == "single" and len(wanted) != 1:
        raise InvalidInput(f"right_options has {len(wanted)} entries; a single choice has 1", param="right_options")


def grade(questions: Sequence[QuestionRow], answers: Mapping[UUID, Collection[int]]) -> list[Graded]:
    """What answers are worth: right is who chose exactly what is right. What was not answered is wrong. Raises InvalidInput for
    answers to what is not asked, or is asked no more. Pure.
    """
    asked = {each.id for each in questions}
    for question_id in answers:
        if question_id not in asked:
            raise InvalidInput(
                f"there is no question {question_id} in this quiz now; load it again", param=f"answers.{question_id}"
            )
    graded = []
    for question in questions:
        chosen = sorted(set(answers.get(question.id, ())))
        if chosen and not (chosen[0] >= 0 and chosen[-1] < len(question.options)):
            raise InvalidInput(
                f"the options of this question are 0 to {len(question.options) - 1}", param=f"answers.{question.id}"
            )
        if question.kind == "single" and len(chosen) > 1:
            raise InvalidInput(f"{len(chosen)} options are chosen, and one may be", param=f"answers.{question.id}")
        graded.append(Graded(question, chosen, chosen == sorted(question.right_options)))
    return graded


def score_of(graded: Sequence[Graded]) -> int:
    """Whole percent, rounded down. Pure."""
    return 100 * sum(each.is_right for each in graded) // len(graded)


def is_passed(graded: Sequence[Graded], pass_percent: int) -> bool:
    """Whether enough is right, without rounding. Pure."""
    return 100 * sum(each.is_right for each in graded) >= pass_percent * len(graded)


def questions_of(conn: Connection[Any], lesson_id: UUID) -> list[QuestionRow]:
    """The quiz of a lesson, in order; empty: it has none."""
    rows = conn.execute(
        f"select {_SHOWN} from quiz_questions where lesson_id = %s and position is not null order by position",
        [lesson_id],
    ).fetchall()
    return [QuestionRow(*row) for row in rows]


def questions_named(conn: Connection[Any], ids: Sequence[UUID]) -> dict[UUID, QuestionRow]:
    """Questions, those too that are archived."""
    rows = conn.execute(f"select {_SHOWN} from quiz_questions where id = any(%s)", [list(ids)]).fetchall()
    return {row[0]: QuestionRow(*row) for row in rows}


def create_question(
    conn: Connection[Any], by: By, lesson_id: UUID, draft: QuestionDraft, position: int | None = None
) -> QuestionRow:
    """Ask one more, at a place or at the end. Raises NotFound, InvalidInput."""
    check_question(draft)
    locked_lesson(conn, lesson_id)
    check_room(conn, QUESTIONS, lesson_id, MAX_QUESTIONS, "questions in this quiz")
    made = _insert(conn, lesson_id, draft, position)
    audit_log.record(conn, by, "question.create", str(made.id), lesson=lesson_id)
    return made


def _insert(conn: Connection[Any], lesson_id: UUID, draft: QuestionDraft, position: int | None) -> QuestionRow:
    there = len(ordered_ids(conn, QUESTIONS, lesson_id))
    row = conn.execute(
        f"""insert into quiz_questions (id, lesson_id, kind, text, options, right_options, explanation, position)
            values (%s, %s, %s, %s, %s, %s, %s, %s) returning {_SHOWN}""",
        [
            uuid7(), lesson_id, draft.kind, draft.text, Jsonb(list(draft.options)), sorted(draft.right_options),
            draft.explanation, there,
        ],
    ).fetchone()  # fmt: skip
    assert row is not None  # noqa: S101 - inserted
    made = QuestionRow(*row)
    put(conn, QUESTIONS, lesson_id, made.id, position)
    return made


def change_question(
    conn: Connection[Any],
    by: By,
    lesson_id: UUID,
    question_id: UUID,
    changes: Mapping[str, Any],
    position: int | None = None,
    version: int | None = None,
) -> QuestionRow:
    """Change what is named; `version`: what the editor has seen. Other options, or others that are right, make another question with an id of its own at the same place:
    who answers the one that they have seen is told to load the quiz again. Raises NotFound, VersionChanged,
    InvalidInput.
    """
    locked_lesson(conn, lesson_id)
    before, at = _question(conn, lesson_id, question_id)
    check_version(version, before.version, "question")
    draft = QuestionDraft(*before[1:-1])._replace(
        **{name: value for name, value in changes.items() if name in QuestionDraft._fields}
    )
    check_question(draft)
    at = at if position is None else position
    same = (draft.kind, list(draft.options), sorted(draft.right_options)) == (
        before.kind, before.options, before.right_options,
    )  # fmt: skip
    if same:
        if (draft.text, draft.explanation) != (before.text, before.explanation):
            conn.execute(
                "update quiz_questions set text = %s, explanation = %s, version = version + 1 where id = %s",
                [draft.text, draft.explanation, question_id],
            )
        put(conn, QUESTIONS, lesson_id, question_id, at)
        after = _question(conn, lesson_id, question_id)[0]
    else:
        archive(conn, QUESTIONS, lesson_id, question_id)
        after = _insert(conn, lesson_id, draft, at)
    audit_log.record(
        conn, by, "question.change", str(question_id), lesson=lesson_id, now=after.id, changed=sorted(changes)
    )
    return after


def _question(conn: Connection[Any], lesson_id: UUID, question_id: UUID) -> tuple[QuestionRow, int]:
    there = {each.id: (each, place) for place, each in enumerate(questions_of(conn, lesson_id))}
    if question_id not in there:
        raise NotFound(f"no question {question_id} in this quiz", param="question_id")
    return there[question_id]


def archive_question(conn: Connection[Any], by: By, lesson_id: UUID, question_id: UUID) -> None:
    """Ask it no more; attempts keep their answers. Raises NotFound."""
    locked_lesson(conn, lesson_id)
    _question(conn, lesson_id, question_id)
    archive(conn, QUESTIONS, lesson_id, question_id)
    audit_log.record(conn, by, "question.archive", str(question_id), lesson=lesson_id)


def order_questions(conn: Connection[Any], by: By, lesson_id: UUID, ids: Sequence[UUID]) -> None:
    """Give all questions their places at once. Raises NotFound, InvalidInput where not each is named once."""
    locked_lesson(conn, lesson_id)
    check_same(ids, ordered_ids(conn, QUESTIONS, lesson_id), "questions")
    write_order(conn, QUESTIONS, lesson_id, ids)
    audit_log.record(conn, by, "question.order", str(lesson_id), questions=len(ids))


def quiz_of(conn: Connection[Any], lesson_id: UUID) -> tuple[int, list[QuestionRow]]:
    """A lesson's pass mark in percent, and its questions. Raises NotFound."""
    return find_lesson(conn, lesson_id).pass_percent, questions_of(conn, lesson_id)
