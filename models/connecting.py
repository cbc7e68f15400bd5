"""How a connection to PostgreSQL is made, and how each of them gets the settings that ours need.

The settings go as options of the session, which cost nothing afterwards. Where a pooler stands between (PgBouncer,
Odyssey, RDS Proxy, ...) a session is nobody's: it refuses options, or forgets them, and the next transaction is another
server process's. That is noticed at each new connection; the settings then go with each BEGIN, in the same round trip,
and no statement is prepared.
"""

import logging
import re
import select
import time
from collections.abc import Mapping
from typing import Any, Self

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.pq import ExecStatus

from common.errors import DatabaseAway
from common.places import database_parameters, session_settings
from common.settings import settings

log = logging.getLogger(__name__)

# No sequential scans: a plan that is made while a table is small, those of foreign keys' own checks included, stays
# in the session's cache while the table grows (measured: 50 submits a second instead of 650). Every hot statement
# has its index; the audit, which reads everything, switches them on again. No hash or merge joins either: of a batch
# of submissions they would scan the index of all accounts and all grants, because both were few when it was planned.
PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
# A server that lost its power says nothing, for ever, to whoever waits for its answer; the kernel looks after 10 s, as long as
# a statement may take, and is sure 15 s later. What it has not even received is given up after as long.
ALWAYS = {
    "connect_timeout": "5", "application_name": "headrace", "keepalives_idle": "10", "keepalives_interval": "5",
    "keepalives_count": "3", "tcp_user_timeout": "15000",
}  # fmt: skip
# The server's own look at whether this host is still there. By its kernel's default it looks after two hours: until then a
# host that lost its power, or its way, keeps all of its sessions, and each that comes up in its place asks for as many.
OF_SERVER = {
    "tcp_keepalives_idle": ALWAYS["keepalives_idle"], "tcp_keepalives_interval": ALWAYS["keepalives_interval"],
    "tcp_keepalives_count": ALWAYS["keepalives_count"], "tcp_user_timeout": ALWAYS["tcp_user_timeout"],
}  # fmt: skip
# PgBouncer: "unsupported startup parameter: options"; RDS Proxy: "currently doesn't support command-line options".
_REFUSED = re.compile(r"startup parameter|command-line options|options.{0,40}not supported", re.IGNORECASE)
_IDLE_SECONDS = "15s"
WHY_CHARACTERS = 300
FREE_SECONDS = 5.0  # as long as a connection is waited for where there is no pooler

_told = False


