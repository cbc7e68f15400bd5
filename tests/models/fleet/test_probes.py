"""A probe writes for real: a database that only answers questions fails it."""

import pytest

from common.errors import Unavailable
from models.db import transaction
from models.fleet.probes import probe
from tests.support import rows

pytestmark = pytest.mark.usefixtures("database")


def test_a_probe_leaves_nothing_behind() -> None:
    for _ in range(3):
        with transaction() as conn:
            probe(conn)
    assert rows("select 1 from probes") == []


def test_a_database_that_takes_no_writes_fails_it() -> None:
    with pytest.raises(Unavailable), transaction() as conn:
        conn.execute("set transaction read only")
        probe(conn)


def test_a_probe_that_finds_its_table_empty_must_find_room() -> None:
    with transaction() as conn:
        conn.execute("truncate probes")
        probe(conn)
        assert conn.execute("select pg_relation_size('probes') > 0").fetchone() == (True,)
