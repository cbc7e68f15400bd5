"""`headrace ops`: what operators see at the command line."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import DomainError
from models.db import transaction
from models.fleet import processes
from tests.cli.commands.test_operate import run, table
from tests.models.operations.test_finding import failed
from tests.support import account, model, placed

pytestmark = pytest.mark.usefixtures("database")


def test_jobs_are_found_and_looked_into() -> None:
    who = account(amount=9)
    broken, waits = str(failed(placed(who, model()))), str(placed(who, model()))
    found = run("ops", "find", "--limit", "1")
    assert ([row["id"] for row in found["jobs"]], found["next"]) == ([waits], waits)
    assert [row["id"] for row in run("ops", "find", "--before", found["next"])["jobs"]] == [broken]
    assert [
        row["id"] for row in run("ops", "find", "-w", "error=broken", "-w", "since=2020-01-01T00:00:00")["jobs"]
    ] == [broken]
    assert "--before" in table("ops", "find", "--limit", "1")
    told = run("ops", "story", broken)
    assert told["attempts"][0]["error_message"] == "the pencil broke"
    shown = table("ops", "story", broken)
    assert "the pencil broke" in shown
    assert "deliveries: none" in shown


def test_a_filter_that_means_nothing_is_said_in_one_sentence() -> None:
    for wrong in ("status=gone", "label=none", "account=me", "text=" + "x" * 101, "status", "=", "other=1"):
        done = CliRunner().invoke(app, ["ops", "find", "-w", wrong])
        assert (done.exit_code, "Traceback" in done.output, wrong.partition("=")[0] in done.output) == (1, False, True)
    twice = CliRunner().invoke(app, ["ops", "find", "-w", "status=failed", "-w", "status=queued"])
    assert (twice.exit_code, "twice" in twice.output) == (1, True)


def test_queues_and_workers_are_shown() -> None:
    who = account(amount=50)
    for _ in range(8):
        placed(who, model())
    with transaction() as conn:
        processes.report_worker(conn, "machine:31:abc", "batch", 2, 2, 1, version="0.1.0")
    found = run("ops", "queues")
    assert found["waiting_accounts"][0]["account_id"] == str(who)
    assert str(who) in table("ops", "queues")
    assert run("ops", "workers")[0]["host"] == "machine"
    assert "machine" in table("ops", "workers")


def test_a_model_is_paused_for_a_while_and_resumed_with_a_reason() -> None:
    model()
    [made] = run("ops", "pause", "model", "test-model", "--reason", "too slow", "--minutes", "30")
    assert (made["what"], made["name"], made["reason"]) == ("model", "test-model", "too slow")
    assert [row["name"] for row in run("ops", "pauses")] == ["test-model"]
    assert "too slow" in table("ops", "pauses")
    run("ops", "resume", "model", "test-model", "--reason", "fast again")
    assert "nothing is paused" in table("ops", "pauses")
    for wrong in (
        ["pause", "model", "gone", "-r", "x"],
        ["resume", "model", "test-model", "-r", "x"],
        ["pause", "job", "x", "-r", "x"],
    ):
        done = CliRunner().invoke(app, ["ops", *wrong])
        assert done.exit_code == 1
        assert isinstance(done.exception, DomainError)
    assert CliRunner().invoke(app, ["ops", "pause", "model", "test-model"]).exit_code == 2, "it needs a reason"
