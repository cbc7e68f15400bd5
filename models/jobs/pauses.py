"""Pauses: what operators hold back for a while. What runs goes on; what waits keeps its place, and loses nothing.

Dispatch passes over what is paused where it stands (dispatch_account_v3.sql), so that a long line costs nothing to pause or to
resume. Only jobs that have their slot already, at most as many as their account has, are put back into the line, each by
the worker that was to begin it. Submits and workers know what is paused as of a second ago (`seen`).
"""

import time
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, SmallInteger, Text, Uuid
from sqlmodel import Field, SQLModel

from common.errors import InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue.providers import BUILT_IN
from models.columns import UTC_TIME, created_at, in_list
from models.jobs.dispatch import Ring, dispatch
from models.jobs.tables import QUEUES
from models.locks import lock_account

KINDS = ("queue", "model", "provider", "account")
MAX_PAUSES = 100  # each dispatch looks at them
USUAL_SECONDS = 3600
MAX_SECONDS = 7 * 24 * 3600
LOOK_SECONDS = 1.0
LATE_SECONDS = 5.0  # a submit that waited for its account's lock may take a pause to be on for so long after its end
LOCK = 727277
WAITS = "paused"  # the first word of why a job waits whose providers are all paused (workers.calls.routing)


class Pause(SQLModel, table=True):
    """One thing that is paused until a time. Once that has come, a duty dispatches what waited, account by account, and deletes
    the row: so the table, which every dispatch looks at, is empty as a rule.
    """

    __tablename__ = "pauses"
    __table_args__ = (CheckConstraint(in_list("what", *KINDS), name="what"),)

    what: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(primary_key=True, sa_type=Text)
    until: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    reason: str = Field(sa_type=Text, nullable=False)
    actor: str = Field(sa_type=Text, nullable=False)
    created_at: datetime = created_at()
    place: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)  # accounts up to this have been dispatched
    passes: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})


class PauseRow(NamedTuple):
    """A pause as operators see it."""

    what: str
    name: str
    until: datetime
    reason: str
    actor: str
    created_at: datetime


class Paused(NamedTuple):
    """What is paused. `models` are also those whose every provider is."""

    queues: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    accounts: frozenset[UUID] = frozenset()

    def holds(self, account_id: UUID, queue: str, model_id: str) -> str | None:
        """Why such a job waits: the kind of what is paused; None: it need not."""
        if account_id in self.accounts:
            return "account"
        if queue in self.queues:
            return "queue"
        return "model" if model_id in self.models else None


NOTHING = Paused()
_seen: tuple[float, Paused] = (float("-inf"), NOTHING)


def seen(conn: Connection[Any]) -> Paused:
    """What is paused, as of a second ago at most."""
    global _seen  # noqa: PLW0603 - one view per process
    if time.monotonic() - _seen[0] >= LOOK_SECONDS:
        row = conn.execute("select queues, models, providers, accounts from paused_now_v1()").fetchone()
        assert row is not None  # noqa: S101 - a function's one row
        _seen = time.monotonic(), NOTHING if row == (None,) * 4 else Paused(*(frozenset(each or ()) for each in row))
    return _seen[1]


def last_seen() -> Paused:
    """The same without a look: what this process saw last."""
    return _seen[1]


def forget_seen() -> None:
    """Look anew at the next question: something was changed here."""
    global _seen  # noqa: PLW0603 - as above
    _seen = (float("-inf"), NOTHING)


