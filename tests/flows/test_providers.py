"""Jobs through real adapters against servers in the providers' wire formats: routes, limits, callbacks, costs, keys."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.catalogue import provider_keys
from models.db import transaction
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.openai import OpenAIFarSide
from tests.far_side.replicate import ReplicateFarSide
from tests.listening import Listening
from tests.support import System, account, almost, assert_books_are_clean, balance, ended, eventually, one, rows

STANDS = ("job.running", "job.waiting")
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mYXItc2lkZSEh"


class FarSides:
    """One OpenAI-like and one Replicate-like server."""

    def __init__(self, folder: Path) -> None:
        self.openai = OpenAIFarSide(Book(folder / "openai.db"))
        self.replicate = ReplicateFarSide(Book(folder / "replicate.db"))


@pytest.fixture
def far(system: System, tmp_path: Path) -> Iterator[FarSides]:
    sides = FarSides(tmp_path)
    with (
        environment({deployment.KEY_VARIABLE: deployment.KEY, "WEBHOOK_SECRET": WEBHOOK_SECRET}),
        sides.openai.running(),
        sides.replicate.running(),
    ):
        deployment.provider("painter", "openai", sides.openai.url)
        deployment.provider("runner", "replicate", sides.replicate.url, options={"webhook_secret": "WEBHOOK_SECRET"})
        yield sides
        system.stop()


PAINTER = {"provider": "painter", "model": "dall-e-3", "options": {"cost_usd_micros_per_call": 40_000}}
RUNNER = {
    "provider": "runner",
    "model": "owner/flux",
    "options": {"poll_seconds": 0.2, "cost_usd_micros_per_call": 3_000},
}


def run(system: System, who: Any, name: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    with system.client(who) as http:
        answer = http.post("/v1/jobs", json={"model": name, "input": values or {"prompt": "a lake"}})
        assert answer.status_code == 201, answer.text
        return ended(http, answer.json()["id"])


def attempts() -> list[tuple[Any, ...]]:
    return rows("select provider, phase, error_code, charged, cost_usd_micros from attempts order by number")


def test_a_job_goes_through_each_adapter_and_its_cost_is_recorded(system: System, far: FarSides) -> None:
    deployment.routed("dall-e", PAINTER)
    deployment.routed("flux", RUNNER)
    who = account(amount=10)
    system.start("api", "worker", "scheduler")
    for name in ("dall-e", "flux"):
        done = run(system, who, name)
        assert done["status"] == "succeeded", done
        assert done["outputs"][0]["media_type"] == "image/png"
    assert sorted(attempts()) == [
        ("painter", "done", None, True, 40_000), ("runner", "done", None, True, 3_000),
    ]  # fmt: skip
    assert far.openai.book.calls("/images")[0]["headers"]["authorization"] == f"Bearer {deployment.KEY}"
    assert balance(who) == (6, 0)
    assert_books_are_clean()


def test_a_fault_that_cost_nothing_goes_to_the_next_route_at_once(system: System, far: FarSides) -> None:
    deployment.routed("either", PAINTER, RUNNER)
    far.openai.faults.add("error", status=500)
    system.start("api", "worker", "scheduler")
    begun = time.monotonic()
    assert run(system, account(amount=10), "either")["status"] == "succeeded"
    assert time.monotonic() - begun < 10
    assert [each[:3] for each in attempts()] == [("painter", "failed", "http_500"), ("runner", "done", None)]


def test_a_refusal_of_the_input_is_no_reason_to_ask_another(system: System, far: FarSides) -> None:
    deployment.routed("either", PAINTER, RUNNER)
    far.openai.faults.add("error", status=400, body={"error": {"code": "content_policy_violation", "message": "no"}})
    who = account(amount=10)
    system.start("api", "worker", "scheduler")
    done = run(system, who, "either")
    assert (done["status"], done["error"]["code"]) == ("failed", "moderated")
    assert far.replicate.book.generations() == []
    assert balance(who) == (10, 0)


def test_a_provider_without_room_is_passed_over_for_everybody(system: System, far: FarSides) -> None:
    deployment.routed("either", PAINTER, RUNNER)
    far.openai.faults.add("limited", retry_after=30)
    who = account(amount=20)
    system.start("api", "worker", "scheduler")
    for _ in range(3):
        assert run(system, who, "either")["status"] == "succeeded"
    assert len(far.openai.book.calls("/images")) == 1  # told to wait once, it is not asked again
    assert len(far.replicate.book.generations()) == 3
    spent = rows("select count(*) from attempts where error_code = 'limited'")
    assert spent == [(1,)]


def test_a_providers_concurrency_holds_over_all_workers(system: System, far: FarSides) -> None:
    deployment.provider("runner", "replicate", far.replicate.url, concurrency=2)
    far.replicate.script["*"] = {"ready_seconds": 0.6}
    deployment.routed("flux", RUNNER)
    who = account(amount=40, plan="studio")
    system.start("api", "worker", "scheduler")
    system.processes.start_one("worker", number=2)
    with system.client(who) as http, Listening(f"{system.url}/v1/events", dict(http.headers)) as heard:
        ids = [http.post("/v1/jobs", json={"model": "flux", "input": {}}).json()["id"] for _ in range(6)]
        peak = 0

        def done() -> bool:
            nonlocal peak
            peak = max(peak, sum(each["state"] == "running" and time.time() < each["at"] + 0.55
                                 for each in far.replicate.book.generations()))  # fmt: skip
            return one("select count(*) from job_runs") == (0,)

        eventually(done, seconds=60, what="the end of all jobs")
        assert {ended(http, job)["status"] for job in ids} == {"succeeded"}
        eventually(lambda: heard.kinds().count("job.succeeded") == 6, what="the ends")
    stands = {
        job: [each["event"] for each in heard.frames if each.get("job_id") == job and each["event"] in STANDS]
        for job in ids
    }
    assert {kinds[-1] for kinds in stands.values()} == {"job.running"}  # also of those that had waited
    assert sum("job.waiting" in kinds for kinds in stands.values()) >= 1
    assert peak == 2
    assert len(far.replicate.book.generations()) == 6
    assert one("select count(*), max(number) from attempts") == (6, 1)  # waiting for room is no attempt
    assert_books_are_clean()


def test_a_signed_callback_ends_a_job_before_its_next_poll(system: System, far: FarSides) -> None:
    far.replicate.script["*"] = {"ready_seconds": 0.5, "webhook_secret": WEBHOOK_SECRET}
    deployment.routed("flux", {**RUNNER, "options": {"poll_seconds": 30}})
    system.start("api", worker={"CALLBACK_URL": system.url})
    system.start("worker", "scheduler", worker={"CALLBACK_URL": system.url})
    begun = time.monotonic()
    assert run(system, account(amount=10), "flux")["status"] == "succeeded"
    assert time.monotonic() - begun < 15
    assert far.replicate.book.calls("/predictions/", "GET") == []
    assert one("select count(*) from provider_callbacks") == (1,)


def test_a_callback_resolves_a_start_whose_answer_was_lost(system: System, far: FarSides) -> None:
    far.replicate.script["*"] = {"ready_seconds": 0.5, "webhook_secret": WEBHOOK_SECRET}
    far.replicate.faults.add("lose", method="POST")
    deployment.routed("flux", RUNNER)
    system.start("api")
    system.start("worker", "scheduler", worker={"CALLBACK_URL": system.url})
    assert run(system, account(amount=10), "flux")["status"] == "succeeded"
    assert len(far.replicate.book.generations()) == 1
    assert one("select count(*), max(number) from attempts") == (1, 1)


def test_a_callback_that_nobody_signed_or_that_names_no_attempt_changes_nothing(system: System, far: FarSides) -> None:
    from models.jobs import callbacks

    far.replicate.script["*"] = {"ready_seconds": 30}
    deployment.routed("flux", RUNNER)
    system.start("api", "worker", "scheduler")
    with system.client(account(amount=10)) as http:
        job = http.post("/v1/jobs", json={"model": "flux", "input": {}}).json()["id"]
        eventually(lambda: rows("select 1 from attempts where phase = 'accepted'") != [], what="the start")
        job_id = one("select job_id from attempts")[0]
        token = callbacks.token_of(job_id, 1)
        forged = {"id": one("select provider_job_id from attempts")[0], "status": "succeeded", "output": "data:,x"}
        assert http.post(f"/hooks/providers/{token}", json=forged).status_code == 200
        assert http.post(f"/hooks/providers/{almost(token)}", json=forged).status_code == 404
        assert http.post("/hooks/providers/nonsense", json=forged).status_code == 404
        large = http.post(f"/hooks/providers/{token}", content=b"x" * (callbacks.MAX_BYTES + 1))
        assert (large.status_code, large.json()["size"]) == (413, callbacks.MAX_BYTES + 1)
        time.sleep(1.0)
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"
        http.post(f"/v1/jobs/{job}/cancel")
        assert ended(http, job)["status"] == "canceled"
        assert http.post(f"/hooks/providers/{token}", json=forged).status_code == 200  # too late, and no matter


def test_a_users_own_key_is_used_for_their_jobs_alone(system: System, far: FarSides) -> None:
    deployment.routed("dall-e", PAINTER)
    own, other = account(amount=5), account(amount=5)
    with transaction() as conn:
        provider_keys.save(conn, own, "painter", SecretStr("sk-of-the-user"))
    system.start("api", "worker", "scheduler")
    for who in (own, other):
        assert run(system, who, "dall-e")["status"] == "succeeded"
    asked = [call["headers"]["authorization"] for call in far.openai.book.calls("/images")]
    assert asked == ["Bearer sk-of-the-user", f"Bearer {deployment.KEY}"]


def test_a_lost_answer_parks_the_job_until_an_operator_decides(system: System, far: FarSides) -> None:
    from models.jobs import reconcile

    deployment.routed("dall-e", PAINTER)
    far.openai.faults.add("lose", times=2)
    who = account(amount=9)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        jobs = [http.post("/v1/jobs", json={"model": "dall-e", "input": {}}).json()["id"] for _ in range(2)]

        def waiting() -> list[reconcile.Parked]:
            with transaction() as conn:
                return reconcile.list_parked(conn)

        eventually(lambda: len(waiting()) == 2, what="two parked jobs")
        shown = http.get(f"/v1/jobs/{jobs[0]}").json()
        assert shown["status"] == "running"
        assert "lost" in shown["waiting"]["reason"]

        def decide(job_id: Any, *, again: bool) -> bool:
            from common.errors import NotFound
            from workers.doorbell import ring

            try:
                with transaction() as conn:
                    ring(reconcile.decide(conn, job_id, again=again).ended.rings)
            except NotFound:
                return False  # a worker looks at it just now
            return True

        first, second = (each.job_id for each in waiting())
        eventually(lambda: decide(first, again=False), what="the first decision")
        assert ended(http, str(first))["error"]["code"] == "outcome_unknown"
        eventually(lambda: decide(second, again=True), what="the second decision")
        assert ended(http, str(second))["status"] == "succeeded"
    assert balance(who) == (7, 0)
    assert len(far.openai.book.generations()) == 3  # two lost, and the one that the operator asked for
    assert_books_are_clean()


@pytest.mark.parametrize(
    ("policy", "status", "left"), [("refund", "canceled", 10), ("charge", "canceled", 8), ("keep", "succeeded", 8)]
)
def test_a_result_that_is_there_when_the_cancel_arrives_has_its_cost_recorded(
    system: System, far: FarSides, policy: str, status: str, left: int
) -> None:
    far.replicate.script["*"] = {"ready_seconds": 0.1}
    deployment.routed(
        "flux", {**RUNNER, "options": {"poll_seconds": 60, "cost_usd_micros_per_call": 3_000}}, on_cancel=policy
    )
    who = account(amount=10)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "flux", "input": {}}).json()["id"]
        eventually(lambda: rows("select 1 from attempts where phase = 'accepted'") != [], what="the start")
        time.sleep(0.3)
        http.post(f"/v1/jobs/{job}/cancel")
        assert ended(http, job)["status"] == status
    assert one("select cost_usd_micros from attempts") == (3_000,)
    assert balance(who) == (left, 0)
    assert_books_are_clean()


def test_a_key_that_is_not_set_fails_with_a_clear_word_and_costs_nothing(system: System, far: FarSides) -> None:
    deployment.provider("painter", "openai", far.openai.url, key="NOBODY_SET_THIS")
    deployment.routed("dall-e", PAINTER)
    who = account(amount=5)
    system.start("api", "worker", "scheduler")
    done = run(system, who, "dall-e")
    assert (done["status"], done["error"]["code"]) == ("failed", "not_configured")
    assert balance(who) == (5, 0)
    assert far.openai.book.calls() == []
