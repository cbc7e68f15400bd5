"""A database in which much is stored and a long line waits, filled by few statements, and what a call reads of it."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection

from models import db
from models.catalogue.entries import Offer
from models.db import transaction
from tests.models.hands import change
from tests.support import account, eventually, model, one

OTHERS_SHARE = 100  # stored jobs of each account that is only there


class Line(NamedTuple):
    """An account whose slots are in use and in whose line so many wait: first those of a model that is full."""

    account_id: UUID
    waiting: int


class Grown(NamedTuple):
    """Two accounts beside each other that differ in nothing but their lines, in a database with much in it."""

    long: Line
    short: Line
    wide: Offer
    narrow: Offer


SLOTS = 3  # of each of the two


def fill(url: str, *, stored: int, long: int, short: int = 30) -> Grown:
    """Fill a database that was just prepared. What is stored was ended; nobody's rule about rows is switched off but foreign keys and triggers."""
    change("update plans set slots = %s where id = 'free'", SLOTS)
    wide, narrow = model("wide"), model("narrow", slots=1)
    lines = [Line(account(amount=10_000_000), waiting) for waiting in (long, short)]
    with psycopg.connect(url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("set timezone = 'UTC'")
        conn.execute(_OTHERS, {"count": stored // OTHERS_SHARE})
        conn.execute(_STORED, {"count": stored, "share": OTHERS_SHARE, "lines": [each.account_id for each in lines]})
        conn.execute("create temporary table waiting (id uuid, account uuid, model text, priority int) on commit drop")
        for each in lines:
            conn.execute(_WAITING, each._asdict())
        conn.execute("analyze old, waiting")
        for statement in _OLD + _QUEUED:
            conn.execute(statement)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("vacuum analyze")
    return Grown(*lines, wide, narrow)


# Every table that a plan could read too much of has rows; of the two accounts each has two hundred stored jobs.
_OTHERS = """
with n as (select g, uuidv7(make_interval(secs => -3000000 + g)) as id from generate_series(1, %(count)s) g),
u as (insert into users (id, issuer, subject) select id, 'grown', g::text from n)
insert into accounts (id, user_id, plan_id) select id, id, 'free' from n
"""
_STORED = """
create temporary table old on commit drop as
select g, uuidv7(make_interval(secs => -2000000 + g)) as id,
       case when g %% 1000 < 2 then (%(lines)s::uuid[])[g %% 1000 + 1] else a.ids[g / %(share)s + 1] end as account
  from generate_series(0, %(count)s - 1) g, (select array_agg(id order by id) as ids from accounts) a
"""
_OLD = (
    """insert into jobs (id, account_id, model_id, model_version, input, queue, price_credits, unit, quantity_milli,
         price_numerator, price_denominator, ended, ended_at, started_at, resolution, charged_credits, attempts, error_code)
       select id, account, 'wide', 1, '{"prompt": "a harbour at dawn", "seed": 7}', 'interactive', 0, 'job', 1000, 0, 1000,
              case when g % 7000 < 2 then 'failed' else 'succeeded' end, app_now() - interval '9 days', app_now() - interval '9 days', case when g % 7000 < 2 then 'refund' else 'settle' end,
              0, 1, case when g % 7000 < 2 then 'x' end from old""",
    """insert into reservations (job_id, account_id, amount, resolution, settled, refunded, resolved_at)
       select id, account, 0, 'settle', 0, 0, app_now() from old""",
    """insert into attempts (job_id, number, token, provider, route, phase, ended_at)
       select id, 1, 1, 'sketch', 0, 'done', app_now() from old""",
    """insert into events (account_id, number, type, job_id, data)
       select account, row_number() over (partition by account order by g), 'job.succeeded', id, '{}' from old""",
    "update accounts a set event_number = o.count from (select account, count(*) as count from old group by 1) o where a.id = o.account",
)
_WAITING = """
insert into waiting
select uuidv7(make_interval(secs => -100000 + g * 0.1)), %(account_id)s, case when g <= %(waiting)s / 2 then 'narrow' else 'wide' end, 0
  from generate_series(1, %(waiting)s) g
"""
_QUEUED = (
    """insert into jobs (id, account_id, model_id, model_version, input, queue, price_credits, unit, quantity_milli,
         price_numerator, price_denominator)
       select id, account, model, 1, '{"prompt": "a harbour at dawn", "seed": 7}', 'interactive', 1, 'job', 1000, 1000, 1000 from waiting""",
    "insert into reservations (job_id, account_id, amount) select id, account, 1 from waiting",
    """insert into reservation_grants (job_id, grant_id, amount)
       select w.id, g.id, 1 from waiting w join grants g on g.account_id = w.account""",
    """insert into job_runs (job_id, account_id, model_id, queue, priority, dispatched)
       select id, account, model, 'interactive', priority, false from waiting""",
    """update accounts a set available = available - w.count, reserved = reserved + w.count
         from (select account, count(*) as count from waiting group by 1) w where a.id = w.account""",
    """update grants g set remaining = remaining - w.count
         from (select account, count(*) as count from waiting group by 1) w where g.account_id = w.account""",
)

_BLOCKS = """
select coalesce(sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)
                    + coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_read, 0) + coalesce(tidx_blks_hit, 0)), 0)::bigint
  from pg_statio_user_tables"""

_EARLIER = """select count(*) from pg_stat_activity
               where datname = current_database() and application_name = 'headrace' and backend_start < %s"""


def pages(act: Callable[[Connection[Any]], object]) -> int:
    """How many pages of our tables and their indices a call looks at, those of its functions' statements and foreign keys included. Nobody
    else may use the database.
    """
    since = one("select clock_timestamp()")[0]
    db.close()  # each connection tells what it did some seconds later, or when it ends: what was prepared is not of this call
    eventually(lambda: one(_EARLIER, since) == (0,), what="the end of the connections that prepared it")
    before = one(_BLOCKS)[0]
    with transaction() as conn:
        act(conn)
        conn.execute("select pg_stat_force_next_flush()")
    return int(one(_BLOCKS)[0] - before)
