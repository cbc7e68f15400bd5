"""Editors make courses and put them in order, also several at once, and nothing of it is lost or twice."""

import random
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from common.errors import DomainError, InvalidInput, NotFound
from models import db
from models.db import transaction
from models.learning import attempts, courses, lessons, places, quizzes
from models.learning.courses import CourseDraft, check_slug, slug_of
from models.learning.lessons import LessonDraft
from models.learning.places import inserted
from models.learning.tables import MAX_LESSONS, MAX_MODULES, MAX_QUESTIONS
from tests.models.learning.school import BY, answered, changed, course, learner, lesson, order_of, part, question, said
from tests.races.test_races import together
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def many() -> Iterator[None]:
    db.size_pool(24)
    yield
    db.size_pool(8)


def ordered(course_id: UUID, order: list[tuple[UUID, list[UUID]]]) -> None:
    with transaction() as conn:
        courses.order_course(conn, BY, course_id, order)


def modules_of(course_id: UUID) -> list[UUID]:
    with transaction() as conn:
        return places.ordered_ids(conn, places.MODULES, course_id)


IDS = st.lists(st.integers(0, 20).map(lambda n: UUID(int=n)), unique=True, max_size=10)


@given(IDS, st.integers(0, 20).map(lambda n: UUID(int=n)), st.none() | st.integers(0, 12))
def test_what_is_put_at_a_place_stands_there_and_the_others_keep_their_order(
    ids: list[UUID], new: UUID, position: int | None
) -> None:
    found = inserted(ids, new, position)
    assert [each for each in found if each != new] == [each for each in ids if each != new]
    assert found.count(new) == 1
    assert found.index(new) == min(len(found) - 1, len(found) if position is None else position)


def test_lessons_are_inserted_moved_and_deleted_and_places_have_no_gap() -> None:
    course_id, (a, b, c) = course(2, 1)
    first, second = modules_of(course_id)
    d = lesson(course_id, first, position=0)
    assert order_of(course_id) == [[d, a, b], [c]]
    with transaction() as conn:
        lessons.change_lesson(conn, BY, b, {}, position=0)
    assert order_of(course_id) == [[b, d, a], [c]]
    with transaction() as conn:
        lessons.change_lesson(conn, BY, d, {"title": "Moved"}, module_id=second, position=0)
    assert order_of(course_id) == [[b, a], [d, c]]
    with transaction() as conn:
        lessons.archive_lesson(conn, BY, d)
        courses.change_module(conn, BY, course_id, second, position=0)
    assert order_of(course_id) == [[c], [b, a]]
    third = part(course_id, position=1)
    assert modules_of(course_id) == [second, third, first]
    with transaction() as conn:
        courses.archive_module(conn, BY, course_id, first)
    assert order_of(course_id) == [[c], []]


def test_an_order_gives_all_places_at_once_and_names_each_once() -> None:
    course_id, (a, b, c) = course(2, 1)
    first, second = modules_of(course_id)
    ordered(course_id, [(second, [b]), (first, [c, a])])
    assert (modules_of(course_id), order_of(course_id)) == ([second, first], [[b], [c, a]])
    for wrong in (
        [(first, [a, b, c])], [(first, [a]), (second, [b])], [(first, [a, a]), (second, [b, c])],
        [(first, [a, b, c]), (second, [uuid4()])], [(first, [a, b, c]), (uuid4(), [])], [],
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            ordered(course_id, wrong)
    assert order_of(course_id) == [[b], [c, a]]


def test_things_of_another_course_are_not_found() -> None:
    mine, (a,) = course(1)
    other, (b,) = course(1, title="Other")
    (theirs,), (ours,) = modules_of(other), modules_of(mine)
    with transaction() as conn:
        for act in (
            lambda: courses.change_module(conn, BY, mine, theirs, title="x"),
            lambda: courses.archive_module(conn, BY, mine, theirs),
            lambda: lessons.create_lesson(conn, BY, mine, LessonDraft(theirs, "x", "", "pro", "draft", 80)),
            lambda: lessons.change_lesson(conn, BY, a, {}, module_id=theirs),
            lambda: quizzes.archive_question(conn, BY, a, uuid7()),
            lambda: courses.archive_course(conn, BY, uuid7()),
        ):
            with pytest.raises(NotFound):
                act()
    with pytest.raises(InvalidInput):
        ordered(mine, [(ours, [b])])
    assert (order_of(mine), order_of(other)) == ([[a]], [[b]])


def test_a_course_is_published_once_however_often_it_is_said() -> None:
    made, _ = course()

    def said(status: str) -> Any:
        with transaction() as conn:
            return courses.change_course(conn, BY, made, {"title": "x", "status": status}).published_at

    first = said("published")
    assert said("published") == first
    said("draft")
    assert said("published") > first


def test_a_slug_names_one_course_and_is_free_again_once_it_is_deleted() -> None:
    first, _ = course(title="One", slug="good-pictures")
    second, _ = course(title="Two")
    with pytest.raises(InvalidInput, match="already"):
        course(title="Three", slug="good-pictures")
    with pytest.raises(InvalidInput, match="already"), transaction() as conn:
        courses.change_course(conn, BY, second, {"slug": "good-pictures"})
    with transaction() as conn:
        assert courses.find_course(conn, "good-pictures", drafts=False).id == first
        courses.archive_course(conn, BY, first)
        assert courses.change_course(conn, BY, second, {"slug": "good-pictures"}).slug == "good-pictures"


@pytest.mark.parametrize("title", ["Good pictures!", "😀", "مرحبا", "x" * 200, "İstanbul ß", "-", "日本語 for all"])
def test_every_title_makes_a_slug(title: str) -> None:
    check_slug(slug_of(title, uuid7()))


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "A",
        "a--b",
        "-a",
        "a-",
        "a b",
        "ä",
        "a" * 81,
        "a/b",
        "5f0c1c06-6f4b-4d9c-9c44-0d2b7f3f6a01",
        "5f0c1c066f4b4d9c9c440d2b7f3f6a01",
    ],
)
def test_what_is_no_slug_is_refused(slug: str) -> None:
    with pytest.raises(InvalidInput):
        check_slug(slug)


