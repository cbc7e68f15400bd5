"""What is wrong with a machine or a database is said in a sentence with what to do, and never as a trace."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli import doctor, troubles
from cli.embedded.servers import Addresses
from cli.main import app
from tests.conftest import fresh_database

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "postgresql://somebody:hidden@127.0.0.1:9/x"


def said_by(*command: str, **more: str) -> str:
    """The one line that a command says where it ends with 1."""
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *command], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done.stderr[-2000:]
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", [["up", "--port", "0", "--state"], ["demo", "--state"], ["demo", "--results"]])
def test_a_folder_that_cannot_be_is_said_before_anything_is_started(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    for place, said in ((tmp_path / "file" / "x", "not a directory"), (Path("/proc/x"), "no such file or directory")):
        line = said_by(*command, str(place))
        assert line.startswith(f"{place}: {said}: ")
        assert "--state, or HEADRACE_STATE" in line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (NOWHERE, "the database cannot be reached, check DATABASE_URL: "),
        ("mysql://x", "DATABASE_URL must begin with postgresql://"),
    ],
)
def test_a_database_that_is_not_there_is_said_without_its_password(url: str, said: str) -> None:
    line = said_by("jobs", DATABASE_URL=url)
    assert said in line
    assert "hidden" not in line


def test_a_wrong_password_and_a_wrong_name_are_what_the_server_says(database: str) -> None:
    before, _, name = database.rpartition("/")
    assert 'database "no_such" does not exist' in said_by("jobs", DATABASE_URL=f"{before}/no_such")
    user, _, host = before.rpartition("@")
    wrong = f"{user.rpartition(':')[0]}:wrong@{host}/{name}"
    assert "password authentication failed" in said_by("jobs", DATABASE_URL=wrong)


def full() -> OSError:
    with pytest.raises(OSError) as found, open("/dev/full", "w") as file:
        file.write("x")
    return found.value


def test_a_full_disk_is_said_with_the_place_where_it_is_known() -> None:
    assert troubles.sentence_of(full()) == (
        "no space left on device: make room there, or choose another place (--state, or HEADRACE_STATE)"
    )
    known = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")
    assert str(troubles.sentence_of(known)).startswith("/data/x: no space left on device: make room there")
    log = RuntimeError('initdb failed:\nFATAL: could not write to file "pg_wal/x": No space left on device\nremoving')
    assert troubles.of_server(log, "/data") == (
        "no room is left in /data: make room there, or choose another place (--state, or HEADRACE_STATE)"
    )
    assert troubles.of_server(RuntimeError("other"), "/data") == "other"
    assert "disk is full" in str(troubles.sentence_of(psycopg.errors.DiskFull("x")))


def test_what_may_be_a_fault_of_ours_is_not_talked_away() -> None:
    for error in (OSError("x"), OSError(errno.ENOENT, "x"), ValueError("x"), psycopg.errors.SyntaxError("x")):
        assert troubles.sentence_of(error) is None


@pytest.fixture
def own(stack: Addresses) -> Iterator[psycopg.Connection[Any]]:
    with fresh_database(stack) as url, psycopg.connect(url, autocommit=True) as conn:
        yield conn


def test_a_database_without_this_releases_schema_names_the_command(own: psycopg.Connection[Any]) -> None:
    own.execute("alter table jobs rename to jobs_of_before")
    assert (
        troubles.sentence_of(said_to("jobs")) is None
    )  # it is at our revision: this is a fault of ours, or of somebody's hand
    own.execute("update alembic_version set version_num = '0001'")
    assert "the database is at migration 0001, this release at " in str(troubles.sentence_of(said_to("jobs")))
    own.execute("drop table alembic_version")
    sentence = str(troubles.sentence_of(said_to("jobs")))
    assert "at migration none" in sentence
    assert sentence.endswith("run `headrace migrate`")


def test_a_database_of_a_newer_release_is_refused_and_named(own: psycopg.Connection[Any]) -> None:
    own.execute("update alembic_version set version_num = '9999_newer'")
    refused = said_to("migrate")
    assert getattr(refused, "code", None) == "unknown_revision"
    assert "9999_newer, which this release does not know: " in str(refused)
    schema = next(each for each in doctor.examine() if each["check"] == "schema")
    assert not schema["ok"]
    assert "9999_newer" in schema["says"]


def said_to(command: str) -> BaseException:
    error = CliRunner().invoke(app, [command]).exception
    assert error is not None
    return error