def pause(
    conn: Connection[Any], by: By, what: str, name: str, reason: str, *, seconds: float = USUAL_SECONDS
) -> PauseRow:
    """Hold something back for so long; what is paused already gets this time and reason. Raises NotFound, InvalidInput."""
    if not 1 <= seconds <= MAX_SECONDS:
        raise InvalidInput(f"a pause has 1 to {MAX_SECONDS} seconds, not {seconds:g}", param="seconds")
    name = _known(conn, what, name)
    conn.execute("select pg_advisory_xact_lock(%s)", [LOCK])  # or a hundred who pause at once are none too many
    count = conn.execute("select count(*) from pauses where (what, name) <> (%s, %s)", [what, name]).fetchone()
    if count and count[0] >= MAX_PAUSES:
        raise InvalidInput(f"{MAX_PAUSES} things are paused already; resume one first", param="name")
    row = conn.execute(
        f"""insert into pauses (what, name, until, reason, actor)
            values (%s, %s, app_now() + make_interval(secs => %s), %s, %s)
            on conflict (what, name) do update set until = excluded.until, reason = excluded.reason, actor = excluded.actor,
                                                   place = null, passes = 0
            returning {_SHOWN}""",
        [what, name, seconds, reason, by.actor],
    ).fetchone()
    assert row is not None  # noqa: S101 - it was written
    audit_log.record(conn, by, "pause", f"{what}:{name}", until=row[2], reason=reason)
    forget_seen()
    return PauseRow(*row)


_SHOWN = ", ".join(PauseRow._fields)


def resume(conn: Connection[Any], by: By, what: str, name: str, reason: str) -> PauseRow:
    """End a pause now; what waited is dispatched soon, by a duty. Raises NotFound where it is not paused."""
    row = conn.execute(
        f"""update pauses set until = app_now() where what = %s and name = %s and until > app_now() returning {_SHOWN}""",
        [what, name],
    ).fetchone()
    if row is None:
        raise NotFound(f"{what} {name[:100]!r} is not paused", param="name")
    audit_log.record(conn, by, "resume", f"{what}:{name}", reason=reason)
    forget_seen()
    return PauseRow(*row)


def list_pauses(conn: Connection[Any]) -> list[PauseRow]:
    """What is paused now, the longest first; at most MAX_PAUSES."""
    rows = conn.execute(
        f"select {_SHOWN} from pauses where until > app_now() order by until desc, what, name"
    ).fetchall()
    return [PauseRow(*row) for row in rows]


def _known(conn: Connection[Any], what: str, name: str) -> str:
    """The name of something that there is. Raises NotFound, InvalidInput."""
    if what not in KINDS:
        raise InvalidInput(f"what is one of {', '.join(KINDS)}", param="what")
    if what == "account":
        try:
            account_id = UUID(name)
        except ValueError:
            raise NotFound(f"no account {name[:40]!r}", param="name") from None
        there = conn.execute("select 1 from accounts where id = %s", [account_id]).fetchone()
        name = str(account_id)
    elif what == "model":
        there = conn.execute("select 1 from models where id = %s limit 1", [name]).fetchone()
    elif what == "provider":
        there = (1,) if name == BUILT_IN else conn.execute("select 1 from providers where name = %s", [name]).fetchone()
    else:
        there = (1,) if name in QUEUES else None
    if there is None:
        raise NotFound(f"no {what} {name[:100]!r}", param="name")
    return name


# Whether a queued job (`r`) may not be begun (`p`: what is paused now).
_HELD = """(r.queue = any(coalesce(p.queues, '{}')) or r.model_id = any(coalesce(p.models, '{}'))
            or r.account_id = any(coalesce(p.accounts, '{}')))"""


def waits(conn: Connection[Any], job_id: UUID) -> bool:
    """Whether a job that has a slot, and that no worker has begun, is to wait."""
    row = conn.execute(
        f"""select 1 from job_runs r, paused_now_v1() p where r.job_id = %s and r.status = 'queued' and r.dispatched
              and {_HELD}""",
        [job_id],
    ).fetchone()
    return row is not None


def shelve(conn: Connection[Any], job_id: UUID) -> list[Ring]:
    """Put such a job back to its place in its account's line, and give its slot to another. Returns the jobs to ring."""
    owner = conn.execute("select account_id from job_runs where job_id = %s", [job_id]).fetchone()
    if owner is None or not lock_account(conn, owner[0]):
        return []
    shelved = conn.execute(
        f"""update job_runs r set dispatched = false, wake_at = null, rings = 0 from paused_now_v1() p
             where r.job_id = %s and r.status = 'queued' and r.dispatched and {_HELD}""",
        [job_id],
    ).rowcount
    if not shelved:
        return []
    conn.execute("update accounts set slots_in_use = slots_in_use - 1 where id = %s", [owner[0]])
    return dispatch(conn, owner[0])


