"""`headrace usage`."""

import csv
import io
import json
from uuid import UUID

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.api.v1.test_usage import who

__all__ = ["who"]
pytestmark = pytest.mark.usefixtures("database")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["usage", *arguments], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.output


def test_operators_read_what_accounts_used(who: UUID) -> None:
    table = run("--by", "model,label:customer")
    assert "picture" in table
    assert max(map(len, table.splitlines())) <= 80, table
    found = json.loads(run("--by", "account,day", "--json"))
    assert [(row["account_id"], row["cost_usd_micros"]) for row in found["rows"]] == [(str(who), 1000)]
    rows = list(csv.DictReader(io.StringIO(run("--csv", "--account", str(who), "--by", "model"))))
    assert {row["model"]: row["credits"] for row in rows} == {"film": "0", "picture": "4"}
    assert "Asia/Jakarta" in run("--time-zone", "Asia/Jakarta")


@pytest.mark.parametrize(("words", "said"), [
    (["--by", "week"], "cannot group by 'week'"), (["--time-zone", "Mars"], "there is no time zone 'Mars'"),
    (["--since", "2026-01-02", "--until", "2026-01-01"], "at most 400 days"),
    (["--account", "01a21eb7-f5fe-7605-8311-2153ad0a1717"], "no account"),
])  # fmt: skip
def test_what_cannot_be_answered_says_why(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["usage", *words])
    assert done.exit_code == 1
    assert said in f"{done.output} {done.exception}"
