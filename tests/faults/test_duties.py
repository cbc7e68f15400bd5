"""A scheduler killed in a duty that has something to do: the next one finishes it, and nothing is done twice."""

from pathlib import Path

import pytest

from models.db import transaction
from scheduler.main import duties, run_turn
from tests.conftest import environment
from tests.faults.test_faults import marker
from tests.scheduler.duties.preparations import LATE, PREPARATIONS, contents
from tests.support import System, assert_books_are_clean, eventually, one

pytestmark = pytest.mark.faults

# The audit changes nothing: what it finds is told again at each turn.
NAMES = [duty.name for duty in duties() if duty.name != "audit"]


@pytest.mark.parametrize("name", NAMES)
def test_a_duty_that_was_killed_at_its_work_is_finished_by_the_next_and_then_over(
    system: System, tmp_path: Path, name: str
) -> None:
    PREPARATIONS[name]()
    before = contents()
    duty = next(each for each in duties() if each.name == name)
    late = {**LATE, "STRAY_SECONDS": "0"}
    system.start("scheduler", scheduler={**late, **marker(tmp_path, f"{name}:batch")})
    eventually(lambda: system.processes.dead() != [], seconds=60, what=f"the kill in {name}")
    system.processes.forget("scheduler")
    with environment(late):
        if name not in WITHOUT_ROWS:
            assert contents() != before, f"{name} was killed before it had done anything"
        with transaction() as conn:
            conn.execute("update duties set next_at = app_now()")
        run_turn(duty)
        after = contents()
        with transaction() as conn:
            conn.execute("update duties set next_at = app_now()")
        assert run_turn(duty) == 0
        assert contents() == after
        if duty.exclusive:
            assert one("select error from duties where name = %s", name) == (None,)
        assert_books_are_clean()


# Their work is in the bucket, in Redis, or in which tables there are.
WITHOUT_ROWS = {
    "mend_messages",
    "reap_strays",
    "reap_uploads",
    "reap_inputs",
    "abort_uploads",
    "make_partitions",
    "drop_partitions",
}
