"""The command line: every command prints JSON with --json, and says what is wrong without a stack trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.doctor import checks
from cli.main import app
from common.settings import settings
from models import db
from models.catalogue.providers import ProviderLimits
from models.credits import label_limits, proofs
from models.db import transaction
from models.events import deliveries
from tests.models.hands import change
from tests.outages import admin
from tests.support import System, account, balance, claimed, eventually, key_of, model, one, placed, rows
from workers.calls import limits
from workers.calls.limits import Report

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str, status: int = 0) -> Any:
    """A command's JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def table(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def shell(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


def test_every_command_has_help_and_json() -> None:
    groups = [([], app), *(([group.name], group.typer_instance) for group in app.registered_groups)]
    for path, command in [(path, command) for path, each in groups for command in each.registered_commands]:
        name = (command.name or command.callback.__name__).replace("_", "-")
        text = table(*path, name, "--help")
        assert "--json" in text or name == "results", name  # which are JSON, a line each
        assert (command.callback.__doc__ or "").strip()


def test_the_version_is_said_and_the_shell_completes_commands() -> None:
    assert table("--version") == f"headrace {version('headrace')}\n"
    done = shell(_HEADRACE_COMPLETE="complete_bash", COMP_WORDS="headrace ca", COMP_CWORD="1")
    assert done.returncode == 0, done.stderr
    assert {"cancel", "catalogue"} <= set(done.stdout.split())


@pytest.mark.usefixtures("database")
def test_labels_of_jobs_are_shown_looked_for_and_kept_when_a_job_is_ordered_again() -> None:
    who, offer = account(amount=9), model()
    job = str(placed(who, offer, labels={"customer": "acme", "team": "x"}))
    placed(who, offer)
    assert [each["labels"] for each in run("jobs", "-a", str(who))] == [{}, {"customer": "acme", "team": "x"}]
    assert [each["id"] for each in run("jobs", "--label", "customer:acme")] == [job]
    assert run("jobs", "--label", "customer:b") == []
    assert run("job", job)["labels"] == {"customer": "acme", "team": "x"}
    for view in (table("jobs"), table("job", job)):
        assert "acme" in view
    for wrong in ("customer", "", "A:b", "customer:"):
        assert CliRunner().invoke(app, ["jobs", "--label", wrong]).exit_code == 2
    run("cancel", job)
    assert run("job", run("retry", job)[0]["job"])["labels"] == {"customer": "acme", "team": "x"}
    with transaction() as conn:  # and they count
        label_limits.set_limit(conn, who, "customer", "acme", 1)
    assert "customer:acme has spent 1 of its 1" in CliRunner().invoke(app, ["retry", job]).stderr


@pytest.mark.usefixtures("database")
def test_an_account_gets_credits_a_key_and_a_plan() -> None:
    opened = run("account", "ada", "--email", "ada@example.com")[0]
    assert (opened["new"], opened["available"]) == (True, 10)
    assert run("account", "ada")[0]["new"] is False
    who = opened["account"]
    assert run("grant", "25", "-a", who, "--ref", "r", "--reason", "x")[0] == {
        "grant": one("select id::text from grants where ref = 'r'")[0],
        "new": True,
        "available": 35,
    }
    assert run("grant", "25", "-a", who, "--ref", "r", "--reason", "x")[0]["new"] is False
    assert run("subscribe", "creator", "-a", who, "--reason", "x")[0]["available"] == 285
    assert run("keys", "-a", who) == []
    key = run("keys", "-a", who, "--name", "laptop", "--scopes", "read,generate")[0]
    assert key["secret"].startswith("hr_")
    assert run("keys", "-a", who, "--revoke", key["key_id"])[0]["revoked"]


