"""Jobs on the console: found by what is known of them, told as a story, and never more than text."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from api.console import telling
from api.console.jobs import found_at
from models.db import snapshot, transaction
from models.jobs.cancel import cancel
from models.operations.story import story
from tests.api.console.house import console, operator, sign_in
from tests.models.hands import change
from tests.models.operations.test_finding import failed
from tests.support import account, model, placed

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)> {{ 7 * 7 }} \u202e%s"


@pytest.fixture
def http() -> Iterator[TestClient]:
    with console() as client:
        sign_in(client, operator()[1])
        yield client


def shown(http: TestClient, path: str, **query: str) -> str:
    answer = http.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_jobs_are_found_by_state_words_and_errors(http: TestClient) -> None:
    who = account(amount=9)
    broken = failed(
        placed(who, model(price={"credits": 2}), {"prompt": "a lighthouse keeper"}, labels={"customer": "acme"})
    )
    waits = placed(who, model("other"), {"prompt": "paper lanterns"})
    for query, there in (
        ({}, {broken, waits}), ({"status": "failed"}, {broken}), ({"status": "queued"}, {waits}), ({"text": "lanterns"}, {waits}),
        ({"error": "broken"}, {broken}), ({"model": "other"}, {waits}), ({"label": "customer:acme"}, {broken}), ({"span": "1h"}, {broken, waits}),
        ({"account_id": str(uuid4())}, set()), ({"text": "  ", "model": "", "since": ""}, {broken, waits}),
    ):  # fmt: skip
        page = shown(http, "/console/jobs", **query)
        assert {each for each in (broken, waits) if f"/console/jobs/{each}" in page} == there, query
    assert "No job fits" in shown(http, "/console/jobs", model="none")
    assert http.get("/console/jobs", params={"text": f" {broken} "}).headers["location"] == f"/console/jobs/{broken}"


def test_a_page_ends_with_a_way_to_older_jobs(http: TestClient) -> None:
    who, offer = account(amount=99), model()
    every = [placed(who, offer) for _ in range(27)]
    first = shown(http, "/console/jobs", model="test-model")
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "model=test-model" in older
    second = shown(http, older)
    assert [each for each in every if f"jobs/{each}" in second] == every[:2]
    assert "Newest" in second
    assert http.get("/console/jobs", params={"cursor": "made-up"}).status_code == 422


@pytest.mark.parametrize("wrong", [
    {"status": "gone"}, {"account_id": "x"}, {"since": "yesterday"}, {"since": "0001-01-01T00:00:00+14:00"}, {"label": "none"},
    {"text": "x" * 101}, {"since": "2026-01-02T00:00", "until": "2026-01-01T00:00"},
])  # fmt: skip
def test_a_filter_that_means_nothing_is_said_on_the_page(http: TestClient, wrong: dict[str, str]) -> None:
    answer = http.get("/console/jobs", params=wrong)
    assert (answer.status_code, 'role="alert"' in answer.text, "Jobs</h1>" in answer.text) == (422, True, True)


def test_a_story_tells_attempts_credits_and_the_end(http: TestClient) -> None:
    job = failed(placed(account(amount=9), model(price={"credits": 2}), {"prompt": "a lighthouse keeper"}))
    page = shown(http, f"/console/jobs/{job}")
    for word in ("a lighthouse keeper", "Ordered", "Attempt 1 at sketch began", "Attempt 1 at sketch failed", "the pencil broke",
                 "2 credits reserved", "2 credits refunded", "Failed", "0 credits settled, 2 refunded", "reserved 2 = settled 0 + refunded 2"):  # fmt: skip
        assert word in page, word
    with snapshot() as conn:
        found = story(conn, job)
    moments = telling.story_moments(found)
    assert [each.at for each in moments] == sorted(each.at for each in moments)
    assert moments[0].title == "Ordered"


def test_phases_add_up_to_the_whole_way_and_fit_their_drawing() -> None:
    who = account(amount=9)
    job = failed(placed(who, model()))
    waits = placed(who, model("other"))
    for each in (job, waits):
        with snapshot() as conn:
            found = story(conn, each)
        now = datetime.now(UTC) + timedelta(seconds=90)
        phases = telling.story_phases(found, now)
        ends = found.job.ended_at or now
        assert sum(phase.seconds for phase in phases) == pytest.approx((ends - found.job.created_at).total_seconds())
        assert all(phase.width > 0 for phase in phases)
        assert phases[-1].x + phases[-1].width <= telling.PHASE_WIDTH


def test_a_canceled_and_a_waiting_job_have_their_story(http: TestClient) -> None:
    who, offer = account(amount=9), model()
    off, waits = placed(who, offer), placed(who, offer)
    with transaction() as conn:
        cancel(conn, off)
    assert "Canceled" in shown(http, f"/console/jobs/{off}")
    page = shown(http, f"/console/jobs/{waits}")
    assert "Queued now" in page
    assert "data-live" in page


def test_what_strangers_wrote_is_text_everywhere(http: TestClient) -> None:
    who = account(amount=9)
    job = failed(placed(who, model(), {"prompt": HOSTILE}, labels={"customer": "<b>acme"}))
    placed(who, model("other"), {"prompt": HOSTILE})
    change("update users set email = %s where id = (select user_id from accounts where id = %s)", HOSTILE, who)
    change("update attempts set error_message = %s, provider_job_id = %s", HOSTILE, HOSTILE)
    change("update job_runs set reason = %s", HOSTILE)
    for path in (
        "/console/jobs",
        f"/console/jobs/{job}",
        f"/console/jobs?text={HOSTILE[:40]}",
        f"/console/jobs?model={HOSTILE[:80]}",
    ):
        page = http.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>acme" not in page
        assert "{{ 7 * 7 }}" in page or "alert" not in page or escape("<script>") in page
        assert " 49 " not in page


@pytest.mark.parametrize(("typed", "leads"), [
    ("error:timed_out", "/console/jobs?error=timed_out"), ("model: other", "/console/jobs?model=other"), ("ann@example.com", "/console/accounts?email=ann%40example.com"),
    ("a lighthouse & more", "/console/jobs?text=a+lighthouse+%26+more"), ("", "/console/jobs"), ("error:", "/console/jobs?text=error%3A"),
])  # fmt: skip
def test_what_is_typed_leads_to_where_it_is_found(typed: str, leads: str) -> None:
    assert found_at(typed) == leads


def test_ids_lead_to_their_page(http: TestClient) -> None:
    who = account(amount=9)
    job = placed(who, model())
    for wanted, path in (
        (job, f"/console/jobs/{job}"),
        (who, f"/console/accounts/{who}"),
        (UUID(int=9), f"/console/jobs/{UUID(int=9)}"),
    ):
        assert http.get("/console/find", params={"q": f" {wanted} "}).headers["location"] == path
    assert http.get("/console/find", params={"q": "x" * 5000}).status_code == 303
