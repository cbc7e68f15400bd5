"""Progress counts once whatever arrives twice, late or from three tabs, and a course is completed once."""

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput, NeedsPro, NotFound
from models import db
from models.db import transaction
from models.learning import attempts, courses, lessons, progress, quizzes
from models.learning.progress import CourseProgress, LessonState, Share, roll_up, shard_of
from models.learning.tables import COUNT_SHARDS, MAX_VISITS
from tests.conftest import environment
from tests.depth import examples
from tests.models.learning.school import (
    BY,
    answered,
    changed,
    completions,
    counts,
    course,
    learner,
    lesson,
    part,
    question,
    said,
    seen,
)
from tests.models.test_locks import holder
from tests.races.test_races import together
from tests.support import assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def many() -> Iterator[None]:
    db.size_pool(24)
    yield
    db.size_pool(8)


def test_reports_roll_up_to_module_and_course() -> None:
    course_id, (first, second, third) = course(2, 1)
    who = learner()
    found = said(who, first, visit="a", seconds=30)
    assert (found.course, found.lessons[0].completed_at) == (Share(3, 0, 30), None)
    found = said(who, first, visit="a", seconds=40, completed=True, score=70)
    assert [found.modules[each.module_id] for each in found.lessons] == [
        Share(2, 1, 40),
        Share(2, 1, 40),
        Share(1, 0, 0),
    ]
    found = said(who, third, completed=True)
    assert (found.course, found.course.percent) == (Share(3, 2, 40), 66)
    assert (found.completed_at, completions(who), counts(course_id)) == (None, (0, 0), (1, 0))
    found = said(who, second, completed=True)
    assert (found.course.percent, completions(who), counts(course_id)) == (100, (1, 1), (1, 1))
    assert found.completed_at is not None
    assert seen(who, course_id) == found


def test_what_is_completed_never_becomes_started_and_no_score_and_no_time_becomes_less() -> None:
    _, (first, _) = course(2)
    who = learner()
    done = said(who, first, visit="a", seconds=60, completed=True, score=90).lessons[0]
    for late in ({"visit": "a", "seconds": 10}, {"score": 20}, {}, {"visit": "a", "seconds": 60, "completed": True}):
        assert said(who, first, **late).lessons[0] == done
    assert said(who, first, visit="b", seconds=5).lessons[0].seconds == 65


def test_the_event_says_which_course_and_where_its_certificate_is_and_mail_goes_like_that_of_other_notices() -> None:
    course_id, (only,) = course(1, title="Pictures & <b>words</b>")
    who = learner()
    with environment({"SMTP_URL": "smtp://127.0.0.1:1"}):
        with transaction() as conn:
            conn.execute("update users set email = 'a@example.com' where id = %s", [who.user_id])
        for _ in range(2):
            said(who, only, completed=True)
    (data,) = one("select data from events where account_id = %s and type = 'course.completed'", who.account_id)
    assert (data["course"], data["course_id"]) == ("Pictures & <b>words</b>", str(course_id))
    assert "/certificates/" in data["certificate"]
    assert one("select title, body from notifications where account_id = %s", who.account_id) == (
        "Course completed",
        "You have completed Pictures & <b>words</b>.",
    )
    assert rows("select channel, event_type from deliveries where account_id = %s", who.account_id) == [
        ("email", "course.completed")
    ]


def test_lessons_that_are_added_later_undo_nothing_and_percentages_are_of_what_is_there() -> None:
    course_id, (first, second) = course(2)
    who = learner()
    for each in (first, second):
        found = said(who, each, completed=True)
    late = lesson(course_id, found.lessons[0].module_id)
    after = seen(who, course_id)
    assert (after.completed_at, after.course.percent) == (found.completed_at, 66)
    with transaction() as conn:
        lessons.archive_lesson(conn, BY, first)
        lessons.archive_lesson(conn, BY, late)
    assert seen(who, course_id).course == Share(1, 1, 0)
    assert (completions(who), counts(course_id)) == ((1, 1), (1, 1))
    assert rows("select completed_at is not null from lesson_progress where lesson_id = %s", first) == [(True,)]


