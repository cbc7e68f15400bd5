"""The border to a provider, step by step: what is known is written, fetched again before it is asked for again, and asked
for again before it is generated again; and nobody calls for a job that is not theirs.
"""

import base64
import json
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from common.errors import TooManyCalls
from common.settings import settings
from models.catalogue import provider_keys
from models.db import transaction
from models.jobs import callbacks, cancel, words
from models.jobs.steps import Claim, claim, rescue, wait_unknown
from scheduler.duties import jobs
from storage import keys
from storage.s3 import Storage, StorageError, storage
from tests.far_side import deployment
from tests.far_side.media import png, wav
from tests.far_side.replicate import signed
from tests.far_side.server import Answer, Ask, as_json
from tests.support import account, assert_books_are_clean, balance, claimed, one, placed, rows
from tests.workers.steps.worker import HOUR, SECRET, worker
from workers.calls.call import Asking
from workers.leases import Hold, LeaseLost
from workers.steps.advance import Advance
from workers.steps.decisions import LATE_TRIES

pytestmark = pytest.mark.usefixtures("database")

DALL_E = {"provider": "painter", "model": "dall-e-3", "options": {"cost_usd_micros_per_call": 40_000}}
FLUX = {"provider": "runner", "model": "o/flux", "options": {"poll_seconds": HOUR}}


def due(job_id: UUID) -> None:
    """The job's pause is over."""
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() where job_id = %s", [job_id])


def steps(advance: Advance, job_id: UUID, most: int = 8) -> None:
    """Steps until the job has ended."""
    for _ in range(most):
        if one("select ended from jobs where id = %s", job_id) != (None,):
            return
        jobs.retry_due(10)
        due(job_id)
        advance(job_id)
    assert one("select ended from jobs where id = %s", job_id) != (None,), rows("select * from job_runs")


def rescued(job_id: UUID) -> None:
    """The lease lapses, as if its worker had been paused, and is taken away."""
    with transaction() as conn:
        [token] = conn.execute(
            "update job_runs set wake_at = app_now() - interval '1 s' where job_id = %s returning token", [job_id]
        ).fetchone()
        assert rescue(conn, job_id, token) is not None


def outcome() -> tuple[Any, ...]:
    return one("select ended, error_code from jobs")


def once(action: Any) -> Any:
    """A hook that acts at the first generation's call only."""
    done: list[bool] = []

    def hook(ask: Ask) -> None:
        if ask.method == "POST" and not done:
            done.append(True)
            action()

    return hook


# 1. An answer is a fact


