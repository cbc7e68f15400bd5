"""Jobs of all accounts, found by what an operator knows of them.

However many jobs are stored, one look reads so many (LOOKED_AT): those that an index leads to, newest first, and of these it
keeps what fits the rest of the filter. Where more lie behind them, the page says where it goes on, even if it is empty.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from common.labels import label_of
from models.jobs.states import RunStatus

LOOKED_AT = 10_000
MAX_TEXT = 100

FoundStatus = Literal["queued", "running", "reconciling", "succeeded", "failed", "canceled"]
Code = Annotated[str, Field(min_length=1, max_length=100)]


def _label(text: str | None) -> str | None:
    if text is not None:
        label_of(text)
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar in UTC") from None


Time = Annotated[datetime, AfterValidator(_in_utc), Field(description="Without an offset: UTC.")]


class JobFilter(BaseModel):
    """What the jobs have in common; what is left out may be anything. Times are those at which they were ordered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_id: UUID | None = None
    status: Annotated[FoundStatus | None, Field(description="As operators see it: `reconciling` apart.")] = None
    model: Code | None = None
    queue: Literal["interactive", "batch"] | None = None
    label: Annotated[
        str | None, Field(max_length=100, description="name:value, such as customer:acme."), AfterValidator(_label)
    ] = None
    error: Annotated[Code | None, Field(description="The code that the job, or one of its attempts, failed with.")] = (
        None
    )
    provider: Annotated[Code | None, Field(description="One of its attempts was there.")] = None
    since: Time | None = None
    until: Time | None = None
    text: Annotated[
        str | None,
        Field(min_length=1, max_length=MAX_TEXT, description="In its input, its error, or as a provider's id of it."),
    ] = None


class FoundJob(NamedTuple):
    """A job as operators find it."""

    id: UUID
    account_id: UUID
    model: str
    queue: str
    status: str
    reserved: int
    charged: int | None
    attempts: int
    provider: str | None  # of its newest attempt
    error: str | None  # in its provider's words, where there are some
    reason: str | None  # why it waits, in the words of its row
    labels: dict[str, str] | None
    created_at: datetime
    ended_at: datetime | None


class Window(NamedTuple):
    """Text and values of a query for jobs' ids, newest first, that an index answers in this order."""

    sql: str
    values: list[Any]


def id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: jobs are found by the times in their ids."""
    milliseconds = max(0, int(moment.astimezone(UTC).timestamp() * 1000))
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62))


def window(wanted: JobFilter, before: UUID | None) -> Window:
    """The jobs to look at. Pure. Only conditions that the index itself answers are in it; what lives of one account is sorted, and
    costs by that.
    """
    lives = wanted.status in set(RunStatus)
    name, where, values = "id", list[str](), list[Any]()
    if lives:
        source, name = "job_runs", "job_id"
        if wanted.status == "reconciling":
            where.append("status = 'reconciling'")
    else:
        source = "jobs"
    if wanted.account_id is not None:
        where.append("account_id = %s")
        values.append(wanted.account_id)
        if wanted.status is not None and not lives:
            where.append("ended = %s")
            values.append(wanted.status)
        elif wanted.model is not None and not lives:
            where.append("model_id = %s")
            values.append(wanted.model)
    elif wanted.status == "failed":
        where.append("ended = 'failed'")
    for bound, compare in (
        (before, "<"),
        (wanted.since and id_at(wanted.since), ">="),
        (wanted.until and id_at(wanted.until), "<"),
    ):
        if bound is not None:
            where.append(f"{name} {compare} %s")
            values.append(bound)
    text = f"select {name} as id from {source} where {' and '.join(where) or 'true'} order by {name} desc"
    return Window(text, values)


def conditions(wanted: JobFilter) -> tuple[str, list[Any]]:
    """What is asked of each job that is looked at. Pure."""
    where, values = ["j.account_id is not null"], list[Any]()  # but those that are forgotten

    def ask(text: str, *of: Any) -> None:
        where.append(text)
        values.extend(of)

    if wanted.status in set(RunStatus):
        ask("r.status = %s", wanted.status)
    elif wanted.status is not None:
        ask("j.ended = %s", wanted.status)
    if wanted.model is not None:
        ask("j.model_id = %s", wanted.model)
    if wanted.queue is not None:
        ask("j.queue = %s", wanted.queue)
    if wanted.label is not None:
        ask("j.labels @> %s", Jsonb(dict([label_of(wanted.label)])))
    if wanted.error is not None:
        ask(
            "(j.error_code = %s or exists (select 1 from attempts x where x.job_id = j.id and x.error_code = %s))",
            wanted.error, wanted.error,
        )  # fmt: skip
    if wanted.provider is not None:
        ask("exists (select 1 from attempts x where x.job_id = j.id and x.provider = %s)", wanted.provider)
    if wanted.text is not None:
        like = "%" + wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        ask(
            """(j.input::text ilike %s or j.error_message ilike %s or exists (select 1 from attempts x where x.job_id = j.id
                and (x.error_message ilike %s or x.provider_job_id = %s)))""",
            like, like, like, wanted.text,
        )  # fmt: skip
    return " and ".join(where), values


def find_jobs(
    conn: Connection[Any], wanted: JobFilter, *, before: UUID | None = None, limit: int = 20
) -> tuple[list[FoundJob], UUID | None]:
    """Jobs that fit, newest first, from the one before `before`; and where to go on, None where that was all."""
    look, (fits, values) = window(wanted, before), conditions(wanted)
    rows = conn.execute(
        f"""select j.id, j.account_id, j.model_id, j.queue, coalesce(j.ended, r.status), j.price_credits, j.charged_credits,
                   coalesce(j.attempts, r.attempts), t.provider,
                   case when j.error_code is not null then coalesce(t.error_code, j.error_code) end, r.reason, j.labels, j.created_at, j.ended_at
              from ({look.sql} limit {LOOKED_AT}) w join jobs j on j.id = w.id left join job_runs r on r.job_id = j.id
              left join attempts t on t.job_id = j.id and t.number = coalesce(j.attempts, r.attempts)
             where {fits} order by w.id desc limit %s""",
        [*look.values, *values, limit + 1],
    ).fetchall()
    found = [FoundJob(*row) for row in rows]
    if len(found) > limit:
        return found[:limit], found[limit - 1].id
    last = conn.execute(f"{look.sql} limit 1 offset {LOOKED_AT - 1}", look.values).fetchone()
    return found, last[0] if last else None