@pytest.mark.parametrize("how", ["deleted", "a draft", "with its module"])
def test_a_lesson_that_is_gone_stands_in_nobodys_way(how: str) -> None:
    course_id, (first, second) = course(1, 1)
    who, other = learner(), learner()
    said(who, first, completed=True)
    said(other, second)
    with transaction() as conn:
        module = lessons.find_lesson(conn, second).module_id
        if how == "deleted":
            lessons.archive_lesson(conn, BY, second)
        elif how == "a draft":
            lessons.change_lesson(conn, BY, second, {"status": "draft"})
        else:
            courses.archive_module(conn, BY, course_id, module)
    assert seen(who, course_id).completed_at is not None
    assert (completions(who), completions(other), counts(course_id)) == ((1, 1), (0, 0), (2, 1))
    with pytest.raises(NotFound):
        said(other, second, completed=True)


@pytest.mark.parametrize("quiz", [False, True])
def test_of_a_lesson_that_goes_while_it_is_reported_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, quiz: bool
) -> None:
    _, (first, _) = course(2)
    who, begin = learner(), progress.begin
    asked = question(first, [0]) if quiz else None

    def begin_late(conn: Any, account_id: UUID, row: Any) -> None:
        with transaction() as editor:
            lessons.archive_lesson(editor, BY, first)
        begin(conn, account_id, row)

    for module in (progress, attempts):
        monkeypatch.setattr(module, "begin", begin_late)
    with pytest.raises(NotFound, match="no lesson"):
        answered(who, first, {asked: [0]}) if asked else said(who, first, completed=True)
    assert rows("select 1 from lesson_progress union all select 1 from enrolments") == []


def test_a_course_without_lessons_is_not_completed_by_having_none() -> None:
    course_id, (only,) = course(1)
    who = learner()
    said(who, only)
    with transaction() as conn:
        lessons.archive_lesson(conn, BY, only)
    assert (seen(who, course_id).completed_at, seen(who, course_id).course.percent) == (None, 0)


def test_nobody_makes_progress_in_what_is_not_published_or_not_theirs() -> None:
    _, (draft,) = course(1, published=False)
    _, (free, pro) = course(2)
    changed(pro, access="pro")
    changed(free, status="draft")
    for who in (learner(), learner("pro"), learner("admin")):
        for each in (draft, free):
            with pytest.raises(NotFound):
                said(who, each)
    with pytest.raises(NeedsPro):
        said(learner(), pro)
    assert said(learner("pro"), pro).course.lessons == 1
    assert one("select count(*) from enrolments") == (1,)


def test_visits_are_bounded() -> None:
    _, (only, _) = course(2)
    who = learner()
    said(who, only, visit="first", seconds=9)
    with transaction() as conn:
        conn.execute("update lesson_progress set visits = %s", [MAX_VISITS])
    with pytest.raises(InvalidInput, match="1000"):
        said(who, only, visit="one more", seconds=1)
    assert said(who, only, visit="first", seconds=11).lessons[0].seconds == 11


# --- against a plain model ---

Said = tuple[int, int | None, int, bool, int | None]  # lesson, visit, seconds, completed, score
REPORTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.none() | st.integers(0, 2),
        st.integers(0, 300),
        st.booleans(),
        st.none() | st.integers(0, 100),
    ),
    max_size=12,
)


