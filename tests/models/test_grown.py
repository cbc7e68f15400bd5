"""What is counted of a call is the call's alone."""

import pytest
from psycopg import Connection

from models.db import transaction
from tests.models.grown import pages
from tests.support import account, rows

pytestmark = pytest.mark.usefixtures("database")


def test_what_other_connections_did_before_a_call_is_not_counted_with_it() -> None:
    """A connection tells once a second at most what it read; one that then has nothing to do, ten seconds later."""
    account()
    for _ in range(2):  # what is done first is told at once
        with transaction() as one_connection, transaction() as other:
            for conn in (one_connection, other):
                for _ in range(500):
                    conn.execute("select count(*) from users")

    def look(conn: Connection[object]) -> None:
        conn.execute("select 1")
        rows("select pg_stat_force_next_flush()")  # the other one happens to tell just now

    assert pages(look) < 50
