"""Reports of usage: sums over days, models or labels, read from the quarters of an hour."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from common.errors import InvalidInput
from models.usage.entries import ALL_USAGE

TimeUnit = Literal["hour", "day", "month"]
UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
MAX_SPAN = timedelta(days=400)
MAX_ROWS = 10_000  # of one report
FIRST, LAST = date(2000, 1, 1), date(2200, 1, 1)
SUMS = (
    "succeeded", "failed", "canceled", "credits", "results", "cost_usd_micros", "tokens_in", "tokens_out", "requests",
    "bytes_added", "bytes_removed",
)  # fmt: skip


class Question(NamedTuple):
    """What is asked. `since` to before `until`; `account_id` None: of all accounts together, or of each where `by_account`."""

    since: datetime
    until: datetime
    zone: ZoneInfo
    unit: TimeUnit | None = "day"
    by_model: bool = False
    label: str | None = None  # the name of a label to group by
    account_id: UUID | None = None
    by_account: bool = False


class UsageRow(NamedTuple):
    """One group. What was not grouped by is None, and what belongs to no model or has no such label."""

    begins: datetime | None  # in the zone that was asked for
    account_id: UUID | None
    model: str | None
    label: str | None
    succeeded: int
    failed: int
    canceled: int
    credits: int  # spent, by jobs and of holds
    results: int
    cost_usd_micros: int
    tokens_in: int
    tokens_out: int
    requests: int
    bytes_added: int
    bytes_removed: int


class UsageSheet(NamedTuple):
    """What was used. `storage` says for each row what was kept at its end, where groups are of time alone."""

    rows: list[UsageRow]
    total: UsageRow
    storage: list[int] | None


def span(
    since: date | None, until: date | None, zone: ZoneInfo, today: date, days: int = 30
) -> tuple[datetime, datetime]:
    """The moments at which days begin in a zone: from `since` to before `until`, or the last days, today included.

    Raises InvalidInput for a span that is empty or longer than `MAX_SPAN`.
    """
    for name, day in (("since", since), ("until", until)):
        if day is not None and not FIRST <= day <= LAST:
            raise InvalidInput(f"{name} must be from {FIRST} to {LAST}, not {day}", param=name)
    until = until or max(today, since or today) + timedelta(days=1)
    since = since or until - timedelta(days=days)
    if not timedelta() < until - since <= MAX_SPAN:
        raise InvalidInput(
            f"the span from {since} to before {until} must be longer than nothing and at most {MAX_SPAN.days} days",
            param="since",
        )
    return _midnight(since, zone), _midnight(until, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def report(conn: Connection[Any], asked: Question) -> UsageSheet:
    """Sums of what was used, in the order of time, account, model and label. In one snapshot if the caller's transaction is one.

    Raises InvalidInput where the groups are more than `MAX_ROWS`.
    """
    if asked.account_id is None:
        conn.execute("set local statement_timeout = '60s'")  # operators wait in a place of their own
    # As the session's own: where a name is given, `CET` and three others mean an abbreviation without summer time.
    conn.execute("select set_config('TimeZone', %s, true)", [asked.zone.key])
    values = {
        "since": asked.since, "until": asked.until, "unit": asked.unit, "label": asked.label,
        "account": asked.account_id, "most": MAX_ROWS + 1,
    }  # fmt: skip
    columns = (
        "date_trunc(%(unit)s, at)" if asked.unit else "null",
        "account_id" if asked.by_account else "null",
        "nullif(model_id, '')" if asked.by_model else "null",
        "labels->>%(label)s::text" if asked.label else "null",
    )
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in SUMS)
    where = f"at >= %(since)s and at < %(until)s{' and account_id = %(account)s' if asked.account_id else ''}"
    rows: list[UsageRow] = []
    if grouped := [str(place) for place, column in enumerate(columns, 1) if column != "null"]:
        places = ", ".join(grouped)
        found = conn.execute(
            f"select {', '.join(columns)}, {sums} from {ALL_USAGE} where {where} group by {places} order by {places} limit %(most)s",
            values,
        ).fetchall()
        rows = [_in_zone(UsageRow(*row), asked.zone) for row in found]
    if len(rows) > MAX_ROWS:
        raise InvalidInput(
            f"the report has more than {MAX_ROWS} rows; ask for fewer days, or group by less", param="by"
        )
    total = conn.execute(f"select null, null, null, null, {sums} from {ALL_USAGE} where {where}", values).fetchone()
    assert total is not None  # noqa: S101 - sums of all rows
    is_of_time = asked.unit is not None and asked.account_id is not None and not asked.by_model and not asked.label
    return UsageSheet(rows, UsageRow(*total), _storage(conn, asked, rows) if is_of_time else None)


def _in_zone(row: UsageRow, zone: ZoneInfo) -> UsageRow:
    return row._replace(begins=row.begins.astimezone(zone)) if row.begins else row


def _storage(conn: Connection[Any], asked: Question, rows: Sequence[UsageRow]) -> list[int]:
    """What was kept at the end of each group: what is kept now, less what was added since and more what went."""
    row = conn.execute(
        f"""select a.storage_bytes - coalesce((select sum(bytes_added - bytes_removed) from {ALL_USAGE}
                                               where account_id = a.id and at >= %s), 0)::bigint from accounts a where a.id = %s""",
        [asked.until, asked.account_id],
    ).fetchone()
    kept, found = row[0] if row else 0, list[int]()
    for each in reversed(rows):
        found.append(kept)
        kept -= each.bytes_added - each.bytes_removed
    return found[::-1]


def today(conn: Connection[Any], zone: ZoneInfo) -> date:
    """The day that it is in a zone, by the database's clock."""
    row = conn.execute("select app_now()").fetchone()
    assert row is not None  # noqa: S101 - one row
    now: datetime = row[0]
    return now.astimezone(zone).date()
