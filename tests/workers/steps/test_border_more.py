"""More attacks on the border to a provider: what is turned away, what cannot be asked, what is held for too long."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from common.errors import Busy, NotFound
from common.settings import settings
from models.catalogue import provider_keys
from models.catalogue.providers import ProviderLimits
from models.db import transaction
from models.jobs import callbacks, cancel, reconcile
from scheduler.duties import jobs
from storage.s3 import Storage, StorageError, storage
from tests.conftest import environment
from tests.far_side import deployment, http
from tests.far_side.http import HttpFarSide
from tests.far_side.queue_faults import Book
from tests.far_side.replicate import signed
from tests.far_side.server import Ask
from tests.support import SCHEMA, account, assert_books_are_clean, balance, claimed, eventually, one, placed, rows
from tests.workers.steps.test_border import DALL_E, FLUX, due, once, outcome, rescued, steps
from tests.workers.steps.worker import HOUR, SECRET, SETTINGS, with_hook, worker
from workers.calls.call import Asking
from workers.calls.limits import pressure
from workers.leases import Hold, Keeper
from workers.providers.base import ProviderError, Unjudged
from workers.providers.http import Http
from workers.providers.replicate import Replicate
from workers.steps.advance import Advance
from workers.steps.decisions import LATE_TRIES

pytestmark = pytest.mark.usefixtures("database")

OWN = {"provider": "house", "model": "paint", "options": {}}
POLLED = {**OWN, "options": {"poll": True}}
WITH_FILE = {**SCHEMA, "properties": {**SCHEMA["properties"], "image": {"type": "string", "x-file": "image"}}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    """An operator's endpoint: takes a repeated start as the same generation."""

    class Hooked(HttpFarSide):
        hook: Callable[[Any], None] = staticmethod(lambda _ask: None)

        def answer(self, ask: Any) -> Any:
            answer = super().answer(ask)
            self.hook(ask)
            return answer

    settings_ = {**SETTINGS, "WEBHOOK_SECRET": http.SECRET}
    with environment(settings_), Hooked(Book(tmp_path / "house.db")).running() as far:
        deployment.provider("house", "http", far.url, options={"secret": "WEBHOOK_SECRET"})
        yield far


class Endless(BaseException):
    """Ends a thread that would wait for ever."""


# Nothing is bought twice


def test_a_call_that_was_not_made_again_is_not_one_that_was_never_made(house: Any) -> None:
    """The beginner was paused before its call; who took the job over has begun the generation under the same key."""
    house.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    take_route = Advance._take_route

    with worker() as advance, worker() as other:

        def paused(self: Advance, hold: Hold) -> bool:
            went = take_route(self, hold)
            if hold.claim.begins and hold.claim.attempts == 1:
                hold._confirmed_at -= 30
                rescued(job_id)
                house.hook = once(lambda: None)
                stranger(job_id)
            return went

        def stranger(job_id: UUID) -> None:
            due(job_id)
            other(job_id)

        with patch.object(Advance, "_take_route", paused):
            advance(job_id)
        assert rows("select phase from attempts") == [("accepted",)]


def test_a_beginner_whose_lease_was_lost_does_not_void_the_call_of_who_has_the_job(house: Any) -> None:
    """While the other's call is under way, the beginner finds that its own is not to be made."""
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    holds: list[Hold] = []
    take_route = Advance._take_route

    with worker() as advance:

        def paused(self: Advance, hold: Hold) -> bool:
            went = take_route(self, hold)
            if hold.claim.attempts == 1 and not holds:
                holds.append(hold)
                rescued(job_id)
                house.hook = once(lambda: advance._not_called(hold, "another worker has the job"))
                hold.lost = True
                due(job_id)
                advance(job_id)
            return went

        with patch.object(Advance, "_take_route", paused):
            advance(job_id)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(house.book.generations()) == 1


