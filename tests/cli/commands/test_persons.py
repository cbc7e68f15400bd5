"""`headrace export` and `headrace erase`, as an operator calls them."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.support import account, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def headrace(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_an_export_is_a_file_that_nobody_else_reads_and_is_never_overwritten(tmp_path: Path) -> None:
    who, file = account(amount=5), tmp_path / "theirs.jsonl"
    placed(who, model(), {"prompt": "mine"})
    done = headrace("export", str(who), str(file), "--json")
    assert done.exit_code == 0, done.output
    found = [json.loads(each) for each in file.read_text().splitlines()]
    assert found[-1] == {"kind": "end", "data": {"lines": len(found) - 1}}
    assert json.loads(done.stdout)[0]["lines"] == len(found) - 1
    assert [each["data"]["input"]["prompt"] for each in found if each["kind"] == "jobs"] == ["mine"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert one("select action, subject from acts") == ("account.export", str(who))
    before = file.read_text()
    assert headrace("export", str(who), str(file)).exit_code != 0
    assert file.read_text() == before


def test_nobody_is_exported_and_no_file_is_left(tmp_path: Path) -> None:
    assert headrace("export", str(uuid4()), str(tmp_path / "x")).exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_an_erasure_is_looked_at_first_and_has_its_reason() -> None:
    who = account(amount=5)
    placed(who, model(), {"prompt": "mine"})
    assert headrace("erase", str(who)).exit_code != 0
    looked = headrace("erase", str(who), "--reason", "asked", "--dry-run", "--json")
    assert (looked.exit_code, json.loads(looked.stdout)[0]["prompts"]) == (0, 1), looked.output
    assert rows("select 1 from erasures") == []
    begun = headrace("erase", str(who), "--reason", "asked", "--json")
    assert json.loads(begun.stdout)[0]["begun_at"] is not None
    assert one("select action, details->>'reason' from acts") == ("account.erase", "asked")