def test_courses_modules_lessons_and_questions_are_bounded() -> None:
    course_id, (only,) = course(1)
    (module,) = modules_of(course_id)
    with transaction() as conn:
        conn.execute(
            """insert into lessons (id, course_id, module_id, title, body, access, status, pass_percent, position)
               select gen_random_uuid(), %s, %s, 'x', '', 'pro', 'draft', 80, n from generate_series(1, %s) n""",
            [course_id, module, MAX_LESSONS - 1],
        )
        conn.execute(
            """insert into course_modules (id, course_id, title, position)
               select gen_random_uuid(), %s, 'x', n from generate_series(1, %s) n""",
            [course_id, MAX_MODULES - 1],
        )
        conn.execute(
            """insert into quiz_questions (id, lesson_id, kind, text, options, right_options, explanation, position)
               select gen_random_uuid(), %s, 'single', 'x', '["a", "b"]', '{0}', '', n - 1 from generate_series(1, %s) n""",
            [only, MAX_QUESTIONS],
        )
    for act in (lambda: lesson(course_id, module), lambda: part(course_id), lambda: question(only, [0])):
        with pytest.raises(InvalidInput, match="the limit"):
            act()


# --- quizzes ---


@pytest.mark.parametrize(("right", "fields", "param"), [
    ([], {}, "right_options"), ([3], {}, "right_options"), ([-1], {}, "right_options"), ([0, 0], {"kind": "multiple"}, "right_options"),
    ([0, 1], {"kind": "single"}, "right_options"), ([0], {"options": ["one"]}, "options"), ([0], {"options": ["a", "a"]}, "options"),
    ([0], {"options": [str(n) for n in range(13)]}, "options"),
])  # fmt: skip
def test_what_is_no_question_is_refused_by_its_field(right: list[int], fields: dict[str, Any], param: str) -> None:
    _, (only,) = course(1)
    with pytest.raises(InvalidInput) as refused:
        question(only, right, **fields)
    assert refused.value.param == param


def test_answers_to_what_is_not_asked_or_does_not_fit_are_refused_and_nothing_is_kept() -> None:
    _, (only, other) = course(2)
    single, elsewhere = question(only, [0]), question(other, [0])
    who = learner()
    for answers in ({elsewhere: [0]}, {uuid7(): [0]}, {single: [3]}, {single: [-1]}, {single: [0, 1]}):
        with pytest.raises(InvalidInput):
            answered(who, only, answers)
    assert one("select count(*) from quiz_attempts") == (0,)
    assert one("select count(*) from lesson_progress") == (0,)
    assert answered(who, only, {single: []})[0].score == 0


def test_a_question_with_other_options_is_another_and_who_answers_the_old_one_is_told() -> None:
    _, (only,) = course(1)
    first, second = question(only, [0]), question(only, [1])
    who = learner()
    before, _ = answered(who, only, {first: [0], second: [1]})
    with transaction() as conn:
        same = quizzes.change_question(conn, BY, only, first, {"text": "Which?", "explanation": "So."})
        other = quizzes.change_question(conn, BY, only, second, {"right_options": [2]})
        assert (same.id, same.text, other.id != second) == (first, "Which?", True)
        assert (same.version, quizzes.change_question(conn, BY, only, first, {}, 0).version) == (2, 2), (
            "a place is no wording"
        )
        assert [each.id for each in quizzes.questions_of(conn, only)] == [first, other.id]
    with pytest.raises(InvalidInput, match="load it again"):
        answered(who, only, {first: [0], second: [1]})
    with transaction() as conn:
        _, graded = attempts.find_attempt(conn, who.account_id, only, before.id)
    assert [(each.question.id, each.is_right) for each in graded] == [(first, True), (second, True)]
    assert [(each.question.text, each.question.explanation) for each in graded] == [("What?", "Because.")] * 2
    with transaction() as conn:  # as attempts were kept before their wording was
        conn.execute("""update quiz_attempts set answers = (
            select jsonb_agg(each - 'text' - 'explanation') from jsonb_array_elements(answers) each)""")
        _, graded = attempts.find_attempt(conn, who.account_id, only, before.id)
    assert [each.question.text for each in graded] == ["Which?", "What?"]


