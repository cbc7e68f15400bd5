"""`headrace storage`, `delete-outputs`, `keep-output`: what an operator sees and does, and the audit log says."""

import json
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import app
from common.errors import NotFound
from tests.models.files.test_results import stored
from tests.support import account, assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")


def run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def shown(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_an_operator_sees_what_is_stored_keeps_a_result_and_deletes_it() -> None:
    who = account(amount=9)
    [asset_id, _] = stored(who, 2)
    job = str(one("select job_id from assets where id = %s", asset_id)[0])
    use = shown("storage", str(who))
    assert (use["used_bytes"], use["kinds"][0], len(use["largest"])) == (
        26,
        {"kind": "image", "bytes": 26, "files": 2},
        2,
    )
    assert "image" in run("storage", str(who))
    [kept] = shown("keep-output", job, "0", "--reason", "a favour")
    assert (kept["kept"], kept["expires_at"]) == (True, None)
    [left] = shown("keep-output", job, "0", "--undo", "--reason", "no more")
    assert left["kept"] is False
    for deleted in (1, 0):
        [gone] = shown("delete-outputs", job, "--index", "1", "--reason", "asked for")
        assert gone["deleted"] == deleted
    assert shown("delete-outputs", job, "--reason", "all of it")[0]["deleted"] == 1
    assert shown("storage", str(who))["used_bytes"] == 0
    acts = rows("select action, subject, details->>'reason' from acts order by id")
    assert acts == [
        ("results.keep", job, "a favour"), ("results.let_go", job, "no more"), ("results.delete", job, "asked for"),
        ("results.delete", job, "asked for"), ("results.delete", job, "all of it"),
    ]  # fmt: skip
    assert_books_are_clean()


@pytest.mark.parametrize(
    "arguments", [["storage"], ["delete-outputs", "--reason", "x"], ["keep-output", "--reason", "x"]]
)
def test_what_is_not_there_is_said_and_nothing_is_noted(arguments: list[str]) -> None:
    place = ["0"] if arguments[0] == "keep-output" else []
    done = CliRunner().invoke(app, [arguments[0], str(uuid4()), *place, *arguments[1:]])
    assert isinstance(done.exception, NotFound)
    assert rows("select * from acts") == []


def test_a_result_is_taken_away_for_a_reason_alone() -> None:
    [asset_id] = stored(account(amount=9))
    job = str(one("select job_id from assets where id = %s", asset_id)[0])
    assert "reason" in run("delete-outputs", job, status=2)
    assert "in 1 to 500 characters" in run("delete-outputs", job, "--reason", " ", status=2)
    assert one("select status from assets") == ("stored",)
