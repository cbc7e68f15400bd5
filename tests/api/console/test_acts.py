"""What operators do on the console: asked first, done once, with a reason that is in the audit log with who."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response
from starlette.testclient import TestClient

from api.sites import forms
from common.errors import Unavailable
from models.db import transaction
from models.events import endpoints
from models.fleet import processes
from models.jobs import pauses, steps
from models.jobs.ending import AttemptEnd, Ending, end
from models.operations import bulk
from scheduler.duties import operations
from tests.api.console.house import console, operator, sign_in, token_in
from tests.models.hands import change
from tests.models.operations.test_finding import failed
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

WHY = "a goodwill, as mara said"


@pytest.fixture
def http() -> Iterator[TestClient]:
    with console() as client:
        sign_in(client, operator()[1])
        yield client


def fill_in(http: TestClient, page: str, path: str | None = None, **fields: str) -> Response:
    """Open the page of an act, fill its form in with what it has hidden, and send it."""
    form = http.get(f"/console{page}")
    assert form.status_code == 200, form.text
    body = form.text.split('<form class="card"')[1]
    hidden = {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body)
    }
    action = re.search(r'action="([^"]+)"', body)
    assert action is not None
    return http.post(path or action[1], data={**hidden, "reason": WHY, **fields})


def acts() -> list[tuple[str, str, str, str]]:
    """Action, subject, reason and actor of what was done, but for coming in."""
    return rows(
        "select action, subject, details->>'reason', actor from acts where action not like 'console.%%' order by id"
    )


def boss() -> str:
    return str(one("select id from users where role = 'admin'")[0])


def test_credits_are_given_and_taken_back_with_a_reason(http: TestClient) -> None:
    who = account(amount=10)
    assert "10" in http.get(f"/console/accounts/{who}/grant").text
    given = fill_in(http, f"/accounts/{who}/grant", amount="40", kind="goodwill", expires_at="2031-05-01T10:00")
    assert (given.status_code, given.headers["location"]) == (303, f"/console/accounts/{who}?done=given")
    assert "The credits are given." in http.get(given.headers["location"]).text
    assert one("select kind, expires_at::text from grants where amount = 40") == ("goodwill", "2031-05-01 10:00:00+00")
    taken = fill_in(http, f"/accounts/{who}/take-back", amount="5")
    assert taken.headers["location"].endswith("?done=taken")
    assert balance(who) == (45, 0)
    assert acts() == [("credits.grant", str(who), WHY, boss()), ("credits.take_back", str(who), WHY, boss())]
    assert_books_are_clean()


def test_the_same_form_again_changes_nothing_and_a_new_one_does(http: TestClient) -> None:
    who = account()
    page = http.get(f"/console/accounts/{who}/grant").text
    once = page.split('name="once" value="')[1].split('"')[0]
    fields = {
        "form_token": token_in(http.get("/console/jobs")),
        "once": once,
        "amount": "7",
        "reason": WHY,
        "kind": "gift",
    }
    for _ in range(3):
        assert http.post(f"/console/accounts/{who}/grant", data=fields).status_code == 303
    assert balance(who) == (7, 0)
    other = http.post(f"/console/accounts/{who}/grant", data={**fields, "amount": "8"})
    assert other.status_code in {409, 422}
    assert balance(who) == (7, 0)
    fill_in(http, f"/accounts/{who}/grant", amount="7", kind="gift")
    assert balance(who) == (14, 0)


@pytest.mark.parametrize(("fields", "field", "said"), [
    ({"amount": "0"}, "amount", "greater than or equal to 1"), ({"amount": "x"}, "amount", "valid integer"), ({"amount": ""}, "amount", "required"),
    ({"amount": "1" * 30}, "amount", "less than or equal"), ({"amount": "5", "reason": " "}, "reason", "required"), ({"amount": "5", "reason": "x" * 501}, "reason", "501"),
    ({"amount": "5", "kind": "none"}, "kind", "gift"), ({"amount": "5", "expires_at": "yesterday"}, "expires_at", "datetime"),
    ({"amount": "5", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at", "calendar"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_at_its_field_and_kept(
    http: TestClient, fields: dict[str, str], field: str, said: str
) -> None:
    who = account(amount=10)
    answer = fill_in(http, f"/accounts/{who}/grant", **fields)
    assert answer.status_code == 422
    assert f'id="f-{field}-error" role="alert"' in answer.text
    assert said in answer.text
    assert balance(who) == (10, 0)
    assert acts() == []
    if fields["amount"] == "5" and field != "reason":
        assert WHY in answer.text


def test_what_may_have_been_done_is_not_called_undone_and_is_done_once(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit went through, and its answer was lost."""
    who = account()
    page = http.get(f"/console/accounts/{who}/grant").text
    once = page.split('name="once" value="')[1].split('"')[0]
    fields = {
        "form_token": token_in(http.get("/console/jobs")),
        "once": once,
        "amount": "7",
        "reason": WHY,
        "kind": "gift",
    }
    really = forms.make_once

    def lost(*values: Any) -> None:
        really(*values)
        raise Unavailable("the database's answer to the commit was lost")

    monkeypatch.setattr(forms, "make_once", lost)
    answer = http.post(f"/console/accounts/{who}/grant", data=fields)
    assert (answer.status_code, "Nothing was changed" in answer.text, "send the same form again" in answer.text) == (
        503,
        False,
        True,
    )
    monkeypatch.setattr(forms, "make_once", really)
    assert http.post(f"/console/accounts/{who}/grant", data=fields).status_code == 303
    assert balance(who) == (7, 0)


