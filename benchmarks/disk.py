"""`python -m benchmarks.disk [JOBS]`: what a job takes on disk, table by table, and what a year of 10 million a month needs.

A database is filled with stored jobs as they really are (a prompt of 300 bytes, three events, one delivery to a webhook, a result with a key of its own), and
each table is measured with its indices. What is kept how long is as by default; with JOB_DAYS too.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg

from benchmarks.filling import fill
from benchmarks.stand import stand
from common.settings import settings
from models.schema.migrations import sizes

JOBS = 200_000
JOBS_A_MONTH = 10_000_000
MONTHS = 12
DAYS_A_MONTH = 30.4
JOB_DAYS = 90  # of the second column
PROMPT = "a harbour at dawn, boats at rest, light over wet stone, long shadows " * 4 + "seen from the mole, on film"
KEY = "results/01a227ad-cefa-704c-8b6f-9cf768f7293a/01a227ad-cf17-75a6-892d-4d0158804b34/1-0-30303030303030303030"
# What is on disk beside: old versions of rows until vacuum has come by, pages that are half full, WAL, a sort.
BESIDE = 1.5

# For how many months what comes into a table stays. Months of events are dropped whole: up to one more than EVENT_DAYS.
_EVENTS = 90 / DAYS_A_MONTH + 1
KEPT: Mapping[str, float] = {
    "jobs": MONTHS, "attempts": MONTHS, "assets": MONTHS, "reservations": MONTHS, "reservation_grants": MONTHS,
    "ledger_entries": MONTHS, "usage": MONTHS, "events": _EVENTS, "deliveries": _EVENTS, "idempotency_keys": 1 / DAYS_A_MONTH,
}  # fmt: skip
WITH_THE_JOB = ("attempts", "assets")  # deleted when it is forgotten

# As the API and the workers write it.
_TOLD = (
    "truncate events, usage",
    """insert into events (account_id, number, type, job_id, data)
       select j.account_id, row_number() over (partition by j.account_id order by j.id, k.nr), k.type, j.id,
              case k.nr when 2 then jsonb_build_object('output', jsonb_build_object('id', s.id, 'index', 0, 'width', 1024, 'height', 1024,
                                      'thumbnail', true, 'media_type', 'image/png', 'size_bytes', 1200000, 'duration_ms', null))
                   when 1 then jsonb_build_object('model', 'bench', 'credits', 1, 'reserved', 12, 'available', 99012)
                   else jsonb_build_object('credits', 1, 'reserved', 12, 'available', 99012) end
         from jobs j join assets s on s.job_id = j.id
        cross join (values (1, 'job.queued'), (2, 'job.output'), (3, 'job.succeeded')) as k(nr, type) order by j.id, k.nr""",
    """insert into deliveries (id, queue_id, account_id, channel, endpoint_id, event_number, event_type, event_at, job_id, data, status,
                               attempts, begun, delivered_at, log)
       select gen_random_uuid(), account_id, account_id, 'webhook', account_id, number, type, created_at, job_id, data, 'delivered', 1, 1, created_at,
              jsonb_build_array(jsonb_build_object('at', created_at, 'url', 'https://example.com/webhooks/headrace', 'status', 200,
                                                   'milliseconds', 84, 'error', null, 'response', 'ok'))
         from events where type = 'job.succeeded' order by job_id""",
    # Where an account orders less than once in a quarter of an hour, each job has a row of its own: there are never more.
    """insert into usage (account_id, at, source, model_id, succeeded, credits, results)
       select id, date_bin('15 min', created_at, 'epoch'), 'job', 'bench', 1, 1, 1 from jobs order by id""",
    """insert into idempotency_keys (account_id, key, body_hash, job_id)
       select account_id, gen_random_uuid()::text, sha256(id::text::bytea), id from jobs""",
)
# What stays of a job's row when it is forgotten, in a table of its own.
_NARROW = """
create temporary table narrow as
select id, null::uuid as account_id, api_key_id, model_id, model_version, '{}'::jsonb as input, queue, retry_of, price_credits, unit,
       quantity_milli, price_numerator, price_denominator, null::jsonb as webhook, labels, created_at, live_id, ended, ended_at, started_at,
       resolution, charged_credits, overrun_credits, attempts, error_code, null::text as error_message, ended_at as input_erased_at,
       account_id as past_account_id,
       '{"results": 1, "attempts": 1, "cost_usd_micros": 0, "unknown_costs": 1, "tokens_in": 0, "tokens_out": 0}'::jsonb as remains
  from jobs"""


class Held(NamedTuple):
    """A table: bytes of a job in it, with its indices, and what of that stays when the job is forgotten."""

    table: str
    per_job: float
    forgotten: float


def stored(held: Held, job_months: float) -> float:
    """Bytes after a year, where jobs are forgotten after so many months. Pure."""
    months = KEPT[held.table]
    whole = min(months, job_months)
    return JOBS_A_MONTH * (held.per_job * whole + held.forgotten * (months - whole))


def look_at(count: int) -> list[Held]:
    """Fill a database with so many jobs, and measure its tables."""
    with stand() as place:
        place.fresh()
        fill(count, prompt=PROMPT, key=KEY)
        with psycopg.connect(settings().database_url) as conn:
            conn.execute("set session_replication_role = replica")
            for statement in _TOLD:
                conn.execute(statement)
        with psycopg.connect(settings().database_url, autocommit=True) as conn:
            conn.execute("vacuum analyze")
            conn.execute(_NARROW)
            row = conn.execute("select pg_table_size('jobs') - pg_table_size('narrow')").fetchone()
            assert row is not None
        found = sizes(KEPT)
    return [Held(name, found[name] / count, _forgotten(name, found[name], row[0]) / count) for name in KEPT]


def _forgotten(table: str, size: int, goes_of_jobs: int) -> int:
    if table in WITH_THE_JOB:
        return 0
    return size - goes_of_jobs if table == "jobs" else size


def lines(found: list[Held], count: int) -> Iterator[str]:
    """The table, in 80 columns."""
    yield f"{count:,} jobs stored; a year at {JOBS_A_MONTH:,} a month, in GB"
    yield f"{'table':<22}{'bytes a job':>12}{'stays, months':>15}{'jobs for ever':>15}{f'JOB_DAYS={JOB_DAYS}':>15}"
    ways = (float(MONTHS), JOB_DAYS / DAYS_A_MONTH)
    for each in found:
        kept = f"{KEPT[each.table]:.0f}" if KEPT[each.table] >= 1 else "a day"
        sums = "".join(f"{stored(each, way) / 1e9:>15,.1f}" for way in ways)
        yield f"{each.table:<22}{each.per_job:>12,.0f}{kept:>15}{sums}"
    totals = [sum(stored(each, way) for each in found) / 1e9 for way in ways]
    yield f"{'all':<22}{sum(each.per_job for each in found):>12,.0f}{'':>15}" + "".join(
        f"{each:>15,.0f}" for each in totals
    )
    yield f"{f'disk, {BESIDE:g} times that':<49}" + "".join(f"{each * BESIDE:>15,.0f}" for each in totals)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    for line in lines(look_at(wanted), wanted):
        print(line)
