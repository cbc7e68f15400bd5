"""What routing reads of a job's past."""

from datetime import UTC, datetime

import pytest

from models import runs
from models.db import transaction
from models.ending import AttemptEnd
from tests.models.test_margin import done, ordered, tried
from tests.support import account, model
from workers.routing import Tried, tried_before


@pytest.mark.usefixtures("database")
def test_attempts_that_are_over_are_read_oldest_first_and_the_live_one_is_not() -> None:
    job = ordered(account(amount=5), model(), datetime.now(UTC))
    ends = AttemptEnd(1, "failed", "http_500", charged=False), AttemptEnd(2, "failed", "bad", charged=True)
    tried(job, None, *ends, done(3, None))
    with transaction() as conn:
        rows = runs.earlier_attempts(conn, job)
    assert rows == [(0, "failed", "http_500", False), (0, "failed", "bad", True)]
    assert tried_before(rows) == [Tried(0, elsewhere=True), Tried(0, elsewhere=True, charged=True)]