def test_more_than_there_is_cannot_be_taken_back(http: TestClient) -> None:
    who = account(amount=10)
    answer = fill_in(http, f"/accounts/{who}/take-back", amount="11")
    assert (answer.status_code, "11 credits cannot be taken back; 10 can" in answer.text) == (422, True)
    assert (balance(who), acts()) == ((10, 0), [])


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_a_text_that_cannot_be_stored_is_refused(http: TestClient, bad: str) -> None:
    who = account()
    form = token_in(http.get(f"/console/accounts/{who}/grant"))
    raw = f"form_token={form}&amount=5&reason=%00x" if "\0" in bad else f"form_token={form}&amount=5&reason=%ED%A0%80"
    answer = http.post(
        f"/console/accounts/{who}/grant", content=raw, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in {303, 422}
    assert answer.status_code == 422 or "\ufffd" in str(acts()) or acts()
    assert (
        http.post(
            f"/console/accounts/{who}/grant",
            content="x" * 40_000,
            headers={"content-type": "application/x-www-form-urlencoded"},
        ).status_code
        == 413
    )


def test_a_user_is_suspended_and_let_in_again(http: TestClient) -> None:
    who = account()
    for word, on in (("suspended", True), ("let-in", False)):
        assert fill_in(http, f"/accounts/{who}/suspend").headers["location"] == f"/console/accounts/{who}?done={word}"
        assert one(
            "select suspended_at is not null from users u join accounts a on a.user_id = u.id where a.id = %s", who
        ) == (on,)
    assert [each[0] for each in acts()] == ["user.suspend", "user.resume"]


def test_a_model_is_paused_for_a_while_and_resumed(http: TestClient) -> None:
    model()
    paused = fill_in(http, "/pauses/new?what=model&name=test-model", what="model", name="test-model", seconds="900")
    assert paused.headers["location"] == "/console/queues?done=paused"
    with transaction() as conn:
        [found] = pauses.list_pauses(conn)
    assert (found.what, found.name, found.reason, found.actor) == ("model", "test-model", WHY, boss())
    assert fill_in(http, "/pauses/resume?what=model&name=test-model").status_code == 303
    again = fill_in(http, "/pauses/resume?what=model&name=test-model")
    assert (again.status_code, "is not paused" in again.text) == (404, True)
    unknown = fill_in(http, "/pauses/new?what=model&name=none", what="model", name="none", seconds="900")
    assert (unknown.status_code, "f-name-error" in unknown.text) == (404, True)
    assert [each[0] for each in acts()] == ["pause", "resume"]


def test_a_failed_job_is_ordered_again_and_leads_to_the_new_one(http: TestClient) -> None:
    job = failed(placed(account(amount=9), model(price={"credits": 2})))
    page = http.get(f"/console/jobs/{job}").text
    assert f"/console/jobs/{job}/retry" in page
    assert f"/console/jobs/{job}/cancel" not in page
    there = fill_in(http, f"/jobs/{job}/retry").headers["location"]
    (new,) = one("select id from jobs where retry_of = %s", job)
    assert there == f"/console/jobs/{new}?done=retried"
    assert str(job) in http.get(there).text
    assert acts()[0][:3] == ("job.retry", str(job), WHY)


def test_a_job_is_canceled_refunded_and_given_up_as_it_stands(http: TestClient) -> None:
    who, offer = account(amount=20), model(price={"credits": 2})
    waits, parked, done = (placed(who, offer) for _ in range(3))
    lost = claimed(parked)
    with transaction() as conn:
        steps.wait_unknown(conn, lost, 1, after_seconds=600, reason="answer lost")
    assert fill_in(http, f"/jobs/{waits}/cancel").headers["location"] == f"/console/jobs/{waits}?done=canceled"
    assert fill_in(http, f"/jobs/{parked}/discard").headers["location"] == f"/console/jobs/{parked}?done=discarded"
    assert rows("select ended from jobs where id in (%s, %s) order by id", waits, parked) == [
        ("canceled",),
        ("failed",),
    ]
    refused = fill_in(http, f"/jobs/{done}/refund", amount="1")
    assert (refused.status_code >= 400, "Nothing was changed" in refused.text) == (True, True)
    again = fill_in(http, f"/jobs/{waits}/cancel")
    assert again.status_code in {303, 409}
    assert http.get(f"/console/jobs/{waits}/explode").status_code == 404
    assert_books_are_clean()


def test_what_a_job_was_charged_is_given_back_once(http: TestClient) -> None:
    job = placed(account(amount=9), model(price={"credits": 2}))
    claim = claimed(job)
    with transaction() as conn:
        assert end(
            conn,
            claim.account_id,
            job,
            Ending("succeeded", cost_credits=2, attempt=AttemptEnd(1, "done")),
            token=claim.token,
        )
    assert balance(claim.account_id) == (7, 0)
    assert fill_in(http, f"/jobs/{job}/refund", amount="1").headers["location"].endswith("done=refunded")
    assert balance(claim.account_id) == (8, 0)
    assert "refunded before" in fill_in(http, f"/jobs/{job}/refund", amount="1").text
    assert balance(claim.account_id) == (8, 0)


def test_all_jobs_of_a_filter_are_retried_after_a_dry_run(http: TestClient) -> None:
    who, offer = account(amount=50), model(price={"credits": 2})
    broken = [failed(placed(who, offer)) for _ in range(3)]
    listed = http.get("/console/jobs?status=failed").text
    assert "/console/bulk/new?status=failed&amp;act=retry" in listed
    dry = http.get("/console/bulk/new", params={"status": "failed", "act": "retry", "model": "test-model"}).text
    assert [word for word in ("Retry 3 jobs", ">3<", ">6<", "model test-model") if word not in dry] == []
    assert one("select count(*) from bulk_runs") == (0,)
    begun = fill_in(http, "/bulk/new?status=failed&act=retry&model=test-model")
    (run,) = one("select id from bulk_runs")
    assert begun.headers["location"] == f"/console/bulk/{run}?done=begun"
    stopped = fill_in(http, f"/bulk/{run}/stop")
    assert stopped.headers["location"] == f"/console/bulk/{run}?done=stopped"
    assert "Go on" in http.get(f"/console/bulk/{run}").text
    fill_in(http, f"/bulk/{run}/resume")
    while bulk_is_running():
        operations.carry_out_bulk(50)
    page = http.get(f"/console/bulk/{run}").text
    assert "Done" in page
    assert one("select done, skipped, status from bulk_runs") == (3, 0, "done")
    assert {each[0] for each in rows("select retry_of from jobs where retry_of is not null")} == set(broken)
    assert [each[0] for each in acts() if each[0].startswith("bulk")] == ["bulk.start", "bulk.stop", "bulk.resume"]
    assert str(run) in http.get("/console/bulk").text


def bulk_is_running() -> bool:
    with transaction() as conn:
        return bool(bulk.running(conn))


@pytest.mark.parametrize("query", [
    {"act": "retry", "status": "queued"}, {"act": "explode"}, {"act": "retry", "account_id": "x"}, {"act": "retry", "since": "yesterday"},
])  # fmt: skip
def test_a_run_that_means_nothing_is_refused(http: TestClient, query: dict[str, str]) -> None:
    assert http.get("/console/bulk/new", params=query).status_code in {404, 422}
    assert http.get(f"/console/bulk/{uuid4()}").status_code == 404


def test_a_worker_is_drained_and_the_books_are_proven_out_of_turn(http: TestClient) -> None:
    with transaction() as conn:
        processes.report_worker(conn, "mill-1:31:a/b c", "interactive", 4, 4, 0)
    assert "no scheduler has ever" in fill_in(http, "/audit/prove").text
    with transaction() as conn:
        processes.take_turn(conn, "audit", 3600)
    fill_in(http, "/workers/drain?worker=mill-1:31:a/b c")
    assert one("select drained_at is not null from worker_processes") == (True,)
    assert "Draining" in http.get("/console/workers").text
    assert fill_in(http, "/audit/prove").headers["location"] == "/console/audit?done=begun"
    assert one("select next_at <= app_now() from duties where name = 'audit'") == (True,)
    assert [each[:2] for each in acts()] == [("worker.drain", "mill-1:31:a/b c"), ("audit.prove", "audit")]
    assert fill_in(http, "/workers/drain?worker=none").status_code == 404


def test_a_jobs_deliveries_are_sent_again(http: TestClient) -> None:
    who = account(amount=9)
    with transaction() as conn:
        endpoints.create(conn, who, "https://owner.example/hook", [])
    job = failed(placed(who, model()))
    change("update deliveries set status = 'failed', next_at = null, attempts = 3")
    assert "Tell the webhook again" in http.get(f"/console/jobs/{job}").text
    assert fill_in(http, f"/jobs/{job}/replay").headers["location"].endswith("done=sent")
    assert {each[0] for each in rows("select status from deliveries where event_type like 'job.%%'")} == {"pending"}


def test_acts_on_what_there_is_not_are_not_found(http: TestClient) -> None:
    for path in (
        f"/accounts/{UUID(int=1)}/grant",
        f"/jobs/{UUID(int=1)}/retry",
        "/providers/none/explode",
        f"/bulk/{UUID(int=1)}/stop",
    ):
        assert http.get(f"/console{path}").status_code == 404
