"""`headrace ops retry`, `refund`, `discard`, `cancel`, `replay`, `rest`, `wake`, `drain` at the command line."""

from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import DomainError
from models.catalogue import providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.fleet import processes
from tests.cli.commands.test_operate import run
from tests.models.jobs.standing import parked_job
from tests.models.operations.test_finding import failed
from tests.models.operations.test_job_acts import succeeded
from tests.support import account, assert_books_are_clean, balance, claimed, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def ops(*arguments: str) -> Any:
    return run("ops", *arguments, "--reason", "because")[0]


def test_every_act_on_a_job_is_done_and_written_down_with_its_reason() -> None:
    who = account(amount=20, plan="studio")
    offer = model(price={"credits": 2})
    broken, parked, waits = (
        failed(placed(who, offer)),
        parked_job(claimed(placed(who, offer))).job_id,
        placed(who, offer),
    )
    done = succeeded(who, 2)
    assert ops("retry", str(broken))["credits"] == 2
    assert ops("refund", str(done), "--amount", "1")["credits"] == 1
    assert ops("discard", str(parked))["credits"] == 2
    assert ops("cancel", str(waits))["credits"] == 2
    assert ops("replay", str(broken))["deliveries"] == 0
    assert balance(who) == (17, 2)
    found = rows("select action, details->>'reason', actor like 'command line: %%' from acts order by id")
    assert found == [
        (action, "because", True)
        for action in ("job.retry", "credits.grant", "job.refund", "job.discard", "job.cancel", "job.replay")
    ]
    assert_books_are_clean()


def test_providers_are_rested_and_woken_and_a_worker_is_drained() -> None:
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
        processes.report_worker(conn, "host:1:abc", "batch", 1, 1, 0)
    assert ops("rest", "router", "--seconds", "60")["resting_seconds"] == 60
    standing = {row["provider"]: row["resting_seconds"] for row in run("queues")["providers"]}
    assert 50 < standing["router"] <= 60
    assert ops("wake", "router")["resting_seconds"] == 0
    assert ops("drain", "host:1:abc")["draining"] is True
    assert run("ops", "workers")[0]["drained_at"]


def test_what_is_not_there_is_said_and_a_reason_is_asked_for() -> None:
    for wrong in (["retry", str(uuid4())], ["discard", str(uuid4())], ["rest", "gone"], ["drain", "gone"]):
        done = CliRunner().invoke(app, ["ops", *wrong, "-r", "x"])
        assert (done.exit_code, isinstance(done.exception, DomainError)) == (1, True)
        assert CliRunner().invoke(app, ["ops", *wrong]).exit_code == 2