def test_a_refusal_that_comes_late_does_not_void_what_another_has_begun(house: Any) -> None:
    """Two calls under one key: one was turned away, the other was taken."""
    house.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("own", POLLED))
    start, calls = Http.start, []

    with worker() as advance, worker() as other:

        def refused(self: Http, request: Any, key: str) -> Any:
            calls.append(key)
            if len(calls) > 1:
                return start(self, request, key)
            request.confirm()
            rescued(job_id)
            due(job_id)
            other(job_id)
            raise ProviderError("http_503", "turned away", retryable=True, refused_call=True)

        with patch.object(Http, "start", refused):
            advance(job_id)
        assert len(calls) == 2
        assert rows("select phase from attempts") == [("accepted",)]
        house.script["*"] = {}
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(house.book.generations()) == 1


def test_a_call_that_was_made_once_is_not_unmade_because_it_is_not_repeated(tmp_path: Path) -> None:
    """The answer to the first call was lost; the second is not made, since the worker stops."""
    from tests.far_side.openai import OpenAIFarSide

    with environment(SETTINGS), with_hook(OpenAIFarSide, tmp_path).running() as far:
        deployment.provider("painter", "openai", far.url, options={"idempotent": True})
        far.script["*"] = {"idempotent": True}
        far.faults.add("lose", times=1)
        job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
        with worker() as advance:
            far.hook = once(advance._keeper.stopping.set)
            advance(job_id)
            assert one("select phase from attempts") == ("unknown",)
            advance._keeper.stopping.clear()
            steps(advance, job_id)
        assert outcome() == ("succeeded", None)
        assert len(far.book.generations()) == 1


@pytest.mark.parametrize("why", ["S3 is away", "the upload is gone"])
def test_a_file_that_cannot_be_had_when_a_lost_answer_is_asked_for_says_nothing_of_the_generation(
    house: Any, why: str
) -> None:
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    house.faults.add("lose", method="POST")
    from workers.calls.inputs import UnusableInput

    error = UnusableInput("storage_failed", "away", field="image", retryable=True)
    if why != "S3 is away":
        error = UnusableInput("file_gone", "gone", field="image")
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == ("unknown",)
        due(job_id)
        with patch("workers.calls.inputs.gather", side_effect=error):
            advance(job_id)
        assert rows("select phase from attempts") == [("unknown",)]
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(house.book.generations()) == 1


# No end without having asked


def past_the_limit(seconds: int = 1) -> None:
    with transaction() as conn:
        conn.execute("update job_runs set deadline_at = app_now() - make_interval(secs => %s)", [seconds])


def test_a_key_that_is_not_set_at_the_time_limit_is_a_question_that_was_lost(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX, timeout_seconds=60))
    with worker() as advance:
        advance(job_id)
        past_the_limit()
        due(job_id)
        with environment({deployment.KEY_VARIABLE: ""}), worker() as keyless:
            keyless(job_id)
        assert outcome() == (None, None)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)


def test_a_fault_of_ours_at_the_time_limit_neither_ends_the_job_nor_keeps_it_for_ever(runner: Any) -> None:
    job_id = placed(who := account(amount=5), deployment.routed("flux", FLUX, timeout_seconds=60))
    with worker() as advance, patch.object(Replicate, "poll", side_effect=TypeError("a fault of ours")):
        advance(job_id)
        past_the_limit()
        due(job_id)
        advance(job_id)
        assert outcome() == (None, None)
        past_the_limit(int(settings().ask_again_seconds) + 1)
        steps(advance, job_id, LATE_TRIES)
    assert outcome() == ("failed", "timed_out")
    assert balance(who) == (5, 0)