def test_questions_are_put_in_order_all_at_once() -> None:
    course_id, (only,) = course(1)
    ids = [question(only, [0]) for _ in range(4)]
    random.shuffle(ids)
    with transaction() as conn:
        quizzes.order_questions(conn, BY, only, ids)
        quizzes.archive_question(conn, BY, only, ids[1])
        quizzes.change_question(conn, BY, only, ids[3], {}, position=0)
        found = [each.id for each in quizzes.questions_of(conn, only)]
        with pytest.raises(InvalidInput):
            quizzes.order_questions(conn, BY, only, ids)
    assert found == [ids[3], ids[0], ids[2]]
    order_of(course_id)


def test_a_pass_mark_is_compared_without_rounding() -> None:
    _, (only,) = course(1)
    asked = [question(only, [0]) for _ in range(3)]
    two = {asked[0]: [0], asked[1]: [0]}
    changed(only, pass_percent=67)
    assert answered(learner(), only, two)[0].passed is False
    changed(only, pass_percent=66)
    assert answered(learner(), only, two)[0].passed is True


# --- races ---


@pytest.mark.usefixtures("many")
def test_who_orders_while_others_add_move_and_delete_loses_nothing_of_theirs() -> None:
    course_id, ids = course(3, 3)
    first, second = modules_of(course_id)
    made: list[UUID] = []
    lock = threading.Lock()

    def act(number: int) -> Any:
        chance = random.Random(number)
        try:
            match number % 4:
                case 0:
                    now = order_of(course_id)
                    flat = [each for module in now for each in module]
                    chance.shuffle(flat)
                    at = chance.randint(0, len(flat))
                    ordered(course_id, [(second, flat[:at]), (first, flat[at:])])
                case 1:
                    new = lesson(course_id, chance.choice([first, second]), position=chance.randint(0, 4))
                    with lock:
                        made.append(new)
                case 2:
                    with transaction() as conn:
                        lessons.change_lesson(
                            conn,
                            BY,
                            chance.choice(ids[1:]),
                            {"title": "x"},
                            module_id=first,
                            position=chance.randint(0, 3),
                        )
                case _:
                    with transaction() as conn:
                        lessons.archive_lesson(conn, BY, ids[0])
        except DomainError as refused:
            return refused
        return None

    found = together(16, act)
    assert {type(each) for each in found} <= {type(None), InvalidInput, NotFound}
    assert sum(isinstance(each, NotFound) for each in found) == 3, "one of four deletes it"
    assert {each for module in order_of(course_id) for each in module} == {*ids[1:], *made}
    assert len(made) == 4


@pytest.mark.usefixtures("many")
def test_of_many_who_want_one_slug_one_has_it() -> None:
    def make(number: int) -> Any:
        try:
            with transaction() as conn:
                if number % 2:
                    return courses.create_course(conn, BY, CourseDraft("x", "basic", slug="the-one")).id
                other = courses.create_course(conn, BY, CourseDraft("x", "basic")).id
                return courses.change_course(conn, BY, other, {"slug": "the-one"}).id
        except InvalidInput as refused:
            return refused

    found = together(10, make)
    assert sum(isinstance(each, UUID) for each in found) == 1
    assert len(rows("select 1 from courses where slug = 'the-one'")) == 1


@pytest.mark.usefixtures("many")
def test_editors_and_learners_at_once_never_wait_in_a_circle() -> None:
    course_id, ids = course(2, 2)
    first, second = modules_of(course_id)
    crowd = [learner() for _ in range(6)]

    def act(number: int) -> None:
        if number < 6:
            for each in ids:
                said(crowd[number], each, visit="a", seconds=number, completed=True)
        elif number % 2:
            ordered(course_id, [(second, ids[::-1]), (first, [])])
        else:
            changed(ids[number % 4], title="x", status="published")

    together(12, act)
    assert one("select count(*), count(completed_at) from enrolments") == (6, 6)
    assert one("select sum(enrolled), sum(completed) from course_counts") == (6, 6)


def test_acts_of_editors_are_written_down() -> None:
    course_id, (only,) = course(1)
    question(only, [0])
    with transaction() as conn:
        lessons.archive_lesson(conn, BY, only)
        courses.archive_course(conn, BY, course_id)
    assert [row[0] for row in rows("select action from acts order by id")] == [
        "course.create", "course.change", "module.create", "lesson.create", "question.create", "lesson.archive", "course.archive",
    ]  # fmt: skip
