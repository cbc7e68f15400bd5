"""What a pooler in transaction mode costs, and the ways to give each transaction its settings there.

One thread submits one order after another by the verb itself: no HTTP, no Redis. `straight` has its settings as options
of the session and prepared statements; behind PgBouncer the settings go with BEGIN (what we do), or are defaults of the
role (`alter role`, which saves their text and changes every other session of that role as well).
"""

import os
import time
from collections.abc import Callable
from statistics import median
from unittest.mock import patch
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from benchmarks.stand import Report, Stand
from common.settings import settings
from models import connecting, db
from models.catalogue import entries
from models.connecting import Linked
from models.db import single, transaction
from models.jobs import submit
from models.jobs.admission import Order
from tests.poolers import pgbouncer

ROUNDS, SECONDS = 5, 1.5
STRAIGHT, OURS, ROLE = "straight", "behind PgBouncer", "behind PgBouncer, settings of the role"


def measure(place: Stand, report: Report) -> None:
    """Submits, and transactions of one statement, a second, the median of rounds that take turns."""
    place.fresh()
    url = settings().database_url
    with pgbouncer(url) as through:
        ways = {STRAIGHT: (url, False), OURS: (through, False), ROLE: (through, True)}
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS):
            for way, (address, role) in ways.items():
                for what, rate in _rates(address, role=role).items():
                    found.setdefault((what, way), []).append(rate)
    for (what, way), rates in found.items():
        base = median(found[what, STRAIGHT])
        report.add(
            f"{what}, {way}", median(rates), "1/s", ratio=None if way == STRAIGHT else median(rates) / base, to=STRAIGHT
        )


def _rates(address: str, *, role: bool) -> dict[str, float]:
    os.environ["DATABASE_URL"] = address
    settings.cache_clear()
    db.close()
    if not role:
        return _run()
    names = {**connecting.PLANS, "lock_timeout": "2s", "statement_timeout": "10s", "timezone": "UTC"}
    _alter([f"alter role current_user set {name} = '{value}'" for name, value in names.items()])
    try:
        with patch.object(Linked, "begin", lambda self, **_: self.pgconn.exec_(b"begin")):
            return _run()
    finally:
        db.close()
        _alter(["alter role current_user reset all"])


def _alter(statements: list[str]) -> None:
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())
        # A role's defaults are those of new sessions: PgBouncer's old ones must end.
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename = user"
        )
    time.sleep(0.5)


def _run() -> dict[str, float]:
    with transaction() as conn:
        accounts: list[UUID] = [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]
        offer = entries.offers(conn)["bench"]

    def submits(count: int) -> Callable[[int], None]:
        def act(number: int) -> None:
            orders = [
                Order(uuid7(), accounts[(number + each) % len(accounts)], offer, {"prompt": "x"})
                for each in range(count)
            ]
            with transaction() as conn:
                submit.submit(conn, orders, wait=True)

        return act

    def alone(number: int) -> None:
        with single() as conn:
            conn.execute("select available from accounts where id = %s", [accounts[number % len(accounts)]])

    return {"one submit": _rate(submits(1)), "16 submits together": _rate(submits(16)), "one statement": _rate(alone)}


def _rate(act: Callable[[int], None]) -> float:
    for number in range(20):
        act(number)
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < SECONDS:
        act(count)
        count += 1
    return count / (time.monotonic() - begun)