@pytest.mark.parametrize("state", ["accepted", "unknown", "put back"])
def test_a_clock_that_jumped_between_two_claims_ends_nothing(runner: Any, state: str) -> None:
    """No scheduler has looked yet: the limits still lie where the clock was."""
    if state == "unknown":
        runner.faults.add("lose", method="POST")
    elif state == "put back":
        runner.faults.add("error", method="POST")
    offer = deployment.routed("flux", FLUX, timeout_seconds=600, max_attempts=3)
    job_id = placed(account(amount=5), offer)
    with worker() as advance:
        advance(job_id)
        if state == "put back":
            jobs.retry_due(10)
        with environment({"CLOCK_OFFSET_SECONDS": "7200"}):
            jobs.retry_due(10)
            due(job_id)
            advance(job_id)
            assert outcome() == (None, None)
            assert one("select lease_owner, wake_at > app_now() from job_runs") == (None, True)
        if state != "unknown":  # which nobody can be asked about
            steps(advance, job_id)
            assert outcome() == ("succeeded", None)


def test_a_generation_that_was_just_begun_may_not_be_known_everywhere_yet(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    runner.faults.add("error", method="GET", path="/predictions/", status=404, times=2)
    with worker() as advance:
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert rows("select phase from attempts") == [("done",)], "the generation was begun again"


def test_a_generation_that_is_not_known_any_more_has_failed(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX, max_attempts=1))
    runner.faults.add("error", method="GET", path="/predictions/", status=404, times=9)
    with worker() as advance:
        advance(job_id)
        with transaction() as conn:
            conn.execute("update attempts set started_at = app_now() - make_interval(secs => %s)", [
                2 * settings().lease_seconds + 1,
            ])  # fmt: skip
        steps(advance, job_id, 1)
    assert outcome() == ("failed", "unknown_job")


def test_a_worker_that_stops_at_the_time_limit_lets_the_job_go_at_once(house: Any) -> None:
    house.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        past_the_limit()
        due(job_id)
        advance._keeper.stopping.set()
        advance(job_id)
        assert outcome() == (None, None)
        assert one("select lease_owner, wake_at <= app_now() from job_runs") == (None, True)


@pytest.mark.parametrize("phase", ["unknown", "accepted"])
def test_a_database_that_stumbles_when_the_limit_has_come_is_no_answer(house: Any, phase: str) -> None:
    house.script["*"] = {"ready_seconds": 0 if phase == "unknown" else HOUR}
    if phase == "unknown":
        house.faults.add("lose", method="POST")
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == (phase,)
        past_the_limit(int(settings().ask_again_seconds) + 1)
        with transaction() as conn:
            conn.execute("update attempts set started_at = app_now() - interval '2 hours'")
        due(job_id)
        with patch("models.jobs.callbacks.calls", side_effect=Busy("locked")):
            advance(job_id)
        assert outcome() == (None, None)
        house.script["*"] = {}
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)


def test_a_call_that_lies_unread_is_read_before_an_operators_word_counts(runner: Any) -> None:
    runner.faults.add("lose", method="POST")
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        assert one("select status from job_runs") == ("reconciling",)
        called_back(runner, job_id)
        for again in (True, False):
            with pytest.raises(NotFound), transaction() as conn:
                reconcile.decide(conn, job_id, again=again)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(runner.book.generations()) == 1


def called_back(runner: Any, job_id: UUID, **changed: Any) -> None:
    import json

    [generation] = runner.book.generations()
    body = json.dumps(runner.prediction(generation["id"]) | changed).encode()
    with transaction() as conn:
        callbacks.store(conn, job_id, 1, signed(SECRET, body), body)


