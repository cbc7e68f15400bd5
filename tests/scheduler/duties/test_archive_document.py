"""docs/archive.md: each of its queries runs as it stands there, on what is in the bucket."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import environment
from tests.models.hands import change, later
from tests.scheduler.duties.archives import (
    ON,
    archive_keys,
    archived_all,
    bytes_of,
    detached,
    emptied,
    ended_job,
    forgotten,
    old_month,
    settled,
)
from tests.scheduler.duties.preparations import past_month
from tests.support import account, rows

pytestmark = pytest.mark.usefixtures("database")

DOCUMENT = Path(__file__).parents[3] / "docs" / "archive.md"


@pytest.fixture
def downloaded(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the archive in it, as `aws s3 sync` would copy it, of one row of each kind and more; we are in it."""
    emptied()
    who = account(amount=30)
    change("insert into duties (name, next_at) values ('archive', app_now()), ('forget_jobs', app_now())")
    old_month(6)
    past_month("usage", 2)
    change(
        """insert into usage (account_id, at, source, succeeded, credits) values (%s, app_now() - interval '2 months', 'job', 2, 6)""",
        who,
    )
    for _ in range(2):
        ended_job(who)
    settled()
    with environment({**ON, "JOB_DAYS": "31"}):
        assert detached() == 1
        with later(24 * 40):
            assert forgotten() == 2
        with later(24 * 41):
            archived_all()
    for key in archive_keys():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(bytes_of(key))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    emptied()


def test_each_query_of_the_document_answers(downloaded: Path) -> None:
    queries = re.findall(r"```sql\n(.*?);\n```", DOCUMENT.read_text(), re.DOTALL)
    assert len(queries) == 6
    with duckdb.connect() as conn:
        found: list[list[tuple[Any, ...]]] = [conn.execute(query).fetchall() for query in queries]
        types = dict(
            conn.execute(
                "select column_name, column_type from (describe select * from 'archive/jobs/**/*.parquet')"
            ).fetchall()
        )
    [(ended_at,)] = rows("select distinct date_trunc('month', ended_at) from jobs")
    assert found[1] == [(ended_at, "test-model", 2, 6, 24 / 1e6)]
    assert found[2] == [("sketch", "none", 2)]
    assert [row[1:] for row in found[3]] == [("job.succeeded", 6, 21)]
    assert {row[0] for row in found[4]} >= {"job.succeeded"}
    assert (2, 6, 0) in [row[2:] for row in found[5]]
    assert (types["id"], types["ended_at"], types["charged_credits"]) == ("UUID", "TIMESTAMP WITH TIME ZONE", "BIGINT")


@pytest.mark.parametrize("word", ["archived_files", "forgotten_rows"])
def test_the_document_names_the_tables_that_wait(word: str) -> None:
    assert f"`{word}`" in DOCUMENT.read_text()