def test_an_account_that_is_locked_when_the_answer_comes_costs_nothing_but_time(painter: Any) -> None:
    offer = deployment.routed("dall-e", DALL_E)
    job_id = placed(who := account(amount=5), offer)
    with worker() as advance, psycopg.connect(settings().database_url) as other:
        painter.hook = once(lambda: other.execute("select 1 from accounts where id = %s for no key update", [who]))
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        assert one("select lease_owner from job_runs") == (None,), "no thread waits for the lock"
        other.rollback()
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_connections_that_were_dropped_during_the_call_lose_no_answer(painter: Any) -> None:
    offer = deployment.routed("dall-e", DALL_E)
    job_id = placed(account(amount=5), offer)

    def drop() -> None:
        with psycopg.connect(settings().database_url, autocommit=True) as conn:
            conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )

    painter.hook = once(drop)
    with worker() as advance:
        advance(job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


@pytest.mark.parametrize("answer", ["b64", "url"])
def test_an_answer_that_comes_after_the_lease_was_lost_is_taken_all_the_same(painter: Any, answer: str) -> None:
    painter.script["*"] = {"answer": answer}
    offer = deployment.routed("dall-e", DALL_E)
    job_id = placed(account(amount=5), offer)
    with worker() as advance:

        def take_over() -> None:
            rescued(job_id)
            with transaction() as conn:
                stranger = claim(conn, job_id, "stranger")
            assert stranger is not None
            with transaction() as conn:
                assert stranger.live is not None
                wait_unknown(conn, stranger, stranger.live.number, after_seconds=HOUR, reason="cannot be asked")

        painter.hook = once(take_over)
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        assert one("select wake_at <= app_now() from job_runs") == (True,), "the hour is not waited for"
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_refusal_with_a_nul_in_it_is_an_end_and_not_five_lost_workers(painter: Any) -> None:
    painter.script["*"] = {"error": {"status": 400, "body": {"error": {"message": "no\x00 such\ud800 thing"}}}}
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        advance(job_id)
    assert outcome() == ("failed", "invalid_input")
    assert one("select error_message from jobs")[0].startswith("no")
    assert balance(who) == (5, 0)


@pytest.mark.parametrize("size", ["small", "large"])
def test_what_only_this_process_has_is_brought_away_when_it_cannot_be_read(painter: Any, size: str) -> None:
    """A fault of ours in measuring: the bytes are in the row, or in the bucket as they came, before it is let go."""
    offer = deployment.routed("dall-e", DALL_E)
    job_id = placed(account(amount=5), offer)
    limit = (
        patch("workers.steps.collect.DATA_BYTES", 10)
        if size == "large"
        else patch("workers.steps.collect.DATA_BYTES", 65536)
    )
    with worker() as advance:
        with limit, patch("workers.steps.collect.measure_picture", side_effect=OverflowError("a fault of ours")):
            advance(job_id)
        [output] = one("select delivered from attempts")[0]["outputs"]
        assert ("data" in output) == (size == "small")
        assert size == "small" or output["address"].startswith("staged:results/")
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_full_disk_while_collecting_is_waited_for(painter: Any) -> None:
    offer = deployment.routed("talk", {"provider": "painter", "model": "tts-1"}, kind="speech")
    job_id = placed(account(amount=5), offer)
    full = OSError(28, "No space left on device")
    with worker() as advance:
        with patch("workers.steps.collect.spool", side_effect=full):
            advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1


# 2, 3. Delivered; fetching is not generating


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_an_address_that_refuses_for_a_while_is_fetched_again_and_nothing_is_generated(
    painter: Any, status: int
) -> None:
    painter.script["*"] = {"answer": "url"}
    painter.faults.add("error", method="GET", path="/files/", status=status, times=7)
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_result_that_can_never_be_fetched_is_lost_at_its_limit_and_its_cost_is_on_record(painter: Any) -> None:
    painter.script["*"] = {"answer": "url"}
    painter.faults.add("error", method="GET", path="/files/", status=404, times=1000)
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        with transaction() as conn:
            conn.execute("update job_runs set deadline_at = app_now() - interval '1 s'")
            conn.execute(
                "update attempts set delivered_at = app_now() - make_interval(secs => %s)",
                [settings().collect_seconds + 1],
            )
        steps(advance, job_id, LATE_TRIES)
    assert outcome() == ("failed", "result_lost")
    assert one("select phase, charged, cost_usd_micros from attempts") == ("failed", True, 40_000)
    assert len(painter.book.generations()) == 1
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def test_a_polled_result_whose_address_is_gone_is_asked_for_again_under_its_id(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        runner.script["*"] = {"output": f"{runner.root}/nowhere/old.png"}
        due(job_id)
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        runner.script["*"] = {}
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(runner.book.generations()) == 1


def test_a_killed_collector_leaves_all_that_the_next_one_needs(painter: Any) -> None:
    painter.script["*"] = {"answer": "url"}
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))

    class Killed(BaseException):
        """Nobody catches it, as nobody catches a kill."""

    with worker() as advance:
        with patch("workers.steps.collecting.Collector.collect", side_effect=Killed), pytest.raises(Killed):
            advance(job_id)
        rescued(job_id)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_put_is_repeated_under_the_same_name_and_leaves_no_second_object(painter: Any) -> None:
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    put, failed = Storage.put_bytes, []

    def away(self: Storage, key: str, data: bytes, media_type: str) -> None:
        put(self, key, data, media_type)
        if not failed:
            failed.append(key)
            raise StorageError("the answer was lost", retryable=True)

    with worker() as advance, patch.object(Storage, "put_bytes", away):
        advance(job_id)
    assert outcome() == ("succeeded", None)
    assert one("select key from assets") == (failed[0],)
    assert [item.key for item in storage().list_page(f"{keys.RESULTS}{who}/", None, 10)] == failed


# 4, 5. What came is not what was ordered