def test_a_call_back_that_breaks_our_reader_is_put_aside(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        called_back(runner, job_id, logs="poison")
        due(job_id)
        callback = Replicate.callback

        def reader(self: Replicate, request: Any, known: Any, call: Any) -> Any:
            if b"poison" in call.body:
                raise RecursionError
            return callback(self, request, known, call)

        with patch.object(Replicate, "callback", reader):
            steps(advance, job_id, 2)
    assert outcome() == ("succeeded", None)


def test_a_call_back_that_cannot_be_judged_yet_is_kept_and_read_again(runner: Any) -> None:
    """The start's answer was lost, so nothing but this call knows of the result."""
    runner.faults.add("lose", method="POST")
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        called_back(runner, job_id)
        due(job_id)
        with patch.object(Replicate, "callback", side_effect=Unjudged("its keys cannot be had")):
            advance(job_id)
        assert outcome() == (None, None)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(runner.book.generations()) == 1


# What is known is kept


def test_a_fault_of_ours_between_the_store_and_the_end_loses_no_answer(painter: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        with patch("models.catalogue.prices.credits_for", side_effect=OverflowError("a fault of ours")):
            advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_moving_picture_is_a_film_also_at_the_second_look(runner: Any) -> None:
    """Its end could not be written at once, so that it is collected from what is written down."""
    from base64 import b64encode
    from io import BytesIO

    from PIL import Image

    made = BytesIO()
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:], duration=500)
    film = "data:image/gif;base64," + b64encode(made.getvalue()).decode()
    job_id = placed(who := account(amount=5), deployment.routed("film", FLUX, kind="video"))
    with worker() as advance, psycopg.connect(settings().database_url) as other:
        advance(job_id)
        runner.script["*"] = {"output": film}
        other.execute("select 1 from accounts where id = %s for no key update", [who])
        due(job_id)
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        other.rollback()
        steps(advance, job_id, 1)
    assert outcome() == ("succeeded", None)


def test_a_stored_result_that_is_gone_is_no_success_however_late(painter: Any) -> None:
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        with patch("models.jobs.ending.end", side_effect=Busy("locked")):
            advance(job_id)
        [output] = one("select delivered from attempts")[0]["outputs"]
        storage().delete_many([output["asset"]["key"]])
        with transaction() as conn:
            conn.execute("update attempts set delivered_at = app_now() - interval '30 hours'")
        past_the_limit()
        steps(advance, job_id, LATE_TRIES)
    assert outcome() == ("failed", "result_lost")
    assert balance(who) == (5, 0)


