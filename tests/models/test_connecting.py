"""Connections get their settings wherever they lead: straight, by a Unix socket, past a pooler of any kind."""

import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from common.errors import Busy, DatabaseAway
from models import connecting, db
from models.db import apart, certain, patience, session, single, transaction, transaction_on
from models.schema import migrations, prepare
from tests.conftest import environment
from tests.poolers import needs_pgbouncer, pgbouncer
from tests.proxies import unix_socket
from tests.support import one, rows

WANTED = {
    "enable_seqscan": "off",
    "enable_mergejoin": "off",
    "lock_timeout": "2s",
    "statement_timeout": "10s",
    "TimeZone": "UTC",
}
# PgBouncer refuses `options`, or passes them over; and a pool by sessions is taken like one by transactions.
KINDS = [("transaction", ""), ("transaction", "options"), ("session", ""), ("session", "options")]


@contextmanager
def behind(url: str, kind: tuple[str, str], more: str = "") -> Iterator[None]:
    with (
        pgbouncer(url, mode=kind[0], ignores=kind[1], size=3 if kind[0] == "transaction" else 30) as through,
        environment({"DATABASE_URL": through + more}),
    ):
        yield


def shown() -> dict[str, str]:
    return {name: one(f"show {name}")[0] for name in WANTED}


@pytest.fixture(params=KINDS, ids=["-".join(filter(None, kind)) for kind in KINDS])
def pooled(request: pytest.FixtureRequest, database: str) -> Iterator[str]:
    with behind(database, request.param):
        yield database


@needs_pgbouncer
def test_each_transaction_behind_a_pooler_has_its_settings_and_leaves_none(pooled: str) -> None:
    assert shown() == WANTED
    with session() as opened:
        assert opened.connection().exec_driver_sql("show statement_timeout").scalar() == "10s"
        assert opened.connection().exec_driver_sql("show enable_hashjoin").scalar() == "off"
    with single() as conn:
        assert conn.execute("show statement_timeout").fetchone() == ("10s",)
    with certain() as conn:
        assert conn.execute("show lock_timeout").fetchone() == ("2s",)
    with patience(50), transaction() as conn:
        assert conn.execute("show lock_timeout").fetchone() == ("50ms",)
    with apart() as conn, transaction_on(conn):
        assert conn.execute("show statement_timeout").fetchone() == ("2s",)
    with psycopg.connect(
        os.environ["DATABASE_URL"], autocommit=True
    ) as stranger:  # who gets the same server process next
        for _ in range(5):
            assert stranger.execute("show enable_seqscan").fetchone() == ("on",)


@needs_pgbouncer
def test_many_threads_share_few_server_processes_and_no_prepared_statement(pooled: str) -> None:
    def work(_: int) -> None:
        for number in range(40):
            with transaction() as conn:
                for _ in range(3):
                    assert conn.execute("select %s::int + 1", [number]).fetchone() == (number + 1,)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [None] * 8


@needs_pgbouncer
def test_a_lock_is_given_up_in_time_behind_a_pooler(pooled: str) -> None:
    with psycopg.connect(pooled) as holder:
        holder.execute("lock table plans")
        with patience(30), pytest.raises(Busy), transaction() as conn:
            conn.execute("select 1 from plans")


@needs_pgbouncer
def test_nobody_waits_for_ever_where_all_server_processes_are_taken(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "FREE_SECONDS", 0.3)
    with pgbouncer(database, size=1) as through, environment({"DATABASE_URL": through}):
        with transaction() as conn:
            conn.execute("select 1")
            with pytest.raises(DatabaseAway), transaction():
                pass
        assert one("select 1") == (1,)


@needs_pgbouncer
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_schema_is_made_and_compared_behind_a_pooler(database: str, kind: tuple[str, str]) -> None:
    with behind(database, kind):
        migrations.downgrade()
        prepare.prepare()
        assert migrations.differences() == []


def test_the_server_looks_soon_whether_we_are_still_there(database: str) -> None:
    """Else a host that lost its power keeps its sessions for two hours: `python -m tests.hosts` has the whole of it."""
    assert [one(f"show {name}")[0] for name in connecting.OF_SERVER] == ["10", "5", "3", "15000"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other names for these")
def test_we_look_soon_whether_the_server_is_still_there(database: str) -> None:
    """Else whoever waits for an answer as it loses its power hangs for half a minute, though it is back in seconds."""
    names = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT
    with apart() as conn, socket.socket(fileno=os.dup(conn.fileno())) as end:
        assert [end.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [10, 5, 3, 15_000]


@pytest.mark.parametrize(
    "more",
    ["?options=-csearch_path%3Dapp%20-c%20work_mem%3D5MB", "?search_path=app,pg_catalog&options=-c work_mem=5MB"],
)
def test_options_and_a_search_path_are_kept_beside_ours(database: str, more: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("create schema app")
    with environment({"DATABASE_URL": database.replace("postgresql://", "postgresql+psycopg2://") + more}):
        prepare.prepare()
        assert shown() == WANTED
        assert (one("show work_mem"), one("select current_schema()")) == (("5MB",), ("app",))
        assert one("select count(*) from app.plans") == one("select count(*) from plans")
        assert migrations.differences() == []


@needs_pgbouncer
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_search_path_is_kept_behind_a_pooler(database: str, kind: tuple[str, str]) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("create schema app")
    with behind(database, kind, "?search_path=app,pg_catalog&options=-c work_mem=5MB"):
        prepare.prepare()
        assert (one("show work_mem"), one("select current_schema()")) == (("5MB",), ("app",))
        assert rows("select id from app.plans") == rows("select id from plans")


def test_a_database_is_reached_by_its_socket_and_by_any_of_several_hosts(database: str, tmp_path: Path) -> None:
    given = connecting.database_parameters(database)
    who = f"{given['user']}:{given['password']}"
    with unix_socket(tmp_path / ".s.PGSQL.5432", int(given["port"])):
        for address in (
            f"postgresql://{who}@/{given['dbname']}?host={tmp_path}",
            f"postgres://{who}@{str(tmp_path).replace('/', '%2F')}/{given['dbname']}",
            f"host={tmp_path} user={given['user']} password={given['password']} dbname={given['dbname']}",
            f"postgresql://{who}@127.0.0.1:1,127.0.0.1:{given['port']}/{given['dbname']}",
            f"postgresql+psycopg://{who}@/{given['dbname']}?host=127.0.0.1:1&host=127.0.0.1:{given['port']}",
        ):
            with environment({"DATABASE_URL": address}):
                assert one("select current_database()") == (given["dbname"],)
                assert shown() == WANTED


def test_why_there_is_no_connection_is_said_without_the_password(database: str) -> None:
    given = connecting.database_parameters(database)
    for place, why in ((f"127.0.0.1:1/{given['dbname']}", "refused"), (f"127.0.0.1:{given['port']}/none", "none")):
        with environment({"DATABASE_URL": f"postgresql://{given['user']}:{given['password']}@{place}"}):
            with pytest.raises(DatabaseAway, match="check DATABASE_URL") as caught:
                db.reach()
            assert why in str(caught.value)
            assert given["password"] not in str(caught.value)
            assert "\n" not in str(caught.value)
