"""Courses, lessons, quizzes and progress over HTTP: who may what, what is shown when, and what a reader's page is safe from."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from starlette.testclient import TestClient

from api.main import make_app, needs_of
from common.markdown import html_of
from models.access import api_keys
from models.access.scopes import Role, scopes_of
from models.db import transaction
from models.learning import attempts, courses, enrolments, lessons, progress
from models.learning.certificates import certificate_token, find_certificate
from tests.conftest import environment
from tests.models.learning.school import (
    BY,
    answered,
    changed,
    counts,
    course,
    learner,
    lesson,
    part,
    question,
    said,
    seen,
)
from tests.support import account, one, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with environment({"FAILED_AUTH_PER_MINUTE": "100000"}):
        with TestClient(make_app(), raise_server_exceptions=False) as client:
            yield client


def head(role: Role = "user", who: UUID | None = None) -> dict[str, str]:
    """Somebody with a role, who signed in or has a key that may all that the role may."""
    who = who or account()
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
        new = api_keys.NewKey("k", scopes=sorted(scopes_of(role)))
        return {"authorization": f"Bearer {api_keys.create(conn, who, new)[1]}"}


def made(answer: Any) -> dict[str, Any]:
    assert answer.status_code in {200, 201}, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_editor_makes_a_course_and_a_learner_completes_it(http: TestClient) -> None:
    editor, mine = head("admin"), head()
    new = {
        "title": "Good pictures",
        "level": "basic",
        "description": "All of it.",
        "cover_url": "https://x.example/a.png",
    }
    found = made(http.post("/v1/courses", json=new, headers=editor))
    place = f"/v1/courses/{found['id']}"
    assert (found["status"], found["cover_url"]) == ("draft", "https://x.example/a.png")
    module = made(http.post(f"{place}/modules", json={"title": "Part one"}, headers=editor))["id"]
    ids = []
    for number in range(2):
        body = {
            "module_id": module,
            "title": f"Lesson {number}",
            "body": "# Hi\n\n*there*",
            "access": "preview",
            "position": 0,
        }
        answer = http.post(f"{place}/lessons", json=body, headers=editor)
        ids.insert(0, made(answer)["id"])
        assert answer.headers["location"] == f"/v1/lessons/{ids[0]}"
    quiz = {
        "kind": "multiple",
        "text": "Which?",
        "options": ["a", "b", "c"],
        "right_options": [2, 0],
        "explanation": "Both are.",
    }
    asked = made(http.post(f"/v1/lessons/{ids[1]}/questions", json=quiz, headers=editor))
    assert http.get(place, headers=mine).status_code == 404
    made(http.patch(place, json={"status": "published", "slug": "good-pictures", "cover_url": None}, headers=editor))

    (listed,) = http.get("/v1/courses", params={"level": "basic"}, headers=mine).json()["data"]
    assert (listed["lessons"], listed["enrolled"], listed["cover_url"]) == (2, 0, None)
    outline = made(http.get("/v1/courses/good-pictures", headers=mine))
    assert [[each["id"] for each in part["lessons"]] for part in outline["modules"]] == [ids]
    read = made(http.get(f"/v1/lessons/{ids[0]}", headers=mine))
    assert (read["html"], read["body"]) == ("<h1>Hi</h1>\n<p><em>there</em></p>\n", None)
    assert made(http.get(f"/v1/lessons/{ids[0]}", headers=editor))["body"] == "# Hi\n\n*there*"

    first = made(
        http.post(f"/v1/lessons/{ids[0]}/progress", json={"visit": "v", "seconds": 5, "completed": True}, headers=mine)
    )
    assert (first["course"]["percent"], first["module"]["completed"], first["lesson"]["seconds"]) == (50, 1, 5)
    wrong = http.post(f"/v1/lessons/{ids[1]}/progress", json={"completed": True}, headers=mine)
    assert (wrong.status_code, wrong.json()["param"]) == (422, "completed")
    tried = made(http.post(f"/v1/lessons/{ids[1]}/attempts", json={"answers": {asked["id"]: [0]}}, headers=mine))
    assert (tried["score"], tried["passed"], tried["questions"][0]["right_options"]) == (0, False, [0, 2])
    assert tried["questions"][0]["explanation"] == "Both are."
    passed = http.post(f"/v1/lessons/{ids[1]}/attempts", json={"answers": {asked["id"]: [2, 0]}}, headers=mine)
    assert (made(passed)["passed"], passed.json()["progress"]["course"]["percent"]) == (True, 100)
    assert made(http.get(passed.headers["location"], headers=mine))["questions"] == passed.json()["questions"]
    listed = http.get(f"/v1/lessons/{ids[1]}/attempts", headers=mine).json()["data"]
    assert [each["score"] for each in listed] == [100, 0]

    mine_now = http.get("/v1/enrolments", headers=mine).json()["data"][0]
    whole = made(http.get(f"{place}/progress", headers=mine))
    url = whole["course"]["certificate_url"]
    assert (mine_now["percent"], mine_now["certificate_url"]) == (100, url)
    assert http.get(url.removeprefix("http://127.0.0.1:8000")).status_code == 200
    note = http.get("/v1/notifications", headers=mine).json()["data"][0]
    assert (note["kind"], note["data"]["certificate"]) == ("course.completed", url)
    assert counts(UUID(found["id"])) == (1, 1)


@pytest.mark.parametrize("thing", ["course", "lesson", "question"])
def test_of_two_editors_who_change_one_version_the_second_is_told(http: TestClient, thing: str) -> None:
    first, second = head("editor"), head("editor")
    made_course, (only,) = course(1)
    asked = question(only, [0])
    places = {
        "course": f"/v1/courses/{made_course}", "lesson": f"/v1/lessons/{only}",
        "question": f"/v1/lessons/{only}/questions/{asked}",
    }  # fmt: skip
    field = "text" if thing == "question" else "title"
    place, seen_now = places[thing], {"course": '"2"', "lesson": '"1"', "question": '"1"'}[thing]
    if thing == "question":
        assert (
            f'"{made(http.get(f"/v1/lessons/{only}/quiz/key", headers=first))["questions"][0]["version"]}"' == seen_now
        )
    else:
        assert http.get(place, headers=first).headers["etag"] == seen_now
    done = http.patch(place, json={field: "first"}, headers={**first, "if-match": seen_now})
    assert (done.status_code, done.headers["etag"]) == (200, f'"{int(seen_now[1]) + 1}"')
    late = http.patch(place, json={field: "second"}, headers={**second, "if-match": seen_now})
    assert (late.status_code, late.json()["code"], late.json()["version"]) == (
        412, "version_changed", int(seen_now[1]) + 1,
    )  # fmt: skip
    assert http.patch(place, json={field: "x"}, headers={**second, "if-match": "x"}).json()["param"] == "If-Match"
    assert one(f"select {field} from {thing.replace('question', 'quiz_question')}s where id = %s", place[-36:]) == (
        "first",
    )
    again = http.patch(place, json={field: "second"}, headers={**second, "if-match": done.headers["etag"]})
    assert made(again)[field] == "second"
    assert made(http.patch(place, json={field: "third"}, headers=first))["version"] == int(seen_now[1]) + 3  # seen: any


def test_a_certificate_says_the_level_that_the_course_had_when_it_was_completed(http: TestClient) -> None:
    made_course, (only,) = course(1)
    who = learner()
    said(who, only, completed=True)
    with transaction() as conn:
        courses.change_course(conn, BY, made_course, {"level": "advanced", "title": "Another"})
        enrolment = enrolments.list_enrolments(conn, who.account_id)[0]
        told = find_certificate(conn, certificate_token(enrolment.id))
    assert (told.course, told.level, enrolment.level) == ("Pictures", "basic", "basic")


@pytest.mark.parametrize("status", ["published", "draft"])
def test_a_course_that_a_deletion_made_done_is_completed_where_it_is_listed(http: TestClient, status: str) -> None:
    course_id, (first, second) = course(2)
    who = account()
    mine = head(who=who)
    made(http.post(f"/v1/lessons/{first}/progress", json={"completed": True}, headers=mine))
    (before,) = http.get("/v1/enrolments", headers=mine).json()["data"]
    assert (before["percent"], before["completed_at"]) == (50, None)
    with transaction() as conn:
        lessons.archive_lesson(conn, BY, second)
        courses.change_course(conn, BY, course_id, {"status": status})
    (found,) = http.get("/v1/enrolments", headers=mine).json()["data"]
    assert (found["percent"], found["completed_at"] is None, found["certificate_url"] is None) == (100, False, False)
    assert http.get("/v1/enrolments", headers=mine).json()["data"] == [found]
    assert rows("select count(*) from events where type = 'course.completed'") == [(1,)]


def test_the_same_attempt_with_a_key_is_one(http: TestClient) -> None:
    _, (only,) = course(1)
    asked, mine = question(only, [0]), head()
    body = {"answers": {str(asked): [0]}}
    answers = [
        http.post(f"/v1/lessons/{only}/attempts", json=body, headers={**mine, "idempotency-key": "a"}) for _ in range(3)
    ]
    assert len({each.content for each in answers}) == 1
    assert one("select count(*) from quiz_attempts") == (1,)


# --- who may what ---

NEW = {"module_id": "MODULE", "title": "x"}
ASKS = {"kind": "single", "text": "x", "options": ["a", "b"], "right_options": [0]}
EDITORS = (401, 403, 403, 200)
# What nobody, a free user, a pro user and an editor are answered; 200 is any success.
WALK: dict[str, tuple[dict[str, Any] | None, tuple[int, int, int, int]]] = {
    "get /v1/courses": (None, (401, 200, 200, 200)),
    "get /v1/courses?status=draft": (None, EDITORS),
    "post /v1/courses": ({"title": "x", "level": "basic"}, EDITORS),
    "get /v1/courses/{course_id}": (None, (401, 200, 200, 200)),
    "get /v1/courses/{draft_id}": (None, (401, 404, 404, 200)),
    "patch /v1/courses/{course_id}": ({"title": "y"}, EDITORS),
    "put /v1/courses/{course_id}/order": ({"modules": [{"id": "MODULE", "lessons": "LESSONS"}]}, EDITORS),
    "get /v1/courses/{course_id}/progress": (None, (401, 200, 200, 200)),
    "get /v1/courses/{draft_id}/progress": (None, (401, 404, 404, 200)),
    "post /v1/courses/{course_id}/modules": ({"title": "x"}, EDITORS),
    "patch /v1/courses/{course_id}/modules/{module_id}": ({"title": "y"}, EDITORS),
    "post /v1/courses/{course_id}/lessons": (NEW, EDITORS),
    "get /v1/lessons/{preview_id}": (None, (401, 200, 200, 200)),
    "get /v1/lessons/{lesson_id}": (None, (401, 403, 200, 200)),
    "get /v1/lessons/{hidden_id}": (None, (401, 404, 404, 200)),
    "patch /v1/lessons/{lesson_id}": ({"title": "y"}, EDITORS),
    "get /v1/lessons/{lesson_id}/quiz": (None, (401, 403, 200, 200)),
    "get /v1/lessons/{lesson_id}/quiz/key": (None, EDITORS),
    "post /v1/lessons/{lesson_id}/questions": (ASKS, EDITORS),
    "put /v1/lessons/{lesson_id}/order": ({"questions": ["QUESTION"]}, EDITORS),
    "patch /v1/lessons/{lesson_id}/questions/{question_id}": ({"text": "y"}, EDITORS),
    "get /v1/enrolments": (None, (401, 200, 200, 200)),
    "post /v1/lessons/{preview_id}/progress": ({}, (401, 200, 200, 200)),
    "post /v1/lessons/{lesson_id}/progress": ({}, (401, 403, 200, 200)),
    "post /v1/lessons/{hidden_id}/progress": ({}, (401, 404, 404, 404)),
    "post /v1/lessons/{lesson_id}/attempts": ({"answers": {"QUESTION": [0]}}, (401, 403, 200, 200)),
    "get /v1/lessons/{lesson_id}/attempts": (None, (401, 200, 200, 200)),
    "get /v1/lessons/{lesson_id}/attempts/{attempt_id}": (None, (401, 404, 404, 404)),
    "delete /v1/lessons/{lesson_id}/questions/{question_id}": (None, EDITORS),
    "delete /v1/lessons/{lesson_id}": (None, EDITORS),
    "delete /v1/courses/{course_id}/modules/{module_id}": (None, EDITORS),
    "delete /v1/courses/{course_id}": (None, EDITORS),
}


def a_school() -> dict[str, str]:
    course_id, _ = course()
    module = part(course_id)
    ids = [
        lesson(course_id, module),
        lesson(course_id, module, access="pro"),
        lesson(course_id, module, status="draft"),
    ]
    asked = question(ids[1], [0])
    attempt, _ = answered(learner("pro"), ids[1], {asked: [0]})
    return {
        "course_id": str(course_id), "draft_id": str(course(published=False)[0]), "module_id": str(module),
        "preview_id": str(ids[0]), "lesson_id": str(ids[1]), "hidden_id": str(ids[2]), "question_id": str(asked),
        "attempt_id": str(attempt.id), "lessons": orjson.dumps([str(each) for each in ids]).decode(),
    }  # fmt: skip


def sent(
    http: TestClient, name: str, body: dict[str, Any] | None, things: dict[str, str], headers: dict[str, str]
) -> Any:
    method, _, path = name.partition(" ")
    raw = None
    if body is not None:
        text = orjson.dumps(body).decode().replace('"LESSONS"', things["lessons"])
        raw = text.replace("MODULE", things["module_id"]).replace("QUESTION", things["question_id"]).encode()
    return http.request(
        method, path.format(**things), content=raw, headers={**headers, "content-type": "application/json"}
    )


@pytest.mark.parametrize("name", WALK)
def test_nobody_free_pro_and_editors_are_each_let_in_where_they_may(http: TestClient, name: str) -> None:
    body, expected = WALK[name]
    for number, headers in zip((0, 1, 2, 3, 3), ({}, head(), head("pro"), head("editor"), head("admin")), strict=True):
        things = a_school()
        before = rows("select 1 from acts")
        answer = sent(http, name, body, things, headers)
        status = 200 if 200 <= answer.status_code < 300 else answer.status_code
        assert (number, status) == (number, expected[number]), answer.text
        if status == 403:
            said = (answer.json()["code"], answer.json()["needed"])
            if expected == EDITORS:
                assert said in {("forbidden", "edit"), ("forbidden", "editor")}
            else:
                assert said == ("needs_pro", "pro")
        assert status == 200 or rows("select 1 from acts") == before, "who was refused has changed something"


def test_every_route_of_learning_is_walked() -> None:
    there = {
        f"{method} {path}" for path, method, _ in needs_of(make_app())
        if re.match("/v1/(courses|lessons|enrolments)", path)
    }  # fmt: skip
    assert there == {
        re.sub("draft_id", "course_id", re.sub("(preview|hidden)_id", "lesson_id", name.partition("?")[0]))
        for name in WALK
    }


def test_an_editor_by_a_key_that_may_only_read_edits_nothing(http: TestClient) -> None:
    who = account()
    head("admin", who)
    with transaction() as conn:
        key = api_keys.create(conn, who, api_keys.NewKey("reads", scopes=["read"]))[1]
    answer = http.post("/v1/courses", json={"title": "x", "level": "basic"}, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["needed"]) == (403, "edit")


def test_attempts_and_progress_are_ones_own(http: TestClient) -> None:
    course_id, (only,) = course(1)
    asked, other = question(only, [0]), learner()
    attempt, _ = answered(other, only, {asked: [0]})
    mine = head()
    assert http.get(f"/v1/lessons/{only}/attempts", headers=mine).json()["data"] == []
    assert http.get(f"/v1/lessons/{only}/attempts/{attempt.id}", headers=mine).status_code == 404
    assert http.get("/v1/enrolments", headers=mine).json()["data"] == []
    found = made(http.get(f"/v1/courses/{course_id}/progress", headers=mine))
    assert (found["course"]["enrolled_at"], found["course"]["certificate_url"]) == (None, None)


def test_what_is_right_is_nowhere_before_an_attempt(http: TestClient) -> None:
    things = a_school()
    secret, pro = "THE-EXPLANATION-ITSELF", head("pro")
    asked = question(UUID(things["lesson_id"]), [1], explanation=secret)
    things |= {"question_id": str(asked)}
    texts = []
    for name, (body, _) in WALK.items():
        if not name.endswith("/attempts") or name.startswith("get"):
            texts.append(sent(http, name, body, things, pro).text)
    wrong = (
        {"answers": {str(uuid4()): [0]}},
        {"answers": {things["question_id"]: [7]}},
        {"answers": {things["question_id"]: [0, 1]}},
    )
    texts += [http.post(f"/v1/lessons/{things['lesson_id']}/attempts", json=each, headers=pro).text for each in wrong]
    texts.append(http.get("/v1/events", headers=pro).text)
    assert len(texts) > 30
    assert [text for text in texts if secret in text or 'right_options":' in text] == []
    quiz = made(http.get(f"/v1/lessons/{things['lesson_id']}/quiz", headers=pro))
    assert {key for each in quiz["questions"] for key in each} == {"id", "kind", "text", "options"}
    told = http.post(f"/v1/lessons/{things['lesson_id']}/attempts", json={"answers": {}}, headers=pro).text
    assert secret in told


# --- what somebody may write ---

EVIL = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)", "<svg/onload=alert(1)>", "<iframe src=https://evil.example></iframe>",
    "[x](JaVaScRiPt:alert(1))", "[x](&#106;avascript:alert(1))", "<a href='javascript:alert(1)'>x</a>", "<style>*{}</style>",
    "<form action=/v1/keys method=post><button>x", "`<script>`", "</p><script>x</script>", "<!-- --><script>x</script>",
    "[a]: javascript:x\n\n[a]", "<math><mi xlink:href='javascript:x'>", "\"><script>x</script>", "{{7*7}}${7*7}",
    "<https://x.example/\"onmouseover=alert(1)>", "x' or '1'='1", "'; drop table courses; --", "%00", "\\u0000", "](x)[",
]  # fmt: skip
RUNS = re.compile(r"<(script|style|iframe|form|button|svg|math|object|embed|base|meta|link)\b|<[^>]*\son\w+\s*=|(href|src)\s*=\s*\"?\s*(javascript|data|vbscript):", re.IGNORECASE)  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_what_is_written_cannot_run_in_a_readers_page(http: TestClient, text: str) -> None:
    editor, mine = head("admin"), head()
    assert RUNS.search('<img src="x" onerror=alert(1)>')
    assert not RUNS.search(html_of(text)), html_of(text)
    found = made(
        http.post(
            "/v1/courses",
            json={"title": text.split("\n", maxsplit=1)[0], "level": "basic", "description": text},
            headers=editor,
        )
    )
    module = made(http.post(f"/v1/courses/{found['id']}/modules", json={"title": "x"}, headers=editor))["id"]
    body = {"module_id": module, "title": "x", "body": text, "access": "preview"}
    lesson_id = made(http.post(f"/v1/courses/{found['id']}/lessons", json=body, headers=editor))["id"]
    made(http.patch(f"/v1/courses/{found['id']}", json={"status": "published"}, headers=editor))
    read = http.get(f"/v1/lessons/{lesson_id}", headers=mine)
    assert (read.headers["content-type"], read.status_code) == ("application/json", 200)
    assert not RUNS.search(read.json()["html"])
    assert http.get(f"/v1/courses/{found['id']}", headers=mine).json()["description"] == text
    assert http.get("/v1/courses", headers=mine).json()["data"][0]["id"] == found["id"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//x.example", "https://x.example/ y", "https://x\"y", "x" * 3000])  # fmt: skip
def test_an_address_is_one_of_the_web(http: TestClient, url: str) -> None:
    answer = http.post("/v1/courses", json={"title": "x", "level": "basic", "cover_url": url}, headers=head("admin"))
    assert (answer.status_code, answer.json()["param"]) == (422, "cover_url")


@pytest.mark.parametrize(
    "title", ["😀 👩‍👩‍👧‍👦", "مرحبا بالعالم", "שלום", "日本語", "a\u202eb", "x" * 200, "Zürich", "\u0301"]
)
def test_titles_are_kept_as_they_are_in_whatever_letters(http: TestClient, title: str) -> None:
    editor = head("admin")
    found = made(http.post("/v1/courses", json={"title": title, "level": "advanced"}, headers=editor))
    assert http.get(f"/v1/courses/{found['slug']}", headers=editor).json()["title"] == title


@pytest.mark.parametrize(("change", "param", "says"), [
    ({"title": "x" * 10_000}, "title", "200 characters; this has 10000"), ({"title": ""}, "title", ""), ({"title": " "}, "title", ""),
    ({"title": "a\nb"}, "title", ""), ({"title": "a\0b"}, "body", "NUL"), ({"title": 7}, "title", ""), ({"title": None}, "title", ""),
    ({"level": "hard"}, "level", ""), ({"description": "x" * 5_001}, "description", "5000 characters; this has 5001"),
    ({"slug": "No Slug"}, "slug", ""), ({"slug": "x" * 81}, "slug", "80"), ({"nonsense": 1}, "nonsense", ""),
])  # fmt: skip
def test_what_is_no_course_is_refused_by_its_field_and_says_how_long_it_may_be(
    http: TestClient, change: dict[str, Any], param: str, says: str
) -> None:
    answer = http.post("/v1/courses", json={"title": "x", "level": "basic", **change}, headers=head("admin"))
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text
    assert says in answer.json()["detail"]
    assert rows("select 1 from courses") == []


@pytest.mark.parametrize(("body", "param"), [
    ({"seconds": -1, "visit": "a"}, "seconds"), ({"seconds": 7 * 86_400 + 1, "visit": "a"}, "seconds"), ({"seconds": 5}, "body"),
    ({"seconds": "5", "visit": "a"}, "seconds"), ({"visit": ""}, "visit"), ({"visit": "a b"}, "visit"), ({"visit": "x" * 65}, "visit"),
    ({"completed": "yes"}, "completed"), ({"score": 101}, "score"), ({"score": -1}, "score"), ({"score": 1.5}, "score"),
])  # fmt: skip
def test_what_is_no_report_is_refused_by_its_field(http: TestClient, body: dict[str, Any], param: str) -> None:
    _, (only, _) = course(2)
    answer = http.post(f"/v1/lessons/{only}/progress", json=body, headers=head())
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text
    assert rows("select 1 from lesson_progress") == []


# --- what it costs ---

BIG = ("lesson_progress", "lesson_visits", "enrolments", "quiz_attempts")


def crowd(count: int, course_id: UUID, ids: list[UUID]) -> None:
    """So many learners who have begun all lessons of a course, with a visit and an attempt at each."""
    with transaction() as conn:
        conn.execute("set local statement_timeout = 0")
        conn.execute("set local session_replication_role = replica")  # what it refers to is there: 300,000 checks less
        conn.execute(
            """with u as (insert into users (id, issuer, subject) select gen_random_uuid(), 'crowd', gen_random_uuid()::text
                            from generate_series(1, %(n)s) returning id),
                    a as (insert into accounts (id, user_id, plan_id) select gen_random_uuid(), id, 'free' from u returning id),
                    e as (insert into enrolments (id, account_id, course_id) select gen_random_uuid(), id, %(course)s from a),
                    v as (insert into lesson_visits (account_id, lesson_id, visit, seconds)
                          select a.id, l, 'v', 1 from a, unnest(%(ids)s::uuid[]) l),
                    t as (insert into quiz_attempts (id, account_id, lesson_id, score, passed, answers)
                          select gen_random_uuid(), a.id, l, 1, false, '[]' from a, unnest(%(ids)s::uuid[]) l)
               insert into lesson_progress (account_id, lesson_id, course_id) select a.id, l, %(course)s from a, unnest(%(ids)s::uuid[]) l""",
            {"n": count, "course": course_id, "ids": ids},
        )
    with transaction() as conn:
        for table in BIG:
            conn.execute(f"analyze {table}")  # type: ignore[call-overload]  # a name of ours


def read_by(act: Any) -> tuple[int, int]:
    """How many rows an act reads of the tables that grow, and how often it walks one of them from end to end."""

    def so_far(conn: Any) -> tuple[int, int]:
        row = conn.execute(
            """select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), sum(seq_scan) from pg_stat_xact_user_tables
                where relname = any(%s)""",
            [list(BIG)],
        ).fetchone()
        return int(row[0]), int(row[1])

    with transaction() as conn:
        before = so_far(conn)
        act(conn)
        after = so_far(conn)
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.timeout(300)
def test_a_hundred_thousand_rows_of_progress_cost_no_more_than_a_thousand(http: TestClient) -> None:
    course_id, ids = course(10, 10)
    asked = {each: question(each, [0]) for each in ids[:2]}
    who = learner()
    for each in ids[2:]:
        said(who, each, visit="a", seconds=5, completed=True)
    answered(who, ids[0], {asked[ids[0]]: [0]})
    acts = {
        "report": lambda conn: progress.report(conn, who, ids[5], progress.LearnerReport("a", 6)),
        "attempt": lambda conn: attempts.answer_quiz(conn, who, ids[1], {asked[ids[1]]: [1]}),
        "progress": lambda conn: progress.look_at_progress(conn, who.account_id, course_id),
        "attempts": lambda conn: attempts.list_attempts(conn, who.account_id, ids[0]),
        "enrolments": lambda conn: enrolments.list_enrolments(conn, who.account_id),
        "courses": courses.list_courses,
    }
    crowd(50, course_id, ids)
    few = {name: read_by(act) for name, act in acts.items()}
    crowd(4_950, course_id, ids)
    assert one("select count(*) from lesson_progress")[0] > 99_000
    many = {name: read_by(act) for name, act in acts.items()}
    print(few, many)
    assert [name for name, (_, walks) in many.items() if walks] == []
    assert [name for name, (read, _) in many.items() if read > 100] == [], many
    assert seen(who, course_id).course.completed == 19
    changed(ids[0], title="x")