def test_a_stored_result_that_is_gone_is_asked_for_again(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        due(job_id)
        with patch("models.jobs.ending.end", side_effect=Busy("locked")):
            advance(job_id)
        [output] = one("select delivered from attempts")[0]["outputs"]
        storage().delete_many([output["asset"]["key"]])
        steps(advance, job_id, 1)
    assert outcome() == ("succeeded", None)
    assert storage().head(one("select key from assets")[0]).size
    assert len(runner.book.generations()) == 1


def test_a_result_that_was_waited_for_can_be_asked_for_under_its_id(runner: Any) -> None:
    """Replicate with `wait_seconds`: the first answer names the prediction, and an address that is gone."""
    runner.script["*"] = {"output": f"{runner.root}/nowhere/old.png"}
    options = {"wait_seconds": 5, "poll_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("flux", {**FLUX, "options": options}))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        runner.script["*"] = {}
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(runner.book.generations()) == 1


def test_an_endpoint_that_is_not_polled_is_asked_for_its_result_again_by_its_start(house: Any) -> None:
    house.script["*"] = {"outputs": [{"url": f"{house.url}/nowhere.png"}], "ready_seconds": 0.2}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == ("accepted",)
        [generation] = house.book.generations()
        eventually(lambda: house._told(generation["id"])["status"] == "succeeded")
        body, headers = house.called_back(generation["id"])
        with transaction() as conn:
            callbacks.store(conn, job_id, 1, headers, body)
        due(job_id)
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        house.script["*"] = {}
        steps(advance, job_id, 1)
    assert outcome() == ("succeeded", None)
    assert len(house.book.generations()) == 1


def test_what_was_written_down_and_cannot_be_read_any_more_ends_at_its_limit(painter: Any) -> None:
    painter.script["*"] = {"answer": "url"}
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        with patch("workers.steps.collecting.Collector.collect", side_effect=StorageError("away", retryable=True)):
            advance(job_id)
        with transaction() as conn:
            conn.execute("""update attempts set delivered = '{"outputs": [{"address": "nowhere"}]}'""")
            conn.execute("update attempts set delivered_at = app_now() - interval '30 hours'")
        past_the_limit()
        steps(advance, job_id, LATE_TRIES)
    assert outcome() == ("failed", "result_lost")
    assert balance(who) == (5, 0)


# Threads and slots


def test_a_result_that_can_be_asked_for_again_holds_no_thread_while_s3_is_away(runner: Any) -> None:
    from base64 import b64encode

    from tests.far_side.media import noise

    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        runner.script["*"] = {"output": "data:image/png;base64," + b64encode(noise("a")).decode()}
        due(job_id)
        away = StorageError("S3 is away", retryable=False)
        with (
            patch.object(Storage, "put_bytes", side_effect=away),
            patch.object(Storage, "put_file", side_effect=away),
            patch("workers.steps.collect.DATA_BYTES", 10),
            patch("workers.steps.collecting.HOLD_PAUSE_SECONDS", 0.0),
            patch("workers.steps.collecting.log.warning", side_effect=[None] * 5 + [Endless]),
        ):
            advance(job_id)
        assert outcome() == (None, None)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(runner.book.generations()) == 1


def test_a_worker_that_stops_while_s3_is_away_leaves_its_answer_in_the_row(painter: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    away = StorageError("S3 is away", retryable=False)
    with worker() as advance:
        with (
            patch.object(Storage, "put_bytes", side_effect=away),
            patch.object(Storage, "put_file", side_effect=away),
            patch("workers.steps.collect.DATA_BYTES", 10),
            patch("workers.steps.collecting.time.sleep", side_effect=lambda _s: advance._keeper.stopping.set()),
        ):
            advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        steps(advance, job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1


def test_a_job_that_is_held_twice_is_known_twice(database: str) -> None:
    """Its lease was lost during a call, and another thread of this process has it now: the call is still waited for."""
    job_id = placed(account(amount=5), deployment.routed("any", {"provider": "sketch", "model": "image"}))
    keeper = Keeper("tester", "interactive", 2)
    first = claimed(job_id)
    with keeper.held(keeper.take(first)) as old:
        old.alone = True
        rescued(job_id)
        due(job_id)
        with keeper.held(keeper.take(claimed(job_id))):
            assert keeper.waits_alone()
            keeper._extend(keeper._current())
            assert old.lost
        assert keeper.waits_alone()
    assert not keeper.waits_alone()


def test_a_worker_that_stops_before_its_call_leaves_nothing_to_be_reconciled(database: str) -> None:
    """Its thread is still busy with the input's files when the process ends."""
    job_id = placed(account(amount=5), deployment.routed("any", {"provider": "sketch", "model": "image"}))
    keeper = Keeper("tester", "interactive", 1)
    keeper.start()
    with keeper.held(keeper.take(claimed(job_id))):
        keeper.stopping.set()
        keeper.stop()
    assert rows("select * from attempts") == []
    assert one("select attempts, lease_owner, deadline_at from job_runs") == (0, None, None)


def slots(name: str, limits: ProviderLimits) -> int:
    states = pressure().states({name: limits})
    assert states is not None
    return states[name].slots_used


def test_a_key_that_cannot_be_read_any_more_keeps_no_slot(painter: Any) -> None:
    who = account(amount=9)
    with transaction() as conn:
        provider_keys.save(conn, who, "painter", SecretStr("sk-of-the-customer"))
        conn.execute("update provider_keys set secret = '\\x00'")
    job_id = placed(who, deployment.routed("dall-e", DALL_E))
    with worker() as advance:
        advance(job_id)
    assert outcome() == ("succeeded", None)
    limits = ProviderLimits(concurrency=1)
    assert [slots(name, limits) for name in ("painter", f"painter@{who}")] == [0, 0]


@pytest.mark.parametrize("fault", ["stale", "database"])
def test_a_slot_that_was_taken_on_another_route_is_given_back(painter: Any, tmp_path: Path, fault: str) -> None:
    from tests.far_side.openai import OpenAIFarSide

    (tmp_path / "second").mkdir()
    with with_hook(OpenAIFarSide, tmp_path / "second").running() as second:
        deployment.provider("second", "openai", second.url, concurrency=1)
        offer = deployment.routed("dall-e", DALL_E, {**DALL_E, "provider": "second"})
        limits = ProviderLimits(concurrency=1)
        pressure().acquire("painter", limits, "somebody else", lease_seconds=60)
        job_id = placed(account(amount=5), offer)
        told: dict[str, Any] = {"return_value": False} if fault == "stale" else {"side_effect": Busy("locked")}
        with worker() as advance:
            with patch("models.jobs.steps.reroute", **told):
                if fault == "stale":
                    with patch("models.jobs.ending.put_back", return_value=None):
                        advance(job_id)
                else:
                    advance(job_id)
        assert slots("second", limits) == 0


def test_a_slot_that_was_taken_for_an_attempt_that_is_over_is_given_back(painter: Any) -> None:
    """The beginner was paused before it took the slot, and the job has ended meanwhile."""
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    choose = Asking.choose

    def late(self: Asking, hold: Hold) -> Any:
        with transaction() as conn:
            cancel.cancel(conn, job_id)
        rescued(job_id)
        with worker() as other:
            due(job_id)
            other(job_id)
        assert outcome()[0] == "canceled"
        hold._confirmed_at -= 30
        return choose(self, hold)

    with worker() as advance, patch.object(Asking, "choose", late):
        advance(job_id)
    assert painter.book.calls() == []
    assert slots("painter", ProviderLimits(concurrency=1)) == 0


# Cancels


@pytest.mark.parametrize("when", ["start", "poll"])
def test_a_cancel_that_comes_during_a_call_does_not_wait_for_the_next_poll(runner: Any, when: str) -> None:
    runner.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(who := account(amount=5), deployment.routed("flux", FLUX))

    def ask(_ask: Ask) -> None:
        with transaction() as conn:
            cancel.cancel(conn, job_id)

    with worker() as advance:
        if when == "poll":
            advance(job_id)
            due(job_id)
        runner.hook = ask
        advance(job_id)
        runner.hook = lambda _ask: None
        assert one("select ended, (select wake_at <= app_now() from job_runs) from jobs") == (None, True)
        advance(job_id)
    assert outcome() == ("canceled", None)
    assert balance(who) == (5, 0)


@pytest.mark.parametrize(("end", "left"), [({"error": "the model fell over"}, 5), ({"ready_seconds": HOUR}, 3)])
def test_a_cancel_is_charged_for_what_it_stops_not_for_what_had_failed(
    runner: Any, end: dict[str, Any], left: int
) -> None:
    runner.script["*"] = end
    job_id = placed(who := account(amount=5), deployment.routed("flux", FLUX, on_cancel="charge"))
    with worker() as advance:
        advance(job_id)
        with transaction() as conn:
            cancel.cancel(conn, job_id)
        advance(job_id)
    assert outcome() == ("canceled", None)
    assert balance(who) == (left, 0)
    assert_books_are_clean()


@pytest.mark.parametrize("why", ["cancel", "limit"])
def test_what_was_stopped_is_not_begun_again(house: Any, why: str) -> None:
    """Some endpoints forget what they have stopped."""
    house.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        if why == "cancel":
            with transaction() as conn:
                cancel.cancel(conn, job_id)
        else:
            past_the_limit()
        steps(advance, job_id, 1)
    kept = [call["method"] for call in house.book.calls()]
    assert "DELETE" in kept
    assert kept.index("DELETE") == len(kept) - 1


def test_a_question_at_the_time_limit_has_time_for_an_answer(house: Any) -> None:
    house.script["*"] = {"ready_seconds": HOUR}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        past_the_limit()
        house.script["*"] = {}
        house.hook = once(lambda: time.sleep(2))
        steps(advance, job_id, 1)
    assert outcome() == ("succeeded", None)
