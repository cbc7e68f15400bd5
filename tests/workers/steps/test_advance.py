"""Steps of jobs, in this process, against servers in the providers' wire formats: what each leaves behind."""

import json
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.catalogue.providers import ProviderLimits
from models.db import transaction
from models.files import uploads
from models.jobs import callbacks
from scheduler.duties import jobs, results
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.openai import OpenAIFarSide
from tests.far_side.replicate import signed
from tests.far_side.server import Ask
from tests.files import picture
from tests.support import SCHEMA, account, assert_books_are_clean, balance, eventually, one, placed, rows, uploaded
from tests.workers.steps.worker import HOUR, SECRET, SETTINGS, with_hook, worker
from workers.calls.limits import pressure

pytestmark = pytest.mark.usefixtures("database")


def objects(who: UUID) -> set[str]:
    return {item.key for item in storage().list_page(f"{keys.RESULTS}{who}/", None, 1000)}


def call_back(far: Any, ask: Ask) -> None:
    """The provider's own call, in the moment before it answers: kept as the API keeps it."""
    if ask.method != "POST":
        return
    [generation] = far.book.generations()
    body = json.dumps(far.prediction(generation["id"])).encode()
    job_id, number = callbacks.attempt_of(generation["facts"]["webhook"].rpartition("/")[2])
    with transaction() as conn:
        assert callbacks.store(conn, job_id, number, signed(SECRET, body), body) is None, "the worker holds the job"


@pytest.mark.parametrize("answer", ["comes", "is lost"])
def test_a_call_back_that_comes_while_a_worker_holds_the_job_makes_it_due_when_it_is_let_go(
    runner: Any, answer: str
) -> None:
    runner.hook = lambda ask: call_back(runner, ask)
    if answer == "is lost":
        runner.faults.add("lose", method="POST")
    offer = deployment.routed("flux", {"provider": "runner", "model": "o/flux", "options": {"poll_seconds": HOUR}})
    job_id = placed(account(amount=5), offer)
    with worker() as advance:
        advance(job_id)
        assert one("select ended from jobs") == (None,)
        assert jobs.ring_due(10) == 1, "the call was forgotten: the job waits for its poll"
        advance(job_id)
    assert one("select ended from jobs") == ("succeeded",)
    assert runner.book.calls("/predictions/", "GET") == []
    assert len(runner.book.generations()) == 1
    assert_books_are_clean()


def test_a_lost_answer_is_asked_for_again_under_the_same_key(tmp_path: Path) -> None:
    """For the provider that is the same generation, paid once."""
    with environment(SETTINGS), with_hook(OpenAIFarSide, tmp_path).running() as far:
        deployment.provider("painter", "openai", far.url, options={"idempotent": True})
        far.script["*"] = {"idempotent": True}
        # The adapter asks again by itself, too: it is to hear nothing until the step is over.
        far.faults.add("lose", times=100)
        offer = deployment.routed("dall-e", {"provider": "painter", "model": "dall-e-3"})
        job_id = placed(who := account(amount=5), offer)
        with worker() as advance:
            advance(job_id)
            assert one("select status from job_runs") == ("reconciling",)
            far.faults.rules.clear()
            with transaction() as conn:
                conn.execute("update job_runs set wake_at = app_now()")
            advance(job_id)
    assert one("select ended, (select count(*) from attempts) from jobs") == ("succeeded", 1)
    assert {call["key"] for call in far.book.calls("/images")} == {f"{job_id}:1"}
    assert len(far.book.generations()) == 1
    assert balance(who) == (3, 0)


def test_the_reaper_leaves_what_a_worker_has_stored_for_a_job_under_way(painter: Any) -> None:
    last, go_on = threading.Event(), threading.Event()

    def hold(ask: Ask) -> None:
        if ask.path.endswith("-1.png"):
            last.set()
            assert go_on.wait(60)

    painter.hook = hold
    painter.script["*"] = {"answer": "url"}
    offer = deployment.routed("dall-e", {"provider": "painter", "model": "dall-e-2"}, timeout_seconds=60)
    job_id = placed(who := account(amount=5), offer, {"count": 2})
    with worker() as advance:
        step = threading.Thread(target=advance, args=(job_id,))
        step.start()
        try:
            assert last.wait(20)
            eventually(lambda: objects(who) != set(), what="the first of two results")
            before = objects(who)
            results.reap_strays(1000)
            assert objects(who) == before, "the reaper took a result under way"
        finally:
            go_on.set()
            step.join(60)
    assert one("select ended from jobs") == ("succeeded",)
    stored = {key for row in rows("select key, thumbnail_key from assets") for key in row if key}
    assert objects(who) == stored
    assert len(stored) >= 2
    assert_books_are_clean()


def slots_used(provider: str) -> int:
    states = pressure().states({provider: ProviderLimits(concurrency=1)})
    assert states is not None
    return states[provider].slots_used


@pytest.mark.parametrize(("fault", "ended"), [
    ({}, "succeeded"), ({"kind": "error", "status": 500}, "failed"), ({"kind": "error", "status": 400}, "failed"),
    ({"kind": "truncated"}, "failed"), ({"kind": "limited"}, None),
])  # fmt: skip
def test_a_providers_slot_is_given_back_whatever_it_answered(
    painter: Any, fault: dict[str, Any], ended: str | None
) -> None:
    seen: list[int] = []
    painter.hook = lambda _ask: seen.append(slots_used("painter"))
    if fault:
        painter.faults.add(**fault)
    offer = deployment.routed("dall-e", {"provider": "painter", "model": "dall-e-3"}, max_attempts=1)
    with worker() as advance:
        advance(placed(who := account(amount=9), offer))
        assert one("select ended from jobs") == (ended,)
        assert slots_used("painter") == 0, "the only slot is still taken"
        if fault.get("kind") == "limited":
            return  # it has asked us to wait
        second = placed(who, offer)
        advance(second)
    assert one("select ended from jobs where id = %s", second) == ("succeeded",)
    assert 1 in seen, "the slot was never taken"
    assert balance(who)[1] == 0


def test_a_providers_slot_is_given_back_where_an_input_file_is_gone(painter: Any) -> None:
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "photo": {"type": "string", "format": "image"}}}
    offer = deployment.routed(
        "edit", {"provider": "painter", "model": "gpt-image-1"}, max_attempts=1, input_schema=schema
    )
    who = account(amount=9)
    made = uploaded(who, [picture()])
    job_id = placed(who, offer, {"photo": uploads.id_text(made.id)})
    with transaction() as conn:
        uploads.delete(conn, who, made.id)
    with worker() as advance:
        advance(job_id)
    assert one("select ended, error_code from jobs") == ("failed", "file_gone")
    assert slots_used("painter") == 0, "nobody was asked, and the only slot is taken"
    assert painter.book.calls() == []
    assert balance(who) == (9, 0)
