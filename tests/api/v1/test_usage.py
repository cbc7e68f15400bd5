"""Usage over HTTP: one's own, operators' of all, as JSON and CSV."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest
from fastapi.testclient import TestClient

from api.auth import keyring
from api.main import make_app
from api.services import services
from common import time_zones
from models.db import transaction
from models.jobs.ending import AttemptEnd, Ending, end
from tests.api.v1.test_holds import admin, head
from tests.support import account, claimed, eventually, model, one, placed

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    """Somebody with a picture that was made, a film that failed, and what both cost."""
    made = account(amount=100, plan="studio")
    for name, labels, ended in (
        ("picture", {"customer": "acme"}, "succeeded"),
        ("film", {"customer": "=1+1"}, "failed"),
    ):
        claim = claimed(placed(made, model(name, price={"credits": 4}), labels=labels))
        error = "broken" if ended == "failed" else None
        attempt = AttemptEnd(1, "done" if error is None else "failed", error, cost_usd_micros=500)
        with transaction() as conn:
            ending = Ending(ended, 4 if error is None else 0, error, error, attempt=attempt)
            assert end(conn, made, claim.job_id, ending, token=claim.token)
    return made


def test_a_client_sees_its_own_days_without_what_they_cost_us(http: TestClient, who: UUID) -> None:
    found = http.get("/v1/usage", headers=head(who)).json()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert (found["time_zone"], found["by"], found["since"]) == (
        "UTC",
        ["day"],
        (today - timedelta(days=29)).isoformat(),
    )
    (day,) = found["rows"]
    assert day == {
        "begins": today.isoformat(), "storage_bytes": 0, "succeeded": 1, "failed": 1, "canceled": 0, "credits": 4, "results": 0,
        "tokens_in": 0, "tokens_out": 0, "requests": day["requests"], "bytes_added": 0, "bytes_removed": 0,
    }  # fmt: skip
    assert "cost_usd_micros" not in found["total"]
    nobody = http.get("/v1/usage", headers=head(account())).json()
    assert (nobody["rows"], nobody["total"]["succeeded"]) == ([], 0)


def test_groups_of_model_and_label(http: TestClient, who: UUID) -> None:
    found = http.get("/v1/usage", params={"by": "model,label:customer"}, headers=head(who)).json()
    assert found["by"] == ["model", "label:customer"]
    groups = [(row["model"], row["label"], row["succeeded"], row["failed"]) for row in found["rows"] if row["model"]]
    assert groups == [("film", "=1+1", 0, 1), ("picture", "acme", 1, 0)]
    assert "begins" not in found["rows"][0]


def test_operators_see_all_accounts_and_what_providers_took(http: TestClient, who: UUID) -> None:
    found = http.get("/v1/admin/usage", params={"by": "account"}, headers=admin()).json()
    assert {row["account_id"]: row["cost_usd_micros"] for row in found["rows"] if row["succeeded"]} == {str(who): 1000}
    of_one = http.get("/v1/admin/usage", params={"account": str(who)}, headers=admin()).json()
    assert of_one["total"]["cost_usd_micros"] == 1000
    unknown = http.get("/v1/admin/usage", params={"account": "01a21eb7-f5fe-7605-8311-2153ad0a1717"}, headers=admin())
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert http.get("/v1/admin/usage", headers=head(who)).status_code == 403


def test_a_table_has_a_head_and_no_formulas(http: TestClient, who: UUID) -> None:
    answer = http.get("/v1/usage", params={"by": "label:customer", "format": "csv"}, headers=head(who))
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="usage-20')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["label"]: row["failed"] for row in rows} == {"'=1+1": "1", "acme": "0"}
    whole = list(csv.DictReader(io.StringIO(
        http.get("/v1/usage", params={"by": "", "format": "csv"}, headers=head(who)).text
    )))  # fmt: skip
    total = http.get("/v1/usage", params={"by": ""}, headers=head(who)).json()["total"]
    assert [{name: int(value) for name, value in row.items()} for row in whole] == [total]
    empty = http.get("/v1/usage", params={"format": "csv", "until": "2020-01-01"}, headers=head(who)).text
    assert empty.splitlines()[0].startswith("begins,storage_bytes,succeeded")


def test_days_begin_where_a_user_prefers_or_asks(http: TestClient, who: UUID) -> None:
    mine = head(who)
    assert (
        http.patch("/v1/me", json={"time_zone": "Asia/Jakarta"}, headers=mine).json()["preferences"]["time_zone"]
        == "Asia/Jakarta"
    )
    found = http.get("/v1/usage", headers=mine).json()
    midnight = datetime.now(ZoneInfo("Asia/Jakarta")).replace(hour=0, minute=0, second=0, microsecond=0)
    assert (found["time_zone"], found["rows"][0]["begins"]) == ("Asia/Jakarta", midnight.isoformat())
    assert (
        http.get("/v1/usage", params={"time_zone": "America/New_York"}, headers=mine).json()["time_zone"]
        == "America/New_York"
    )


def test_requests_are_counted_when_the_process_writes_them_down(http: TestClient, who: UUID) -> None:
    mine = head(who)
    for _ in range(5):
        http.get("/v1/credits", headers=mine)
    http.get("/v1/admin/usage", headers=mine)  # refused, and asked for
    http.__exit__(None, None, None)
    eventually(lambda: one("select sum(requests) from usage where account_id = %s", who) == (6,))
    http.__enter__()


def test_requests_that_could_not_be_written_down_are_at_another_time(
    http: TestClient, who: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = head(who)
    for _ in range(3):
        http.get("/v1/credits", headers=mine)
    ring = services(http.app).keys
    with monkeypatch.context() as away:
        away.setattr(keyring, "record_requests", lambda *_: 1 / 0)
        http.portal.call(ring._write_counts)
    assert one("select count(*) from usage where source = 'requests'") == (0,)
    http.get("/v1/credits", headers=mine)
    http.portal.call(ring._write_counts)
    assert one("select sum(requests) from usage where account_id = %s", who) == (4,)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Argentina/ComodRivadavia", "Etc/GMT+12"])
def test_every_zone_of_ours_is_one_of_the_databases(http: TestClient, who: UUID, zone: str) -> None:
    assert http.get("/v1/usage", params={"time_zone": zone}, headers=head(who)).status_code == 200


def test_the_database_knows_all_zones() -> None:
    with transaction() as conn:
        known = {row[0] for row in conn.execute("select name from pg_timezone_names").fetchall()}
    ours = {name for name in available_timezones() if not name.startswith(time_zones.OF_A_MACHINE)}
    assert ours - known == set()


@pytest.mark.parametrize(("params", "param"), [
    ({"by": "week"}, "by"), ({"by": "day,hour"}, "by"), ({"by": "model,model"}, "by"), ({"by": "label:"}, "by"),
    ({"by": "label:Ä"}, "by"), ({"by": "account"}, "by"), ({"by": "day;drop"}, "by"), ({"by": "x" * 101}, "by"),
    ({"by": "label:a,label:b"}, "by"), ({"by": "label:\x00"}, "by"), ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "../etc/passwd"}, "time_zone"), ({"time_zone": "x" * 65}, "time_zone"), ({"time_zone": ""}, "time_zone"), ({"time_zone": "Europe"}, "time_zone"),
    ({"time_zone": "localtime"}, "time_zone"), ({"time_zone": "/etc/passwd"}, "time_zone"), ({"time_zone": "U\x00TC"}, "time_zone"),
    ({"since": "yesterday"}, "since"), ({"since": "2026-02-30"}, "since"), ({"since": "9999-12-31"}, "since"),
    ({"since": "2026-01-02", "until": "2026-01-01"}, "since"), ({"since": "2024-01-01", "until": "2026-01-01"}, "since"),
    ({"until": "0001-01-01"}, "until"), ({"format": "xml"}, "format"),
])  # fmt: skip
def test_what_cannot_be_answered_is_refused_by_name(
    http: TestClient, who: UUID, params: dict[str, Any], param: str
) -> None:
    answer = http.get("/v1/usage", params=params, headers=head(who))
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["param"] == param, answer.text
