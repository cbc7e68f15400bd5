"""The whole system behind PgBouncer in transaction mode, as it comes and as many set it up."""

import psycopg
import pytest

from cli.doctor.checks import check_database
from tests.conftest import environment
from tests.poolers import needs_pgbouncer, pgbouncer
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, model


@needs_pgbouncer
@pytest.mark.parametrize("ignores", ["", "options"], ids=["refuses options", "passes over options"])
def test_jobs_are_done_canceled_and_paid_for_behind_a_pooler(system: System, database: str, ignores: str) -> None:
    with pgbouncer(database, ignores=ignores, size=6) as through, environment({"DATABASE_URL": through}):
        who = account(amount=20)
        model("quick", price={"unit": "job", "credits": 2})
        model(
            "slow",
            price={"unit": "job", "credits": 3},
            options={"pending": True, "ready_seconds": 60, "poll_after_seconds": 0.2},
        )
        system.start("api", "worker", "scheduler", "deliver")
        with system.client(who) as client:
            made = [client.post("/v1/jobs", json={"model": "quick", "input": {"seed": n}}) for n in range(4)]
            assert [each.status_code for each in made] == [201] * 4, made[0].text
            done = [ended(client, each.json()["id"]) for each in made]
            assert {each["status"] for each in done} == {"succeeded"}
            assert client.get(done[0]["outputs"][0]["url"]).status_code == 200
            slow = client.post("/v1/jobs", json={"model": "slow", "input": {}}).json()["id"]
            eventually(lambda: client.get(f"/v1/jobs/{slow}").json()["status"] == "running", what="the start")
            assert client.post(f"/v1/jobs/{slow}/cancel").status_code in {200, 202}
            assert ended(client, slow)["status"] == "canceled"
            assert client.get("/v1/plans").status_code == 200
            assert "behind a pooler" in check_database()
            assert client.get("/v1/credits").json()["available"] == 12
        system.stop()
        assert balance(who) == (12, 0)
        assert_books_are_clean()
    for name in ("api", "worker", "scheduler", "deliver"):
        said = system.processes.log(name).read_text()
        assert said.count("a pooler stands before the database") == 1, name
        assert "Traceback" not in said, said
    with psycopg.connect(database) as conn:  # nothing of a session stays with those who come after
        assert conn.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