class Linked(Connection[Any]):
    """A connection that knows whether a pooler stands between, and with which settings a transaction is begun then."""

    behind_pooler = False
    wanted: Mapping[str, str]

    @classmethod
    def connect(  # type: ignore[override]  # `wanted` is for us, what else there is for libpq
        cls, conninfo: str = "", *, wanted: Mapping[str, str] | None = None, address: str | None = None, **kwargs: Any
    ) -> Self:
        """As psycopg's, with these settings of the session; to the primary if there is no address. Raises psycopg's errors."""
        given = database_parameters(address or settings().database_url)
        own = session_settings(given.pop("options", ""))  # such as search_path
        wanted = {**own, **(wanted or {})}
        info = make_conninfo(conninfo, **{**ALWAYS, **given})
        conn = cls._made(info, wanted, kwargs)
        conn.wanted = wanted
        conn.prepare_threshold = (
            None if conn.behind_pooler else 1
        )  # the hot statements are few and long: plan them once
        return conn

    @classmethod
    def _made(cls, info: str, wanted: Mapping[str, str], kwargs: dict[str, Any]) -> Self:
        if settings().database_pooler != "transaction":
            try:
                # Not among `wanted`: behind a pooler the server's other end is the pooler, and none of ours to look at.
                conn = super().connect(make_conninfo(info, options=_options({**OF_SERVER, **wanted})), **kwargs)
            except psycopg.OperationalError as error:
                if settings().database_pooler == "none" or not _REFUSED.search(str(error)):
                    raise
                _tell("it refuses options")
            else:
                if settings().database_pooler == "none" or not (why := conn.what_is_between()):
                    return conn
                _tell(why)
                conn.behind_pooler = True
                return conn
        conn = super().connect(info, **kwargs)
        conn.behind_pooler = True
        return conn

    def what_is_between(self) -> str | None:
        """What tells of a pooler: options that were not heard, or another process than the one that answered first."""
        before = self.autocommit
        self.autocommit = True
        row = self.execute("select current_setting('app.clock_offset', true), pg_backend_pid()").fetchone()
        self.autocommit = before
        assert row is not None  # noqa: S101 - one row
        if not row[0]:
            return "it does not hand options on"
        return "other processes answer than the one that was connected to" if row[1] != self.info.backend_pid else None

    def begin(self, **more: str) -> None:
        """Behind a pooler, begin a transaction with its settings, in one round trip. Raises psycopg's errors.

        By libpq itself: psycopg would send a BEGIN of its own before it, and wait for ever where all of the pooler's server
        processes are taken.
        """
        why = f"the pooler has had no server process free for {FREE_SECONDS:.0f} s"
        self.ask(f"begin; {local({**self.wanted, **more})}", time.monotonic() + FREE_SECONDS, why)

    def ask(self, text: str, end: float, why: str) -> bytes | None:
        """Send a short text, and wait for its answer until `end` at most. Gives the first value of the last row. Raises psycopg's
        errors; one that says `why` when it was waited for in vain, and then the connection is at its end.
        """
        self.pgconn.send_query(text.encode())
        self.pgconn.flush()  # it fits into any socket's buffer
        waiting, found = select.poll(), None
        waiting.register(self.fileno(), select.POLLIN)
        while True:
            if not self.pgconn.is_busy():
                if (result := self.pgconn.get_result()) is None:
                    return found
                if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
                    raise psycopg.errors.error_from_result(result)
                found = result.get_value(0, 0) if result.ntuples else None
            elif not waiting.poll(max(0.0, end - time.monotonic()) * 1000):
                self.pgconn.finish()
                raise psycopg.OperationalError(why)
            else:
                self.pgconn.consume_input()


def connect(chosen: Mapping[str, str], replica: str | None = None, **kwargs: Any) -> Linked:
    """A connection with these settings. Raises DatabaseAway, which says why there is none and what to look at."""
    try:
        return Linked.connect(wanted=chosen, address=replica, **kwargs)
    except psycopg.OperationalError as error:
        why = " ".join(str(error).split())[:WHY_CHARACTERS]  # libpq's words hold no password
        name = "DATABASE_URL" if replica is None else "DATABASE_REPLICA_URL"
        raise DatabaseAway(f"the database cannot be reached, check {name}: {why}") from error


def wanted(*, lock_timeout: str, statement_timeout: str, plans: Mapping[str, str] = PLANS) -> dict[str, str]:
    """The settings of a session of ours."""
    return {
        **plans, "lock_timeout": lock_timeout, "statement_timeout": statement_timeout,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS, "timezone": "UTC",
        "app.clock_offset": f"{settings().clock_offset_seconds}s",
    }  # fmt: skip


def local(chosen: Mapping[str, str]) -> str:
    """Statements that make these the settings of one transaction."""
    return "; ".join(f"set local {name} = {_value(name, value)}" for name, value in chosen.items())


def _value(name: str, value: str) -> str:
    # A list of names: one text between quotes would be one name.
    values = [each.strip().strip('"') for each in value.split(",")] if name.lower() == "search_path" else [value]
    return ", ".join("'" + each.replace("'", "''") + "'" for each in values)


def _options(chosen: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}=" + re.sub(r"([\\\s])", r"\\\1", value) for name, value in chosen.items())


def _tell(why: str) -> None:
    global _told  # noqa: PLW0603 - once per process
    if not _told:
        _told = True
        log.warning(
            "a pooler stands before the database (%s): settings go with each transaction, and no statement is prepared; "
            "DATABASE_POOLER=transaction says so at once", why,
        )  # fmt: skip
