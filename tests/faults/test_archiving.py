"""A scheduler killed in the middle of archiving: the next one finishes it, and each row is in the bucket once."""

from pathlib import Path

import pytest

from models.db import transaction
from tests.conftest import environment
from tests.faults.test_faults import marker
from tests.scheduler.duties.archives import ON, archived_rows, detached, emptied, old_month, there
from tests.support import System, assert_books_are_clean, eventually, one

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("point", ["archive:written", "archive:put", "archive:noted"])
def test_a_month_survives_a_scheduler_that_is_killed_while_it_archives(
    system: System, tmp_path: Path, point: str
) -> None:
    emptied()
    name = old_month(2_000)
    with environment(ON):
        assert detached() == 1
    system.start("scheduler", scheduler={**ON, **marker(tmp_path, point)})
    eventually(lambda: system.processes.dead() != [], seconds=60, what=f"the kill at {point}")
    system.processes.forget("scheduler")
    assert there(name)
    with transaction() as conn:
        conn.execute("update duties set next_at = app_now()")
    system.start("scheduler", scheduler=ON)
    eventually(lambda: not there(name), seconds=60, what="the drop")
    assert one("select sum(rows) from archived_files where kind = 'events'") == (2_000,)
    assert len({row["number"] for row in archived_rows("events")}) == len(archived_rows("events")) == 2_000
    assert_books_are_clean()
    emptied()