@pytest.mark.parametrize(("kind", "data", "said"), [
    ("image", b"<!doctype html><title>Sign in</title>", "HTML"), ("image", b"I am sorry, I cannot draw that.", "sorry"),
    ("video", png("a"), "image/png"), ("speech", b"Quota exceeded", "Quota"), ("image", b"\x00\x01\x02\x03" * 9, ""),
])  # fmt: skip
def test_what_was_not_ordered_is_not_charged_nor_bought_twice(painter: Any, kind: str, data: bytes, said: str) -> None:
    entry = {"b64_json": base64.b64encode(data).decode()}
    offer = deployment.routed("made", {**DALL_E}, kind=kind)
    job_id = placed(who := account(amount=5), offer)
    with (
        worker() as advance,
        patch.object(type(painter), "_images", lambda *_: as_json({"data": [entry]})),
        patch.object(type(painter), "_speech", lambda *_: Answer(parts=[data], content_type="audio/wav")),
    ):
        if kind == "video":  # no adapter of OpenAI's dialect makes films; the shape of the answer is the same
            with patch("workers.providers.openai.OpenAI.start", _drawn):
                advance(job_id)
        else:
            advance(job_id)
    ended, code = outcome()
    assert ended == "failed", code
    assert code in {"no_result_of_kind", "unknown_result", "unexpected_page", "broken_result"}
    assert said in one("select error_message from attempts")[0]  # for operators: a customer is told in our words
    assert one("select error_message from jobs")[0] in words.TEXTS.values()
    assert one("select count(*) from attempts") == (1,)
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def _drawn(provider: Any, request: Any, key: str) -> Any:
    request.confirm()
    return provider._image(request, provider._headers(request, key))


def test_what_came_besides_is_kept_and_not_counted(runner: Any) -> None:
    price = {"unit": "image", "credits": 2}
    job_id = placed(who := account(amount=9), deployment.routed("flux", FLUX, price=price))
    with worker() as advance:
        advance(job_id)
        sound = "data:audio/wav;base64," + base64.b64encode(wav("a")).decode()
        runner.script["*"] = {"output": [f"{runner.root}/files/a.png", sound]}
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert rows("select media_type from assets order by index") == [("image/png",), ("audio/wav",)]
    assert balance(who) == (7, 0)


# 6. Deadlines


def test_a_result_that_is_there_when_the_time_limit_has_passed_is_taken(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX, timeout_seconds=60))
    with worker() as advance:
        advance(job_id)
        with transaction() as conn:
            conn.execute("update job_runs set deadline_at = app_now() - interval '1 s'")
        steps(advance, job_id, 2)
    assert outcome() == ("succeeded", None)
    assert runner.book.calls("/cancel") == [], "it is asked before it is stopped"


def test_a_question_that_is_lost_at_the_time_limit_is_asked_again_before_the_job_ends(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX, timeout_seconds=60))
    with worker() as advance:
        advance(job_id)
        with transaction() as conn:
            conn.execute("update job_runs set deadline_at = app_now() - interval '1 s'")
        runner.faults.add("error", path="/predictions", status=500, times=4)
        due(job_id)
        advance(job_id)
        assert outcome() == (None, None)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)


# 8. The key that began it


