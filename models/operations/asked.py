"""How providers answered lately, by the attempts of the newest jobs."""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from models.operations.finding import id_at

MAX_ATTEMPTS = 20_000


class ProviderFigures(NamedTuple):
    """Of one provider: calls that were begun, how many failed, seconds of half of those that brought a result, what they cost."""

    provider: str
    calls: int
    failed: int
    median_seconds: float | None
    cost_usd_micros: int
    last_error: str | None


def provider_figures(conn: Connection[Any], since: datetime) -> list[ProviderFigures]:
    """Of the jobs ordered since then; of these, the newest twenty thousand attempts."""
    rows = conn.execute(
        f"""select provider, count(*), count(*) filter (where phase in ('failed', 'abandoned')),
                   percentile_cont(0.5) within group (order by extract(epoch from ended_at - started_at))
                     filter (where phase = 'done'),
                   coalesce(sum(cost_usd_micros), 0)::bigint,
                   (array_agg(error_code order by job_id desc) filter (where error_code is not null))[1]
              from (select * from attempts where job_id >= %s order by job_id desc limit {MAX_ATTEMPTS}) a
             group by provider order by provider""",
        [id_at(since)],
    ).fetchall()
    return [
        ProviderFigures(row[0], row[1], row[2], None if row[3] is None else float(row[3]), row[4], row[5])
        for row in rows
    ]
