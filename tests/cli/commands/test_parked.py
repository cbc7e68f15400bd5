"""`headrace parked`: what an operator decides is done at once, and whoever listens hears of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import redis
from typer.testing import CliRunner

from cli.main import app
from common.settings import settings
from models.db import transaction
from models.jobs import steps
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed
from workers import doorbell

pytestmark = pytest.mark.usefixtures("database")


def run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["parked", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def park() -> tuple[UUID, UUID]:
    """An account, and a job of it whose provider's answer was lost."""
    who = account(amount=5)
    claim = claimed(placed(who, model(price={"credits": 3})))
    with transaction() as conn:
        assert steps.wait_unknown(conn, claim, 1, after_seconds=60, reason="no answer")
    return who, claim.job_id


@contextmanager
def listening() -> Iterator[list[Any]]:
    """Everything that is published to listeners during the block, once it is over."""
    heard: list[Any] = []
    with redis.Redis.from_url(settings().redis_url) as client, client.pubsub() as subscribed:
        subscribed.subscribe(doorbell.LIVE)
        assert subscribed.get_message(timeout=5) is not None, "the word that it is subscribed"
        yield heard
        client.publish(doorbell.LIVE, b"null")
        while (message := subscribed.get_message(timeout=5)) is not None and message["data"] != b"null":
            heard += orjson.loads(message["data"])


def test_a_job_that_is_given_up_is_refunded_and_its_listeners_are_woken() -> None:
    who, job_id = park()
    assert [row["job_id"] for row in json.loads(run("--json"))] == [str(job_id)]
    with listening() as heard:
        assert json.loads(run("--give-up", str(job_id), "--json")) == [{"job": str(job_id), "now": "failed"}]
    assert heard == [[str(who)]]
    assert one("select ended, error_code from jobs") == ("failed", "outcome_unknown")
    assert one("select phase from attempts") == ("abandoned",)
    assert balance(who) == (5, 0)
    assert json.loads(run("--json")) == []
    assert_books_are_clean()


def test_a_job_that_is_tried_again_goes_back_into_its_line_and_spends_no_attempt() -> None:
    who, job_id = park()
    with listening() as heard:
        assert json.loads(run("--again", str(job_id), "--json")) == [{"job": str(job_id), "now": "queued"}]
    assert heard == []  # it is no event
    assert one("select status, attempts, attempts_spent, wake_at <= app_now() from job_runs") == ("queued", 1, 0, True)
    assert one("select phase, error_code from attempts") == ("abandoned", "outcome_unknown")
    assert balance(who) == (2, 3)


@pytest.mark.parametrize("which", ["held", "unknown", "called back"])
def test_what_is_not_parked_or_is_being_looked_after_is_left_alone(which: str) -> None:
    _, job_id = park()
    with transaction() as conn:
        if which == "held":
            conn.execute("update job_runs set lease_owner = 'a worker'")
        elif which == "called back":
            conn.execute("update job_runs set called_back = true")
    with listening() as heard:
        done = CliRunner().invoke(app, ["parked", "--give-up", str(uuid4() if which == "unknown" else job_id)])
    assert done.exit_code != 0
    assert heard == []
    assert one("select status, phase from job_runs join attempts using (job_id)") == ("reconciling", "unknown")


def test_only_one_decision_is_taken_at_a_time() -> None:
    _, job_id = park()
    assert "either" in run("--again", str(job_id), "--give-up", str(job_id), status=1)
    assert one("select status from job_runs") == ("reconciling",)
