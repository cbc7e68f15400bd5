"""Reads that a replica may answer see all that was committed before them, wherever they are answered."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from common.errors import NotFound, Unavailable
from common.settings import settings
from models import db
from models.fleet.replicas import caught_up
from tests.conftest import environment
from tests.poolers import needs_pgbouncer, pgbouncer
from tests.standbys import Standby, standby
from tests.support import account, eventually

WAIT = "2"  # long enough for any machine that is busy, where the replica is to catch up


@pytest.fixture
def replica(database: str, tmp_path: Path) -> Iterator[Standby]:
    with standby(database, tmp_path / "standby") as made:
        given = {"DATABASE_REPLICA_URL": made.url(database), "DATABASE_REPLICA_WAIT_SECONDS": WAIT}
        with environment(given):
            yield made


def asked(statement: str = "select pg_is_in_recovery()", *, snapshot: bool = False) -> object:
    """What a read is answered; by default, whether the replica answers it."""
    with caught_up(snapshot=snapshot) as conn:
        row = conn.execute(statement).fetchone()
    assert row is not None
    return row[0]


def is_there(account_id: UUID, *, snapshot: bool = False) -> object:
    return asked(f"select count(*) = 1 from accounts where id = '{account_id}'", snapshot=snapshot)


def test_without_a_replica_the_primary_is_read(database: str) -> None:
    assert settings().database_replica_url is None
    assert asked() is False
    assert asked(snapshot=True) is False


def test_a_replica_that_has_caught_up_is_read(replica: Standby) -> None:
    for snapshot in (False, True):
        who = account()
        assert is_there(who, snapshot=snapshot)
        assert asked(snapshot=snapshot) is True
    with pytest.raises(Unavailable), caught_up() as conn:
        conn.execute("update accounts set available = available")


@pytest.mark.parametrize("snapshot", [False, True])
def test_what_was_written_is_seen_though_the_replica_lags(replica: Standby, snapshot: bool) -> None:
    assert asked() is True
    replica.pause()
    with environment({"DATABASE_REPLICA_WAIT_SECONDS": "0.05"}):
        who = account()
        assert is_there(who, snapshot=snapshot), "somebody does not see what they have written"
        assert asked() is False, "it is left alone for a while"
    replica.resume()
    eventually(lambda: asked() is True, what="a replica that is read again")


def test_a_read_waits_for_a_replica_that_catches_up_in_time(replica: Standby) -> None:
    assert asked() is True
    replica.pause()
    with environment({"DATABASE_REPLICA_WAIT_SECONDS": "5"}):
        who = account()
        later = threading.Timer(0.3, replica.resume)
        later.start()
        with caught_up() as conn:
            row = conn.execute("select pg_is_in_recovery(), count(*) from accounts where id = %s", [who]).fetchone()
        later.join()
    assert row == (True, 1)


def test_each_of_many_who_write_and_read_sees_their_own(replica: Standby) -> None:
    missed, answered = list[UUID](), list[object]()

    def write_and_read() -> None:
        for number in range(25):
            who = account()
            if not is_there(who, snapshot=number % 2 == 0):
                missed.append(who)
            answered.append(asked())

    threads = [threading.Thread(target=write_and_read) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert missed == []
    assert len(answered) == 100
    assert True in answered


def test_a_replica_that_is_killed_is_missed_by_one_read_at_most(replica: Standby) -> None:
    assert asked() is True
    with pytest.raises(Unavailable), caught_up() as conn:
        replica.kill()
        conn.execute("select 1")
    assert asked() is False
    db.close()  # a process that starts while it is away
    with environment({"DATABASE_REPLICA_WAIT_SECONDS": "0.2"}):
        assert is_there(account()) is True
    replica.start()
    eventually(lambda: asked() is True, seconds=40, what="a replica that is read again")


def test_a_replica_that_hangs_holds_nobody_up(replica: Standby) -> None:
    assert asked() is True
    with replica.hung():
        assert asked() is False
        assert is_there(account()) is True
    eventually(lambda: asked() is True, seconds=40, what="a replica that is read again")


@needs_pgbouncer
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_replica_is_read_behind_a_pooler(replica: Standby, database: str, snapshot: bool) -> None:
    with pgbouncer(replica.url(database)) as through, environment({"DATABASE_REPLICA_URL": through}):
        assert asked("select inet_server_port()", snapshot=snapshot) == replica.port
        assert asked("show statement_timeout", snapshot=snapshot) == "10s"
        assert is_there(account(), snapshot=snapshot)
        replica.pause()
        with environment({"DATABASE_REPLICA_WAIT_SECONDS": "0.1"}):
            assert is_there(account(), snapshot=snapshot)


def test_what_was_promoted_is_no_replica(replica: Standby) -> None:
    assert asked("select inet_server_port()") == replica.port
    replica.promote()
    assert asked("select inet_server_port()") != replica.port, "it has all that the primary has, and is another history"
    who = account()
    with environment({"DATABASE_REPLICA_WAIT_SECONDS": "0.1"}):
        assert is_there(who), "its log is another's by now"


def test_an_error_of_the_reader_s_own_is_its_own(replica: Standby) -> None:
    with pytest.raises(NotFound), caught_up():
        raise NotFound("nothing")
    with pytest.raises(psycopg.errors.UndefinedTable), caught_up() as conn:
        conn.execute("select * from nowhere")
    assert asked() is True


def test_more_readers_than_connections_read_the_primary(replica: Standby) -> None:
    with environment({"DATABASE_POOL_SIZE": "2", "DATABASE_REPLICA_WAIT_SECONDS": "0.3"}):
        eventually(lambda: asked() is True, what="the first connection")
        with caught_up() as first, caught_up() as second, caught_up() as third:
            found = [each.execute("select pg_is_in_recovery()").fetchone() for each in (first, second, third)]
        assert found == [(True,), (True,), (False,)]
        assert asked() is True, "that all were in use is no fault of the replica's"
