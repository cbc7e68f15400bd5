"""Where we were away when a limit came, the first try after it may meet a bad moment: what was paid is not given up for that.

The kinds: an answer that was lost and is asked for by our key, a generation that is asked about at its time limit, a result at
an address, a result that our storage does not take.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest

from common.settings import settings
from models.db import transaction
from scheduler.duties import jobs
from storage.s3 import Storage, StorageError
from tests.far_side import deployment
from tests.far_side.media import noise
from tests.support import account, assert_books_are_clean, balance, one, placed, rows
from tests.workers.steps.test_border import DALL_E, FLUX, due, outcome
from tests.workers.steps.test_border_more import OWN, house, past_the_limit  # noqa: F401 - `house` is a fixture
from tests.workers.steps.worker import HOUR, worker
from workers.steps.decisions import LATE_TRIES

pytestmark = pytest.mark.usefixtures("database")

OUTAGE = 4  # days for which we were away


@dataclass(frozen=True)
class Kind:
    """What is waited for, how it goes wrong `times` more, and what the job says that was given up."""

    far: str  # the fixture of the far side
    route: dict[str, Any]
    phase: str
    begin: Callable[[Any], None]
    fail: Callable[[Any, int], None]
    mend: Callable[[Any], None]
    code: str


def _unknown(far: Any) -> None:
    far.faults.add("lose", method="POST")


def _accepted(far: Any) -> None:
    far.script["*"] = {"ready_seconds": HOUR}


def _addressed(far: Any) -> None:
    far.script["*"] = {"answer": "url"}
    far.faults.add("error", method="GET", path="/files/", status=503, times=100)


def _is_there(far: Any) -> None:
    far.script["*"] = {}
    far.faults.rules.clear()


KINDS = {
    "an answer asked for by key": Kind(
        "house", OWN, "unknown", _unknown,
        lambda far, times: far.faults.add("drop", method="POST", times=times), _is_there, "outcome_unknown",
    ),
    "a generation at its time limit": Kind(
        "runner", FLUX, "accepted", _accepted,
        lambda far, times: far.faults.add("error", method="GET", path="/predictions/", status=500, times=times),
        _is_there, "timed_out",
    ),
    "a result at an address": Kind(
        "painter", DALL_E, "delivered", _addressed, lambda far, times: None, _is_there, "result_lost",
    ),
}  # fmt: skip


def away() -> None:
    """Days pass, and with them every limit."""
    with transaction() as conn:
        conn.execute("update attempts set started_at = started_at - make_interval(days => %s)", [OUTAGE])
        conn.execute("update attempts set delivered_at = delivered_at - make_interval(days => %s)", [OUTAGE])
    past_the_limit(OUTAGE * 86_400)


@pytest.mark.parametrize("answers", [True, False], ids=["the last try is answered", "nobody answers"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_after_an_absence_more_than_one_try_is_made(request: Any, kind: Kind, answers: bool) -> None:
    far = request.getfixturevalue(kind.far)
    kind.begin(far)
    job_id = placed(who := account(amount=5), deployment.routed("made", kind.route))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == (kind.phase,)
        away()
        kind.fail(far, 100)
        for number in range(LATE_TRIES):
            assert outcome() == (None, None), f"given up after {number} tries"
            if answers and number == LATE_TRIES - 1:
                kind.mend(far)
            jobs.retry_due(10)
            due(job_id)
            advance(job_id)
    assert outcome() == (("succeeded", None) if answers else ("failed", kind.code))
    assert balance(who)[1] == 0
    assert len(far.book.generations()) == 1
    assert_books_are_clean()


@pytest.mark.parametrize("answers", [True, False], ids=["the last try is stored", "nothing is stored"])
def test_a_result_that_could_not_be_stored_while_we_were_away_is_tried_more_than_once(
    runner: Any, answers: bool
) -> None:
    runner.script["*"] = {"ready_seconds": 0.0}
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    full = patch.object(Storage, "put_bytes", side_effect=StorageError("the bucket is away", retryable=False))
    with worker() as advance:
        advance(job_id)
        with full:
            due(job_id)
            advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        away()
        with full:
            for _ in range(LATE_TRIES - 1):
                due(job_id)
                advance(job_id)
                assert outcome() == (None, None)
            if not answers:
                due(job_id)
                advance(job_id)
        if answers:
            due(job_id)
            advance(job_id)
    assert outcome() == (("succeeded", None) if answers else ("failed", "result_lost"))


def test_what_nobody_can_be_asked_about_is_asked_about_once(runner: Any) -> None:
    runner.faults.add("lose", method="POST")
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        assert one("select phase from attempts") == ("unknown",)
        away()
        due(job_id)
        advance(job_id)
    assert outcome() == ("failed", "outcome_unknown")


def test_tries_after_the_limit_are_apart_by_a_quarter_of_it_however_long_the_absence_was(house: Any) -> None:  # noqa: F811 - the fixture
    _unknown(house)
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        away()
        house.faults.add("drop", method="POST", times=100)
        due(job_id)
        advance(job_id)
    [(seconds, tries)] = rows("select extract(epoch from wake_at - app_now())::float, late_tries from job_runs")
    assert (pytest.approx(settings().reconcile_seconds / 4, abs=5), 1) == (seconds, tries)


def test_a_result_of_which_a_part_never_comes_ends_though_the_others_come_anew_each_time(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        [made] = runner.book.generations()
        runner.script["*"] = {"output": [f"{runner.root}/files/{made['id']}.png", f"{runner.root}/nowhere/b.png"]}
        due(job_id)
        advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        away()
        for _ in range(LATE_TRIES):
            assert outcome() == (None, None)
            due(job_id)
            advance(job_id)
    assert outcome() == ("succeeded", None)
    assert one("select count(*) from assets where status = 'stored'") == (1,)


def test_a_result_that_only_the_worker_has_is_put_more_than_once_after_an_absence(house: Any) -> None:  # noqa: F811 - the fixture
    _unknown(house)
    house.script["*"] = {"outputs": [{"data": b64encode(noise("a")).decode(), "media_type": "image/png"}]}
    job_id = placed(account(amount=5), deployment.routed("own", OWN))
    with worker() as advance:
        advance(job_id)
        away()
        fails = [StorageError("the bucket is away", retryable=False)] * 4 + [None]
        puts = Storage.put_bytes

        def put(*args: Any, **more: Any) -> Any:
            error = fails.pop(0) if fails else None
            if error is not None:
                raise error
            return puts(*args, **more)

        with patch.object(Storage, "put_bytes", put), patch("workers.steps.collecting.HOLD_PAUSE_SECONDS", 0.01):
            due(job_id)
            advance(job_id)
    assert fails == []
    assert outcome() == ("succeeded", None)


def test_a_result_that_is_asked_for_again_is_given_up_once_it_was_put_in_vain_three_times(runner: Any) -> None:
    job_id = placed(who := account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        runner.script["*"] = {"output": "data:image/png;base64," + b64encode(noise("a")).decode()}
        away()
        full = StorageError("the bucket refuses it", retryable=False)
        with patch.object(Storage, "put_bytes", side_effect=full), patch.object(Storage, "put_file", side_effect=full):
            for _ in range(LATE_TRIES):
                assert outcome() == (None, None)
                assert one("select phase from attempts") == ("accepted",)
                due(job_id)
                advance(job_id)
    assert outcome() == ("failed", "result_lost")
    assert balance(who) == (5, 0)


def test_questions_after_the_time_limit_are_minutes_apart(runner: Any) -> None:
    _accepted(runner)
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        away()
        runner.faults.add("error", method="GET", path="/predictions/", status=500, times=100)
        due(job_id)
        advance(job_id)
    [(seconds,)] = rows("select extract(epoch from wake_at - app_now())::float from job_runs")
    assert seconds == pytest.approx(settings().ask_again_seconds / 4, abs=5)
