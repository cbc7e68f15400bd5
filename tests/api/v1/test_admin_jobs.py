"""What operators see of all jobs over HTTP."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.db import transaction
from models.fleet import processes
from models.jobs.cancel import cancel
from tests.api.v1.test_holds import admin, head
from tests.models.operations.test_finding import failed
from tests.support import account, claimed, model, placed

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def test_operators_find_jobs_of_all_accounts_and_look_into_one(http: TestClient) -> None:
    ann, bob, boss = account(amount=9), account(amount=9), admin()
    broken = failed(placed(ann, model(price={"credits": 2}), labels={"customer": "acme"}))
    waits = placed(bob, model("other"))
    found = http.get("/v1/admin/jobs", headers=boss).json()
    assert ([row["id"] for row in found["data"]], found["next"]) == ([str(waits), str(broken)], None)
    first = http.get("/v1/admin/jobs", headers=boss, params={"limit": 1}).json()
    second = http.get("/v1/admin/jobs", headers=boss, params={"limit": 1, "cursor": first["next"]}).json()
    assert [row["id"] for row in second["data"]] == [str(broken)]
    for chosen in (
        {"account_id": str(ann)}, {"status": "failed"}, {"model": "test-model"}, {"error": "broken"}, {"provider": "sketch"},
        {"label": "customer:acme"}, {"text": "pencil"},
    ):  # fmt: skip
        found = http.get("/v1/admin/jobs", headers=boss, params=chosen).json()["data"]
        assert [(row["id"], row["status"], row["error"], row["reserved"]) for row in found] == [
            (str(broken), "failed", "broken", 2)
        ]
    told = http.get(f"/v1/admin/jobs/{broken}", headers=boss)
    assert (told.status_code, told.json()["job"]["account_id"]) == (200, str(ann))
    assert [each["error_message"] for each in told.json()["attempts"]] == ["the pencil broke"]
    for nothing in ("none", str(UUID(int=5))):
        assert http.get(f"/v1/admin/jobs/{nothing}", headers=boss).status_code == 404
    for path in ("/v1/admin/jobs", f"/v1/admin/jobs/{broken}", "/v1/admin/queues", "/v1/admin/workers"):
        assert http.get(path, headers=head(ann)).status_code == 403


@pytest.mark.parametrize(("wrong", "param"), [
    ({"status": "gone"}, "status"), ({"label": "none"}, "label"), ({"text": ""}, "text"), ({"account_id": "x"}, "account_id"),
    ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"), ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
])  # fmt: skip
def test_a_filter_that_means_nothing_is_refused_by_its_name(
    http: TestClient, wrong: dict[str, str], param: str
) -> None:
    answer = http.get("/v1/admin/jobs", headers=admin(), params=wrong)
    assert (answer.status_code, answer.json()["param"]) == (422, param)


def test_queues_tell_their_throughput_and_who_waits_in_them(http: TestClient) -> None:
    who, offer = account(amount=50), model()
    jobs = [placed(who, offer) for _ in range(8)]
    claimed(jobs[0])
    with transaction() as conn:
        cancel(conn, jobs[-1])
    found = http.get("/v1/admin/queues", headers=admin()).json()
    [interactive] = [row for row in found["queues"] if row["queue"] == "interactive"]
    assert (interactive["in_flight"], interactive["canceled_last_minute"], interactive["succeeded_last_minute"]) == (
        1,
        1,
        0,
    )
    assert interactive["depth"] + interactive["waiting"] == 6
    assert [(row["account_id"], row["jobs"]) for row in found["waiting_accounts"]] == [
        (str(who), interactive["waiting"])
    ]


def test_workers_tell_where_they_run_and_what_they_are_at(http: TestClient) -> None:
    job = placed(account(amount=5), model())
    with transaction() as conn:
        processes.report_worker(conn, "machine:31:abc", "batch", 2, 2, 1, jobs=[job], version="0.1.0")
    [found] = http.get("/v1/admin/workers", headers=admin()).json()["workers"]
    assert (found["host"], found["pid"], found["version"], found["jobs"]) == ("machine", 31, "0.1.0", [str(job)])
