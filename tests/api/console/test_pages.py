"""Every page of the console: what it says of what there is, that it says something where there is nothing, and that whatever strangers
have written is text on it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from starlette.testclient import TestClient

from api.console import drawing, fleet, house, providers
from api.console.catalogue import price_words
from api.console.drawing import Series
from api.console.house import LastProof
from api.console.overview import PERIODS, read_figures
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.catalogue.prices import PriceRule
from models.catalogue.providers import ProviderLimits
from models.credits import holds, ledger
from models.credits.audit import RULES
from models.credits.hold_rows import NewHold
from models.db import transaction
from models.events import endpoints
from models.fleet import processes
from models.jobs import pauses
from models.usage import charts
from tests.api.console.house import console, operator, sign_in
from tests.models.hands import change
from tests.models.operations.test_finding import failed
from tests.models.payments.shop import ordered, pack
from tests.support import SCHEMA, account, caller, claimed, model, placed, rows
from workers.calls.limits import ProviderState

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LISTS = (
    "", "?period=24h", "?period=7d", "/jobs", "/queues", "/workers", "/providers", "/catalogue", "/accounts", "/payments", "/payments?problems=true", "/webhooks",
    "/webhooks?troubled=true", "/scheduler", "/audit", "/activity", "/bulk",
)  # fmt: skip
HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)> \u202e{{ 7 * 7 }}"


@pytest.fixture
def http() -> Iterator[TestClient]:
    with console() as client:
        sign_in(client, operator()[1])
        yield client


def shown(http: TestClient, path: str) -> str:
    answer = http.get(f"/console{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("path", LISTS)
def test_a_page_with_nothing_on_it_says_so_and_is_whole(http: TestClient, path: str) -> None:
    page = shown(http, path)
    assert page.count("<h1") == 1
    assert page.count("aria-current") >= 1
    assert "</html>" in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page)
    for outside in re.findall(r'(?:src|href|action)="([^"]*)"', page):
        assert outside.startswith(("/console", "/files/", "#")), outside


def test_everything_strangers_may_name_is_text_on_every_page(http: TestClient) -> None:
    who = account(amount=50)
    job = failed(placed(who, model(), {"prompt": HOSTILE}, labels={"customer": "<b>acme"}))
    claimed(placed(who, model("other"), {"prompt": HOSTILE}))
    change("update users set email = %s where id = (select user_id from accounts where id = %s)", HOSTILE, who)
    payment = ordered(who, pack())
    with transaction() as conn:
        hook = endpoints.create(conn, who, "https://example.com/hook", [])[0].id
        holds.create(conn, caller(who), NewHold(2, 3600, reference=HOSTILE[:60]))
        conn.execute("update webhook_endpoints set url = %s, enabled = false, disabled_reason = %s", [HOSTILE, HOSTILE])
        conn.execute(
            "update attempts set error_message = %s, error_code = %s, provider_job_id = %s where error_code is not null",
            [HOSTILE] * 3,
        )
        conn.execute("update payments set problem = 'underpaid', reason = %s, item = %s", [HOSTILE, HOSTILE])
        processes.report_worker(conn, f"{HOSTILE}:1:a", "interactive", 2, 1, 1, jobs=[job], version=HOSTILE)
        processes.take_turn(conn, "audit", 60)
        processes.end_turn(conn, "audit", 0, HOSTILE)
        pauses.pause(conn, By(HOSTILE), "account", str(who), HOSTILE)
        audit_log.record(conn, By(HOSTILE, None, HOSTILE), HOSTILE, HOSTILE, reason=HOSTILE, more={"a": HOSTILE})
        entries.apply(conn, [Entry.model_validate({
            "id": "hostile/model", "name": HOSTILE, "kind": "image", "input_schema": SCHEMA, "price": {"unit": "job", "credits": 1},
            "routes": [{"provider": "sketch", "model": HOSTILE}], "description": HOSTILE,
        })])  # fmt: skip
    paths = [*LISTS, f"/jobs/{job}", f"/accounts/{who}", f"/payments/{payment}", f"/webhooks/{hook}", "/catalogue/hostile/model",
             f"/accounts/{who}/grant", f"/accounts/{who}/take-back", f"/accounts/{who}/suspend", f"/jobs/{job}/retry", f"/pauses/new?what=model&name={HOSTILE[:80]}"]  # fmt: skip
    seen = 0
    for path in paths:
        page = shown(http, path)
        seen += "&lt;script&gt;" in page
        for bad in ("<script>alert", "<img src=x", "<b>acme", "onerror=alert(1)>"):
            assert bad not in page, (path, bad)
        assert "{{ 7" in page or "alert(" not in page or ">49" not in page, path
    assert seen > 12


def test_queues_tell_who_waits_and_what_is_paused(http: TestClient) -> None:
    who, offer = account(amount=50), model()
    for _ in range(8):
        placed(who, offer)
    with transaction() as conn:
        pauses.pause(conn, By("somebody"), "model", "test-model", "prices being changed")
    page = shown(http, "/queues")
    for word in ("Model test-model is paused until", "prices being changed", "Resume…", f"/console/accounts/{who}"):
        assert word in page, word


def test_workers_and_duties_tell_who_is_silent_and_what_is_late(http: TestClient) -> None:
    with transaction() as conn:
        processes.report_worker(conn, "mill-1:31:abc", "interactive", 4, 4, 2, version="0.1.0")
        processes.report_worker(conn, "mill-2:32:abc", "batch", 4, 3, 0)
        processes.report_worker(conn, "mill-3:33:abc", "batch", 4, 4, 0)
        conn.execute("update worker_processes set seen_at = app_now() - interval '2 min' where id like 'mill-3%%'")
        processes.take_turn(conn, "rescue", 60)
        processes.end_turn(conn, "rescue", 3, None)
        processes.take_turn(conn, "expire_grants", 60)
        processes.end_turn(conn, "expire_grants", 0, "OperationalError: away")
        processes.take_turn(conn, "announce", 60)
        conn.execute("update duties set next_at = app_now() - interval '5 min' where name = 'announce'")
    page = shown(http, "/workers")
    assert [word for word in ("mill-1", "Threads died", "Silent", "2 processes answer") if word not in page] == []
    page = shown(http, "/scheduler")
    assert [word for word in ("OperationalError: away", "Late", "In time", "2 with trouble") if word not in page] == []
    assert page.index("announce") < page.index("rescue")
    first = shown(http, "")
    assert "1 worker is silent" in first
    assert "2 duties have trouble" in first


def test_the_catalogue_tells_what_a_version_changed(http: TestClient) -> None:
    model("one", price={"credits": 2})
    model("one", price={"credits": 3})
    model("one", price={"credits": 3}, typical_seconds=9)
    assert "3 credits per job" in shown(http, "/catalogue")
    newest = shown(http, "/catalogue/one")
    assert "What version 3 changed of version 2" in newest
    assert "typical_seconds" in newest
    first = shown(http, "/catalogue/one?from=1&to=2")
    assert "<del>2</del>" in first
    assert "<ins>3</ins>" in first
    assert "What version 3 changed of version 2" in shown(http, "/catalogue/one?from=none&to=99")
    assert http.get("/console/catalogue/none").status_code == 404
    assert price_words(PriceRule(cost_usd_micros=40_000, unit="image")) == "$0.04 + markup per image"


def test_accounts_are_found_by_their_address_and_show_how_the_balance_came_about(http: TestClient) -> None:
    who, other = account(amount=9), account()
    change("update users set email = 'ann@example.com' where id = (select user_id from accounts where id = %s)", who)
    job = placed(who, model(price={"credits": 2}))
    page = shown(http, "/accounts?email=ann@example.com")
    assert f"/console/accounts/{who}" in page
    assert f"/console/accounts/{other}" not in page
    assert "No account fits" in shown(http, "/accounts?email=nobody@example.com")
    page = shown(http, f"/accounts/{who}")
    for word in (
        "ann@example.com",
        "+9",
        "\N{MINUS SIGN}2",
        f"/console/jobs/{job}",
        "7 credits are available and 2 are reserved",
    ):
        assert word in page, word
    with transaction() as conn:
        for number in range(26):
            ledger.grant(conn, who, kind="gift", amount=1, ref=f"gift {number}")
    older = re.search(r'rel="next" href="/console([^"]+)"', shown(http, f"/accounts/{who}"))
    assert older is not None
    assert "\N{MINUS SIGN}2" in shown(http, older[1])
    assert http.get(f"/console/accounts/{UUID(int=3)}").status_code == 404


def test_webhooks_that_fail_stand_apart(http: TestClient) -> None:
    who, other = account(), account()
    with transaction() as conn:
        good = endpoints.create(conn, who, "https://good.example/hook", [])[0].id
        bad = endpoints.create(conn, other, "https://bad.example/hook", ["job.failed"])[0].id
        conn.execute("update webhook_endpoints set failing_since = app_now() where id = %s", [bad])
    every, troubled = shown(http, "/webhooks"), shown(http, "/webhooks?troubled=true")
    assert [str(each) in every for each in (good, bad)] == [True, True]
    assert [str(each) in troubled for each in (good, bad)] == [False, True]
    assert "No delivery here" in shown(http, f"/webhooks/{bad}")
    assert str(bad) not in shown(http, f"/webhooks?account_id={who}")
    assert http.get(f"/console/webhooks/{UUID(int=3)}").status_code == 404
    assert http.get("/console/webhooks?account_id=x").status_code == 404


def test_the_last_proof_tells_which_rules_hold() -> None:
    now = datetime.now(UTC)
    assert {each.holds for each in house.proven_rules(LastProof(None, None, None, None))} == {None}
    assert {each.holds for each in house.proven_rules(LastProof(now, now, now, None))} == {True}
    assert {each.holds for each in house.proven_rules(LastProof(now, now, now, "OperationalError: away"))} == {None}
    broken = house.proven_rules(
        LastProof(now, now, now, f"RuntimeError: the audit found broken rules: {RULES[1].name}, {RULES[3].name}")
    )
    assert [each.name for each in broken if each.holds is False] == [RULES[1].name, RULES[3].name]


def test_what_is_no_answer_of_the_database_is_a_page(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise psycopg.OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(fleet.processes, "duty_turns", away)
    answer = http.get("/console/scheduler")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "This cannot be shown now" in answer.text
    assert "server closed" not in answer.text

    def broken(*_: Any) -> None:
        raise RuntimeError("sk-marked-secret")

    monkeypatch.setattr(fleet.processes, "duty_turns", broken)
    answer = http.get("/console/scheduler")
    assert (answer.status_code, "marked" in answer.text, "Something is wrong here" in answer.text) == (500, False, True)
    assert answer.headers["x-request-id"] in answer.text


def test_charts_count_what_ended_and_sample_how_long_it_took(http: TestClient) -> None:
    who, offer = account(amount=50), model(price={"credits": 2})
    failed(placed(who, offer))
    placed(who, offer)
    figures = read_figures(PERIODS["1h"], datetime.now(UTC) + timedelta(seconds=1))
    assert [(each.failed, each.settled, each.refunded) for each in figures.ended] == [(1, 0, 2)]
    assert [(each.code, each.jobs) for each in figures.errors] == [("generation_failed", 1)]
    assert [(each.account_id, each.ended) for each in figures.busy] == [(who, 1)]
    assert figures.took[-1].interactive_wait is not None
    longer = read_figures(PERIODS["24h"], datetime.now(UTC) + timedelta(seconds=1))
    assert sum(each.failed for each in longer.ended) == 1
    page = shown(http, "")
    assert page.count('class="plot"') >= 3
    assert "Throughput: succeeded between" in page


def test_a_chart_of_a_day_reads_its_spans_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "SAMPLE", 2)
    who, offer = account(amount=50), model()
    for _ in range(5):
        failed(placed(who, offer))
    now = datetime.now(UTC)
    step = timedelta(minutes=2)
    with transaction() as conn:
        assert len(charts.took(conn, [now - step, now], step)) == 1
        assert charts.took(conn, [now - 10 * step], step) == []
        assert charts.errors_lately(conn, now + step) == []


def test_a_line_breaks_where_nothing_is_known_and_stays_within_its_drawing() -> None:
    drawn = drawing.drawn_line(Series("x", "ok", "", [0, None, 5, 10]), drawing.scale([0, 5, 10]))
    assert drawn.line.count("M") == 2
    assert drawn.area == ""
    for x, y in re.findall(r"[ML](\d+) ([\d.]+)", drawn.line):
        assert 0 <= float(x) <= drawing.WIDTH
        assert 0 <= float(y) <= drawing.HEIGHT
    whole = drawing.drawn_line(Series("x", "ok", "", [1, 2]), drawing.scale([2]))
    assert whole.area.endswith("Z")
    assert drawing.scale([]) == 1.0
    assert drawing.scale([0.0]) == 1.0
    for most in (0.003, 1, 7, 95, 1234567):
        assert most <= drawing.scale([most]) <= most * 2.2


@pytest.mark.parametrize(("state", "word"), [
    (ProviderState(), "ok"), (ProviderState(resting_seconds=9), "resting"), (ProviderState(half_open=True), "resting"),
    (ProviderState(limited_seconds=3), "full"), (ProviderState(slots_free=0), "full"), (ProviderState(calls_left=0), "full"), (None, "unknown"),
])  # fmt: skip
def test_a_providers_health_is_one_word(state: ProviderState | None, word: str) -> None:
    assert providers.provider_health(state, ProviderLimits(), None)[0] == word


def test_providers_show_how_they_answered(http: TestClient) -> None:
    failed(placed(account(amount=9), model()))
    page = shown(http, "/providers")
    assert "sketch" in page
    assert "100 %" in page


def test_activity_is_found_by_what_it_was_done_to(http: TestClient) -> None:
    with transaction() as conn:
        audit_log.record(conn, By("somebody"), "pause", "model:one", reason="first")
        audit_log.record(conn, By("somebody"), "pause", "model:two", reason="second")
    page = shown(http, "/activity?subject=model:one")
    assert "first" in page
    assert "second" not in page
    assert "Nobody did anything to it" in shown(http, "/activity?subject=nothing")
    assert len(rows("select 1 from acts")) == 3


@pytest.mark.parametrize("path", ["/jobs", "/accounts", "/payments", "/webhooks", "/activity", "/bulk"])
def test_a_cursor_that_was_not_given_out_is_refused(http: TestClient, path: str) -> None:
    answer = http.get(f"/console{path}", params={"cursor": "x" * 40})
    assert (answer.status_code, "cursor is not one" in answer.text) == (422, True)