@pytest.mark.usefixtures("database")
def test_jobs_are_looked_into_canceled_and_ordered_again() -> None:
    who = account(amount=9)
    job = str(placed(who, model()))
    assert run("jobs", "--status", "queued")[0]["id"] == job
    assert run("job", job)["entries"][0]["kind"] == "reserve"
    assert run("queues")["queues"][0]["depth"] == 1
    assert run("cancel", job)[0]["canceled"]
    again = run("retry", job)[0]
    assert again["retry_of"] == job
    assert balance(who) == (8, 1)
    for arguments in (("jobs",), ("job", job), ("queues",), ("audit",)):
        assert table(*arguments)
    failed = CliRunner().invoke(app, ["retry", again["job"]])
    assert failed.exit_code == 1
    assert "has not ended" in failed.output


@pytest.mark.usefixtures("database")
def test_the_audit_exits_with_1_and_names_the_rows() -> None:
    who = account(amount=9)
    assert run("audit") == {"clean": True, "findings": []}
    with transaction() as conn:
        conn.execute("update accounts set available = 10")
    found = run("audit", status=1)["findings"]
    assert found[0]["rule"] == "entries_sum_to_balances"
    assert found[0]["rows"][0]["account_id"] == str(who)


@pytest.mark.usefixtures("database")
def test_the_audit_proves_in_halves_what_takes_too_long_and_says_where_one_account_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = sorted(account(amount=9) for _ in range(3))
    change("update accounts set available = 10 where id = %s", who[1])
    prove, can = proofs.prove_part, 1

    def late(conn: Any, part: proofs.ProofPart) -> Any:
        inside = [each for each in who if (part.after is None or each > part.after) and each <= part.until]
        if part.rule == "entries_sum_to_balances" and len(inside) > can:
            raise proofs.TooSlow(f"{part.rule} was not proven in 60 s")
        return prove(conn, part)

    monkeypatch.setattr(proofs, "prove_part", late)
    assert [row["account_id"] for row in run("audit", status=1)["findings"][0]["rows"]] == [str(who[1])]
    can = 0
    failed = CliRunner().invoke(app, ["audit"])
    assert failed.exit_code == 1
    assert "entries_sum_to_balances was not proven in 60 s" in failed.output
    assert str(who[0]) in failed.output


@pytest.mark.usefixtures("database")
def test_what_is_wrong_is_said_in_one_line() -> None:
    nobody = shell("grant", "5", "-a", str(uuid4()), "--reason", "x")
    assert (nobody.returncode, "no account" in nobody.stderr, "Traceback" in nobody.stderr) == (1, True, False)
    away = shell("queues", DATABASE_URL="postgresql://app@127.0.0.1:1/none")
    assert (away.returncode, "Traceback" in away.stderr) == (1, False)
    assert "database" in away.stderr


def test_doctor_finds_what_is_missing_and_passes_on_a_running_system(system: System) -> None:
    missing = {check["check"]: check for check in run("doctor", status=1)}
    assert missing["database"]["ok"]
    assert missing["redis"]["ok"]
    assert missing["storage"]["ok"]
    assert missing["schema"]["ok"]
    assert "start `python -m workers`" in missing["workers"]["says"]
    assert "python -m scheduler" in missing["duties"]["says"]
    system.start("api", "worker", "scheduler")
    who = account(amount=9)
    with system.client(who) as http:
        assert http.get("/readyz").status_code == 200
    # What is looked at again and again is what takes its time: the whole of it costs a second of a core.
    eventually(
        lambda: all(_is_well(each) for each in (checks.check_workers, checks.check_duties)), what="all processes"
    )
    assert [each for each in run("doctor") if not each["ok"]] == []
    key = key_of(who)
    done = shell(
        "submit", "sketch-image", "prompt=a mill", "width=64", "height=64", "--watch", "--json", HEADRACE_API_KEY=key
    )
    job = json.loads(done.stdout)
    assert (job["status"], job["input"]["width"]) == ("succeeded", 64)
    assert json.loads(shell("watch", job["id"], "--json", HEADRACE_API_KEY=key).stdout)["id"] == job["id"]
    refused = shell("submit", "sketch-image", HEADRACE_API_KEY=key)
    assert (refused.returncode, "input.prompt is required" in refused.stderr) == (1, True)
    assert "API key" in shell("submit", "sketch-image", HEADRACE_API_KEY="").stderr