def plainly(reports: list[Said], places: list[int]) -> tuple[Share, dict[int, Share], dict[int, int | None]]:
    """What reports come to, as a few dictionaries know it."""
    time, done, scores = defaultdict[tuple[int, int], int](int), set[int](), dict[int, int | None]()
    for number, visit, seconds, completed, score in reports:
        if visit is not None:
            time[number, visit] = max(time[number, visit], seconds)
        if completed:
            done.add(number)
        if score is not None:
            scores[number] = max(score, scores.get(number) or 0)
    modules = {}
    for module in sorted(set(places)):
        mine = [number for number, place in enumerate(places) if place == module]
        spent = sum(seconds for (number, _), seconds in time.items() if number in mine)
        modules[module] = Share(len(mine), len(done & set(mine)), spent)
    return Share(*(sum(each) for each in zip(*modules.values(), strict=True))), modules, scores


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=REPORTS, seed=st.integers(0, 2**32))
def test_reports_in_any_order_and_any_number_come_to_what_a_plain_model_says(reports: list[Said], seed: int) -> None:
    course_id, ids = course(2, 1, 1)
    places, who = [0, 0, 1, 2], learner()
    chance = random.Random(seed)
    sent = [*reports, *chance.choices(reports, k=len(reports))] if reports else []
    chance.shuffle(sent)
    last: CourseProgress | None = None
    for number, visit, seconds, completed, score in sent:
        name = None if visit is None else f"tab {visit}"
        last = said(who, ids[number], visit=name, seconds=seconds if name else 0, completed=completed, score=score)
        assert 0 <= last.course.percent <= 100
    whole, modules, scores = plainly(reports, places)
    found = seen(who, course_id)
    assert last is None or last == found, "what a report answers is what is read afterwards"
    assert found.course == whole
    assert list(found.modules.values()) == list(modules.values())
    assert [each.score for each in found.lessons] == [scores.get(number) for number in range(4)]
    assert (found.completed_at is not None) == (whole.completed == 4)
    assert completions(who) == ((1, 1) if whole.completed == 4 else (0, 0))
    assert counts(course_id) == (int(bool(reports)), int(whole.completed == 4))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 10**6)), max_size=30))
def test_a_roll_up_is_the_sum_of_its_lessons(given_lessons: list[tuple[int, bool, int]]) -> None:
    when: Any = object()
    states = [
        LessonState(UUID(int=n), UUID(int=module), None, when if done else None, None, seconds)
        for n, (module, done, seconds) in enumerate(given_lessons)
    ]
    whole, modules = roll_up(states)
    assert whole == Share(*(sum(each) for each in zip(*modules.values(), strict=True))) if modules else whole == Share()
    assert whole.lessons == len(states)
    assert (whole.percent == 100) == (whole.completed == whole.lessons > 0)


# --- races ---


@pytest.mark.usefixtures("many")
def test_three_tabs_at_once_are_each_counted_once() -> None:
    course_id, ids = course(3)
    for _ in range(5):
        who = learner()
        totals = [(tab, seconds) for tab in range(3) for seconds in (10, 20, 30, 20, 10)]

        def tab(number: int, who: Any = who, totals: Any = totals) -> None:
            for name, seconds in random.sample(totals, len(totals)):
                said(who, ids[name], visit=f"tab {name}", seconds=seconds, completed=seconds == 30)

        together(3, tab)
        found = seen(who, course_id)
        assert found.course == Share(3, 3, 90)
        assert completions(who) == (1, 1)
    assert counts(course_id) == (5, 5)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_of_fifty_who_complete_a_course_at_once_one_does() -> None:
    course_id, (first, second) = course(2)
    who = learner()
    said(who, first, completed=True)
    said(who, second)  # its row is there: who makes it would keep the others waiting
    found = together(50, lambda _: said(who, second, visit="a", seconds=7, completed=True))
    assert len({each.completed_at for each in found}) == 1
    assert {each.course for each in found} == {Share(2, 2, 7)}
    assert (completions(who), counts(course_id)) == ((1, 1), (1, 1))
    assert one("select count(*) from enrolments where account_id = %s", who.account_id) == (1,)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_who_looks_and_who_reports_at_once_complete_it_once() -> None:
    course_id, (first, second) = course(2)
    for _ in range(5):
        who = learner()
        said(who, first, completed=True)
        gone = lesson(course_id, seen(who, course_id).lessons[0].module_id)
        said(who, second, completed=True)
        with transaction() as conn:
            lessons.archive_lesson(conn, BY, gone)
        together(8, lambda n, who=who: said(who, second) if n % 2 else seen(who, course_id))
        assert completions(who) == (1, 1)
    counts(course_id)


