"""Bulk runs over HTTP and at the command line."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.main import make_app
from cli.commands import many
from cli.main import app
from scheduler.duties import operations
from tests.api.v1.test_holds import admin, head
from tests.cli.commands.test_operate import run
from tests.models.operations.test_bulk import broken, carried_out
from tests.support import account, assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def ordered(http: TestClient, key: str | None = None, **body: Any) -> Any:
    headers = {**admin(), **({"idempotency-key": key} if key else {})}
    whole = {"act": "retry", "filter": {}, "reason": "they were down", **body}
    return http.post("/v1/admin/bulk-runs", json=whole, headers=headers)


def test_a_dry_run_comes_first_and_the_real_one_tells_how_far_it_is(http: TestClient) -> None:
    who = account(amount=50, plan="studio")
    broken(who, 5, credits=2)
    dry = ordered(http)
    assert (dry.status_code, dry.json()) == (200, {"jobs": 5, "credits": 10, "run": None})
    assert rows("select 1 from bulk_runs") == []
    made = ordered(http, dry_run=False).json()["run"]
    assert (made["jobs"], made["left"], made["status"], made["filter"]) == (5, 5, "running", {"status": "failed"})
    operations.carry_out_bulk(2)
    address, boss = f"/v1/admin/bulk-runs/{made['id']}", admin()
    stopped = http.post(f"{address}/stop", json={"reason": "wait"}, headers=boss).json()
    assert (stopped["status"], stopped["done"], stopped["left"]) == ("stopped", 2, 3)
    assert http.post(f"{address}/resume", json={"reason": "go"}, headers=boss).json()["status"] == "running"
    carried_out()
    done = http.get(address, headers=boss).json()
    assert (done["status"], done["done"], done["credits_done"], done["left"]) == ("done", 5, 10, 0)
    assert http.post(f"{address}/stop", json={"reason": "x"}, headers=boss).json()["code"] == "act_refused"
    assert [row["id"] for row in http.get("/v1/admin/bulk-runs", headers=boss).json()["data"]] == [made["id"]]
    for path in (f"/v1/admin/bulk-runs/{uuid4()}", "/v1/admin/bulk-runs/none"):
        assert http.get(path, headers=boss).status_code == 404
        assert http.post(f"{path}/stop", json={"reason": "x"}, headers=boss).status_code == 404
        assert http.post(f"{path}/resume", json={"reason": "x"}, headers=boss).status_code == 404
    assert http.get(address, headers=head(who)).status_code == 403
    assert_books_are_clean()


@pytest.mark.parametrize(("wrong", "param"), [
    ({"act": "delete"}, "act"), ({"filter": {"status": "queued"}}, "filter.status"), ({"filter": {"other": 1}}, "filter.other"),
    ({"filter": {"label": "none"}}, "filter.label"), ({"filter": {"text": "a\0b"}}, "body"), ({"filter": {"text": "x" * 101}}, "filter.text"),
    ({"filter": {"since": "0001-01-01T00:00:00+14:00"}}, "filter.since"), ({"reason": ""}, "reason"), ({"filter": 5}, "filter"),
    ({"dry_run": "perhaps"}, "dry_run"),
])  # fmt: skip
def test_an_order_that_means_nothing_is_refused_by_its_field(
    http: TestClient, wrong: dict[str, Any], param: str
) -> None:
    answer = ordered(http, **wrong)
    assert (answer.status_code, answer.json()["param"]) == (422, param)
    assert rows("select 1 from bulk_runs") == []


def test_the_command_line_counts_asks_and_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account(amount=50, plan="studio")
    broken(who, 5, credits=2)
    where = ["-w", f"account={who}", "-w", "status=failed", "--reason", "they were down"]
    assert run("ops", "bulk", "retry", *where, "--dry-run") == [
        {"act": "retry", "jobs": 5, "credits": 10, "dry_run": True}
    ]
    no = CliRunner().invoke(app, ["ops", "bulk", "retry", *where], input="n\n")
    assert (no.exit_code, "5 jobs" in no.output) == (1, True)
    assert rows("select 1 from bulk_runs") == []
    monkeypatch.setattr(many, "LOOK_SECONDS", 0.0)
    real = many.bulk.run
    monkeypatch.setattr(many.bulk, "run", lambda conn, run_id: (operations.carry_out_bulk(2), real(conn, run_id))[1])
    yes = CliRunner().invoke(app, ["ops", "bulk", "retry", *where], input="y\n")
    assert (yes.exit_code, "done" in yes.output) == (0, True), yes.output
    assert one("select status, done from bulk_runs") == ("done", 5)
    [shown] = run("ops", "runs")
    assert (shown["done"], shown["left"]) == (5, 0)
    for wrong in (
        ["stop", str(uuid4()), "-r", "x"],
        ["continue", shown["id"], "-r", "x"],
        ["bulk", "delete", "-r", "x"],
    ):
        assert CliRunner().invoke(app, ["ops", *wrong]).exit_code == 1


def test_a_run_is_stopped_and_goes_on_at_the_command_line() -> None:
    broken(account(amount=50, plan="studio"), 4)
    [made] = run("ops", "bulk", "retry", "-r", "x", "--yes")
    operations.carry_out_bulk(1)
    [stopped] = run("ops", "stop", made["id"], "-r", "wait")
    assert (stopped["status"], stopped["done"], stopped["left"]) == ("stopped", 1, 3)
    assert run("ops", "continue", made["id"], "-r", "well")[0]["status"] == "running"
    carried_out()
    assert one("select done from bulk_runs") == (4,)
