"""What a worker knows while something of ours fails around it: its answer, what it has stored, when it was called."""

import json
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import callbacks
from storage import keys
from storage.s3 import storage
from tests.far_side import deployment
from tests.far_side.replicate import signed
from tests.outages import set_read_only
from tests.support import account, assert_books_are_clean, one, placed
from tests.workers.steps.test_border import DALL_E, FLUX, due, once, outcome, rescued
from tests.workers.steps.worker import HOUR, SECRET, worker
from workers.providers.openai import OpenAI
from workers.steps.advance import Advance

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("answer", ["b64", "url"])
def test_an_answer_is_held_until_the_database_takes_it(painter: Any, answer: str) -> None:
    painter.script["*"] = {"answer": answer}
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    url, pauses = settings().database_url, list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        set_read_only(url, on=False)

    painter.hook = once(lambda: set_read_only(url, on=True))
    with worker() as advance, patch("workers.persist.time", SimpleNamespace(sleep=pause)):
        advance(job_id)
        assert pauses, "the database took everything at once"
        if outcome() != ("succeeded", None):  # what was known is written, and the end is decided again
            assert one("select phase from attempts") == ("delivered",)
            due(job_id)
            advance(job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


def test_a_fault_of_ours_after_the_call_begins_no_other_generation(painter: Any) -> None:
    """Not even one that passes: before the call the attempt would be taken back, as if it had never been."""
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    image = OpenAI._image

    def then_fails(*given: Any) -> Any:
        image(*given)
        raise psycopg.OperationalError("something of ours is away")

    with worker() as advance, patch.object(OpenAI, "_image", then_fails):
        advance(job_id)
        assert one("select status, attempts from job_runs") == ("reconciling", 1)
        due(job_id)
        advance(job_id)
    assert one("select phase from attempts") == ("unknown",)
    assert len(painter.book.generations()) == 1


def test_a_worker_whose_end_comes_too_late_leaves_the_result_where_it_is(painter: Any) -> None:
    """Both have stored the same bytes under the same name."""
    painter.script["*"] = {"answer": "url"}
    job_id = placed(who := account(amount=5), deployment.routed("dall-e", DALL_E))

    def another_ends(advance: Advance) -> None:
        with patch("workers.steps.collecting.reached"):
            rescued(job_id)
            advance(job_id)
        assert outcome() == ("succeeded", None)

    with worker() as advance:
        first = once_at("uploaded", lambda: another_ends(advance))
        with patch("workers.steps.collecting.reached", first):
            advance(job_id)
    stored = [item.key for item in storage().list_page(f"{keys.RESULTS}{who}/", None, 10)]
    assert stored == [one("select key from assets")[0]]
    assert_books_are_clean()


def once_at(name: str, action: Any) -> Any:
    """A fault point that acts the first time that it is reached."""
    done: list[bool] = []

    def reached(point: str) -> None:
        if point == name and not done:
            done.append(True)
            action()

    return reached


def test_a_call_back_is_as_old_as_it_was_when_it_came_and_not_as_when_it_is_read(runner: Any) -> None:
    job_id = placed(account(amount=5), deployment.routed("flux", FLUX))
    with worker() as advance:
        advance(job_id)
        [generation] = runner.book.generations()
        body = json.dumps(runner.prediction(generation["id"])).encode()
        with transaction() as conn:
            callbacks.store(conn, job_id, 1, signed(SECRET, body, time.time() - HOUR), body)
            conn.execute("update provider_callbacks set created_at = created_at - interval '1 hour'")
        due(job_id)
        advance(job_id)
    assert outcome() == ("succeeded", None)
    assert runner.book.calls("/predictions/", "GET") == [], "the call back was not believed"