def _is_well(check: Callable[[], str]) -> bool:
    with suppress(RuntimeError):
        return bool(check())
    return False


@pytest.mark.usefixtures("database")
def test_the_doctor_refuses_a_database_that_does_not_wait_for_commits() -> None:
    name = settings().database_url.rpartition("/")[2].partition("?")[0]
    with admin() as conn:
        conn.execute(f"alter database {name} set synchronous_commit = off")
    db.close()
    try:
        found = {each["check"]: each for each in run("doctor", status=1)}["database"]
    finally:
        with admin() as conn:
            conn.execute(f"alter database {name} reset synchronous_commit")
        db.close()
    assert not found["ok"]
    assert "synchronous_commit is off" in found["says"]
    safe = {each["check"]: each for each in run("doctor", status=1)}["database"]
    assert (safe["ok"], "fsync and full_page_writes off: a power cut" in safe["says"]) == (
        True,
        True,
    )  # as tests have it


@pytest.mark.usefixtures("database")
def test_a_claim_of_a_dead_worker_is_not_shown_as_a_worker() -> None:
    claimed(placed(account(amount=9), model()))
    assert run("queues")["workers"] == []
    assert run("queues")["queues"][0]["in_flight"] == 1


@pytest.mark.usefixtures("database")
def test_deliveries_that_nobody_sends_are_seen() -> None:
    who = account()
    with transaction() as conn:
        deliveries.send(conn, who, uuid4(), "announcement", {})
    assert {each["check"]: each["ok"] for each in run("doctor", status=1)}["deliveries"]
    with transaction() as conn:
        conn.execute("update delivery_queues set wake_at = app_now() - interval '5 minutes'")
    late = {each["check"]: each for each in run("doctor", status=1)}["deliveries"]
    assert not late["ok"]
    assert "python -m workers.deliver" in late["says"]


@pytest.mark.usefixtures("database")
def test_an_announcement_is_made_and_listed() -> None:
    assert run("announce") == []
    made = run("announce", "New models", "Try them.")[0]
    assert (made["title"], made["notified"]) == ("New models", 0)
    assert [each["id"] for each in run("announce")] == [made["id"]]
    assert "plan" in shell("announce", "x", "y", "--plan", "nonsense").stderr


@pytest.mark.usefixtures("database")
def test_a_provider_that_keeps_failing_is_seen() -> None:
    checks = {check["check"]: check for check in run("doctor", status=1)}
    assert checks["providers"] == {"check": "providers", "ok": True, "says": "none of 1 is resting"}
    for _ in range(5):
        limits.pressure().report("sketch", ProviderLimits(), "m", Report.FAULT, account="a")
    checks = {check["check"]: check for check in run("doctor", status=1)}
    assert "sketch keeps failing" in checks["providers"]["says"]
    found = run("queues")["providers"][0]
    assert (found["provider"], 0 < found["resting_seconds"] <= 30) == ("sketch", True)
    assert "sketch" in table("queues")


def test_an_operator_puts_a_subscription_on_another_plan_and_it_is_written_down_who(database: str) -> None:
    who = str(account())
    run("subscribe", "creator", "-a", who, "--reason", "x")
    assert run("change-plan", "studio", "-a", who, "--reason", "x")[0]["plan"] == "studio"
    assert run("change-plan", "creator", "-a", who, "--when", "period_end", "--reason", "x")[0]["next"] == "creator"
    acts = rows(
        "select distinct action, actor like 'command line: %%' from acts where action like 'plan.%%' order by 1"
    )
    assert acts == [("plan.changed", True), ("plan.paid", True), ("plan.planned", True)]