def test_the_key_that_began_a_generation_asks_for_it_whatever_is_saved_meanwhile(runner: Any) -> None:
    job_id = placed(who := account(amount=9), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        with transaction() as conn:
            provider_keys.save(conn, who, "runner", SecretStr("r8-of-the-customer"))
        steps(advance, job_id)
        second = placed(who, deployment.routed("flux", FLUX))
        advance(second)
        with transaction() as conn:
            provider_keys.save(conn, who, "runner", SecretStr("r8-another-one"))
        due(second)
        advance(second)
    assert rows("select ended from jobs order by id") == [("succeeded",), ("succeeded",)]
    used = [call["headers"]["authorization"] for call in runner.book.calls("/predictions")]
    ours, own = f"Bearer {deployment.KEY}", "Bearer r8-of-the-customer"
    assert used == [ours, ours, own, own]
    assert rows("select own_key from attempts") == [(None,), (None,)], "none is kept past its attempt"


def test_a_customers_own_key_that_is_refused_for_a_while_holds_up_nobody_else(painter: Any) -> None:
    offer = deployment.routed("dall-e", DALL_E)
    own, other = account(amount=9), account(amount=9)
    with transaction() as conn:
        provider_keys.save(conn, own, "painter", SecretStr("sk-of-the-customer"))
    painter.faults.add("limited", retry_after=3600.0)
    with worker() as advance:
        advance(placed(own, offer))
        assert one("select status from job_runs") == ("queued",)
        second = placed(other, offer)
        advance(second)
    assert one("select ended from jobs where id = %s", second) == ("succeeded",)


# 9, 11. Calls back


def call(job_id: UUID, found: str, status: str, *, secret: str = SECRET, number: int = 0) -> None:
    told = {"id": found, "status": status, "logs": f"{number}%", "output": None}
    body = json.dumps(told).encode()
    with transaction() as conn:
        callbacks.store(conn, job_id, 1, signed(secret, body), body)


def test_the_result_counts_whatever_was_called_back_before_and_after_it(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    forger = "whsec_" + base64.b64encode(b"somebody else's secret, as long").decode()
    with worker() as advance:
        advance(job_id)
        [generation] = runner.book.generations()
        for number in range(30):
            call(job_id, generation["id"], "processing", number=number)
            call(job_id, generation["id"], "failed", secret=forger, number=number)
        body = json.dumps(runner.prediction(generation["id"])).encode()
        with transaction() as conn:
            callbacks.store(conn, job_id, 1, signed(SECRET, body), body)
        for number in range(30, 60):
            call(job_id, generation["id"], "processing", number=number)
        due(job_id)
        advance(job_id)
    assert outcome() == ("succeeded", None)
    assert runner.book.calls("/predictions/", "GET") == [], "the call back says it all"


def test_calls_that_nobody_reads_do_not_shut_out_the_one_that_counts(runner: Any) -> None:
    runner.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        [generation] = runner.book.generations()
        for number in range(callbacks.MAX_PER_ATTEMPT):
            call(job_id, generation["id"], "processing", number=number)
        with pytest.raises(TooManyCalls):
            call(job_id, generation["id"], "succeeded")
        due(job_id)
        advance(job_id)
        assert one("select count(*) from provider_callbacks") == (1,), "only the newest progress is kept"
        runner.script["*"] = {}
        body = json.dumps(runner.prediction(generation["id"])).encode()
        with transaction() as conn:
            callbacks.store(conn, job_id, 1, signed(SECRET, body), body)
        steps(advance, job_id, 2)
    assert outcome() == ("succeeded", None)


# 10. The lease in the line before the call


def old(claim: Claim) -> Hold:
    """A claim whose worker was paused for a while since."""
    hold = Hold(claim)
    hold._confirmed_at -= 30
    return hold


def test_a_worker_that_was_paused_looks_at_its_lease_before_it_calls() -> None:
    offer = deployment.routed("any", {"provider": "sketch", "model": "image"})
    job_id = placed(account(amount=5), offer)
    hold = old(claimed(job_id))
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() + interval '1 s'")
    hold.confirm()
    assert hold.called
    assert one("select wake_at > app_now() + interval '10 s' from job_runs") == (True,), "the lease was extended"
    hold = old(hold.claim)
    rescued(job_id)
    with pytest.raises(LeaseLost):
        hold.confirm()
    assert not hold.called


def test_a_job_that_was_taken_over_before_the_call_is_not_called_for(painter: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    take_route = Advance._take_route

    def paused(self: Advance, hold: Hold) -> bool:
        went = take_route(self, hold)
        if hold.claim.attempts == 1:
            hold._confirmed_at -= 30
            rescued(job_id)
        return went

    with worker() as advance, patch.object(Advance, "_take_route", paused):
        advance(job_id)
        assert painter.book.calls() == []
        assert one("select phase, error_code from attempts") == ("failed", "never_called")
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_stopping_worker_begins_no_call_and_gives_the_job_back(painter: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        advance._keeper.stopping.set()
        advance(job_id)
    assert painter.book.calls() == []
    assert one("select attempts, lease_owner from job_runs") == (0, None)


# Cancels


@pytest.mark.parametrize(
    ("policy", "ended", "left"), [("keep", "succeeded", 3), ("charge", "canceled", 3), ("refund", "canceled", 5)]
)
def test_a_cancel_that_meets_a_delivered_result_is_what_the_model_says(
    painter: Any, policy: str, ended: str, left: int
) -> None:
    painter.script["*"] = {"answer": "url"}
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E, on_cancel=policy))
    with worker() as advance:
        with patch(
            "workers.steps.collecting.Collector.collect", side_effect=StorageError("S3 is away", retryable=True)
        ):
            advance(job_id)
        with transaction() as conn:
            assert not cancel.cancel(conn, job_id).ended
        steps(advance, job_id)
    assert outcome()[0] == ended
    assert balance(who) == (left, 0)
    assert one("select phase, cost_usd_micros from attempts") == ("done", 40_000)
    assert_books_are_clean()


def test_a_cancel_ends_a_job_whose_provider_cannot_be_asked_at_once(painter: Any) -> None:
    painter.faults.add("lose", method="POST")
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        advance(job_id)
        assert one("select status from job_runs") == ("reconciling",)
        with transaction() as conn:
            assert not cancel.cancel(conn, job_id).ended
        steps(advance, job_id, 1)
    assert outcome() == ("canceled", None)
    assert balance(who) == (5, 0)


def test_faults_of_ours_before_the_call_are_none_of_the_provider(painter: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        with patch.object(Asking, "request", side_effect=ZeroDivisionError):
            advance(job_id)
        assert one("select phase, error_code from attempts") == ("failed", "internal_error")
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