# The end of a pause


class EndedPause(NamedTuple):
    """A pause that is over, and whose jobs have yet to be dispatched: at once, and once more for those that were submitted
    by whoever had not heard of its end.
    """

    what: str
    name: str
    place: UUID | None
    passes: int
    seconds: float  # how long it lasted


def ended_pauses(conn: Connection[Any]) -> list[EndedPause]:
    """The pauses whose time is over and whose turn it is, in the order in which they ended."""
    rows = conn.execute(
        """select what, name, place, passes, extract(epoch from until - created_at)::float from pauses
            where until <= app_now() - make_interval(secs => case passes when 0 then 0 else %s end)
            order by passes, until, what, name""",
        [LATE_SECONDS],
    ).fetchall()
    return [EndedPause(*row) for row in rows]


def waiting_accounts(conn: Connection[Any], ended: EndedPause, limit: int) -> list[UUID]:
    """The next accounts with jobs in a line, after those that have been dispatched. One probe of an index for each."""
    if ended.what == "account":
        return [UUID(ended.name)] if ended.place is None else []
    rows = conn.execute(
        """with recursive w as (
             (select account_id from job_runs where not dispatched and account_id > %(after)s order by account_id limit 1)
             union all
             select (select r.account_id from job_runs r where not r.dispatched and r.account_id > w.account_id
                      order by r.account_id limit 1) from w where w.account_id is not null)
           select account_id from w where account_id is not null limit %(limit)s""",
        {"after": ended.place or UUID(int=0), "limit": limit},
    ).fetchall()
    return [row[0] for row in rows]


# Which of an account's jobs a pause held back.
_WAITED = {
    "queue": "r.queue = %(name)s",
    "model": "r.model_id = %(name)s",
    "provider": """r.model_id in (select m.id from models m where m.current
                    and m.entry->'routes' @> jsonb_build_array(jsonb_build_object('provider', %(name)s::text)))""",
    "account": "true",
}


def release(conn: Connection[Any], ended: EndedPause, account_id: UUID) -> list[Ring]:
    """Dispatch an account, whose lock the caller holds, after a pause. A job whose time limit was running while it waited gets as
    much time as the pause was long. Returns the jobs to ring.
    """
    if not pass_over(conn, ended, account_id):  # paused again, or done by another scheduler
        return []
    values = {"account": account_id, "name": ended.name, "seconds": ended.seconds}
    if ended.passes == 0:
        conn.execute(
            f"""update job_runs r set deadline_at = r.deadline_at + make_interval(secs => %(seconds)s)
                 where r.account_id = %(account)s and not r.dispatched and r.deadline_at is not null and {_WAITED[ended.what]}""",
            values,
        )
    conn.execute(
        f"""update job_runs set wake_at = null, held_back = false
             where account_id = %(account)s and held_back and not dispatched and reason like '{WAITS}: %%'""",
        values,
    )
    return dispatch(conn, account_id)


def pass_over(conn: Connection[Any], ended: EndedPause, account_id: UUID) -> bool:
    """Accounts up to this one have been dispatched, or cannot be now. False: more have been, or it was paused again."""
    return bool(
        conn.execute(
            """update pauses set place = %(account)s where what = %(what)s and name = %(name)s and passes = %(passes)s
                  and until <= app_now() and (place is null or place < %(account)s)""",
            {"account": account_id, "what": ended.what, "name": ended.name, "passes": ended.passes},
        ).rowcount
    )


def finish(conn: Connection[Any], ended: EndedPause) -> None:
    """All that waited has been dispatched: forget the pause, after the second time. Nothing, where it was paused again."""
    values = {"what": ended.what, "name": ended.name, "passes": ended.passes}
    which = "what = %(what)s and name = %(name)s and passes = %(passes)s and until <= app_now()"
    if ended.passes:
        conn.execute(f"delete from pauses where {which}", values)
    else:
        conn.execute(f"update pauses set passes = 1, place = null where {which}", values)