@pytest.mark.usefixtures("many")
def test_learners_who_begin_a_course_do_not_wait_for_one_another() -> None:
    """One holds its count uncommitted: those of the other shards go on, which is all but one in 32."""
    _, (only, _) = course(2)
    crowd = [learner() for _ in range(12)]
    first, others = crowd[0], [each for each in crowd[1:] if shard_of(each.account_id) != shard_of(crowd[0].account_id)]
    assert others
    with holder() as conn:
        progress.report(conn, first, only, progress.LearnerReport())
        done = threading.Event()

        def rest() -> None:
            for each in others:
                said(each, only)
            done.set()

        thread = threading.Thread(target=rest)
        thread.start()
        assert done.wait(20), "they wait for a row that one of them holds"
        thread.join()
        conn.rollback()
    assert {shard_of(each.account_id) for each in crowd} <= set(range(COUNT_SHARDS))


# --- quizzes ---


def test_a_lesson_with_a_quiz_is_completed_by_passing_it_and_the_best_score_counts() -> None:
    course_id, (only,) = course(1)
    asked = [question(only, [0]), question(only, [1, 2]), question(only, [2])]
    changed(only, pass_percent=66)
    who = learner()
    for refused in ({"completed": True}, {"score": 100}):
        with pytest.raises(InvalidInput):
            said(who, only, **refused)
    row, found = answered(who, only, {asked[0]: [0], asked[1]: [1]})
    assert (row.score, row.passed, found.completed_at) == (33, False, None)
    row, found = answered(who, only, {asked[0]: [0], asked[1]: [2, 1]})
    assert (row.score, row.passed, found.lessons[0].score) == (66, True, 66)
    assert (completions(who), counts(course_id)) == ((1, 1), (1, 1))
    row, found = answered(who, only, {})
    assert (row.score, row.passed, found.lessons[0].score) == (0, False, 66)
    assert found.lessons[0].completed_at is not None
    assert said(who, only, completed=True).lessons[0] == found.lessons[0]
    assert completions(who) == (1, 1)


def test_what_a_client_said_before_there_was_a_quiz_is_no_score_of_the_quiz() -> None:
    _, (only,) = course(1)
    who = learner()
    said(who, only, score=100)
    asked = question(only, [0])
    _, found = answered(who, only, {asked: [1]})
    assert found.lessons[0].score == 0
    _, found = answered(who, only, {asked: [0]})
    _, found = answered(who, only, {asked: [1]})
    assert found.lessons[0].score == 100, "the best of its attempts"


def test_a_quiz_that_is_added_or_taken_away_later_takes_nothing_away() -> None:
    course_id, (first, _) = course(2)
    who, other = learner(), learner()
    said(who, first, completed=True)
    asked = question(first, [0])
    assert said(who, first).lessons[0].completed_at is not None
    with pytest.raises(InvalidInput):
        said(other, first, completed=True)
    with transaction() as conn:
        quizzes.archive_question(conn, BY, first, asked)
    assert said(other, first, completed=True).course == Share(2, 1, 0)
    with pytest.raises(NotFound):
        answered(other, first, {})
    assert counts(course_id) == (2, 0)


@pytest.mark.usefixtures("many")
def test_of_twenty_who_pass_a_quiz_at_once_one_completes_the_course() -> None:
    course_id, (only,) = course(1)
    asked = question(only, [1])
    who = learner()
    together(20, lambda _: answered(who, only, {asked: [1]}))
    assert (completions(who), counts(course_id)) == ((1, 1), (1, 1))
    assert one("select attempts, score from lesson_progress") == (20, 100)
    assert one("select count(*) from quiz_attempts") == (20,)


def test_the_place_in_the_order_does_not_matter_to_what_was_learned() -> None:
    course_id, (first, second, third) = course(2, 1)
    who = learner()
    said(who, first, visit="a", seconds=5, completed=True)
    with transaction() as conn:
        last = part(course_id)
        lessons.change_lesson(conn, BY, first, {}, module_id=last)
    found = seen(who, course_id)
    assert [each.lesson_id for each in found.lessons] == [second, third, first]
    assert found.modules[last] == Share(1, 1, 5)
