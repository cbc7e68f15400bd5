"""/v1/usage and /v1/admin/usage: what was used, by time, model or label, as JSON or CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Day
from api.routes.walled import AdminRoute, WalledRoute
from common import time_zones
from common.errors import InvalidParameter
from common.labels import NAME
from models.access.scopes import Caller
from models.accounts.accounts import user_of_account
from models.fleet.replicas import caught_up
from models.identity.profiles import time_zone_of
from models.usage import report
from models.usage.report import MAX_ROWS, SUMS, UNITS, Question, TimeUnit, UsageSheet

router = PrefixRouter(tags=["usage"], route_class=WalledRoute)
admin_router = PrefixRouter(tags=["usage"], route_class=AdminRoute)

LABEL = "label:"
COST = "cost_usd_micros"


class UsageSums(BaseModel):
    """What was used. A generation counts where it ended, credits where they were spent, by jobs and of holds."""

    succeeded: int
    failed: int
    canceled: int
    credits: int
    results: int
    tokens_in: int
    tokens_out: int
    requests: Annotated[int, Field(description="Of the API; they belong to no model and have no labels.")]
    bytes_added: Annotated[int, Field(description="To the storage: results and uploads.")]
    bytes_removed: int
    cost_usd_micros: Annotated[int | None, Field(description="What providers took; operators alone see it.")] = None


class UsageGroup(UsageSums):
    """One group; what was not grouped by is not there."""

    begins: AwareDatetime | None = None
    account_id: UUID | None = None
    model: str | None = None
    label: Annotated[str | None, Field(description="The value of the label that was grouped by.")] = None
    storage_bytes: Annotated[
        int | None, Field(description="What was kept at its end, where groups are of time alone.")
    ] = None


class UsageTable(BaseModel):
    """Sums from `since` to before `until`, and all of it together."""

    since: AwareDatetime
    until: AwareDatetime
    time_zone: str
    by: list[str]
    rows: Annotated[
        list[UsageGroup],
        Field(
            description=f"In the order of time, model and label; at most {MAX_ROWS}. Groups in which nothing was used are left out."
        ),
    ]
    total: UsageSums


class Grouping(BaseModel):
    """What `by` says."""

    unit: TimeUnit | None = None
    model: bool = False
    account: bool = False
    label: str | None = None


_Since = Annotated[Day | None, Query(description="The first day; without it, 30 days to `until`.")]
_Until = Annotated[Day | None, Query(description="The day before which it ends; without it, today is the last one.")]
_Zone = Annotated[
    str | None,
    Query(
        max_length=time_zones.MAX_NAME,
        description="In which days begin, such as Asia/Jakarta; without it, as you prefer.",
    ),
]
_By = Annotated[
    str, Query(max_length=100, description="Any of hour, day or month; model; label:NAME; by commas. Nothing: one sum.")
]
_Format = Annotated[Literal["json", "csv"], Query(alias="format")]


def grouping_of(text: str, *, accounts: bool = False) -> Grouping:
    """Raises InvalidParameter for what cannot be grouped by, and for what is said twice."""
    found: dict[str, Any] = {}
    for word in [each.strip() for each in text.split(",") if each.strip()]:
        name = "unit" if word in UNITS else "label" if word.startswith(LABEL) else word
        label = word.removeprefix(LABEL)
        if (
            name in found
            or (name == "label" and not NAME.fullmatch(label))
            or name not in {"unit", "label", "model", *(["account"] if accounts else [])}
        ):
            words = "hour, day or month; model; label:NAME" + ("; account" if accounts else "")
            raise InvalidParameter(f"cannot group by {word[:50]!r}: there are {words}, each once", param="by")
        found[name] = word if name == "unit" else label if name == "label" else True
    return Grouping(**found)


@router.get("/v1/usage", response_model=UsageTable, response_model_exclude_unset=True, summary="What you used")
def get_usage(
    who: Annotated[Caller, Depends(needs("read"))],
    since: _Since = None, until: _Until = None, time_zone: _Zone = None, by: _By = "day", format: _Format = "json",  # noqa: A002 - its name for clients
) -> Response:  # fmt: skip
    """Generations by outcome, credits, results, tokens, requests and storage, of whole days in your time zone. A job counts in
    the moment in which it ended, exactly once; requests are counted within some seconds.
    """
    grouping = grouping_of(by)
    with caught_up(snapshot=True) as conn:
        zone = _zone(time_zone_of(conn, who.account_id) if time_zone is None else time_zone)
        asked = _question(conn, grouping, since, until, zone, who.account_id)
        found = report.report(conn, asked)
    return _answer(asked, grouping, found, format, cost=False)


@admin_router.get(
    "/v1/admin/usage", response_model=UsageTable, response_model_exclude_unset=True, summary="What accounts used"
)
def get_usage_of_accounts(
    _who: Annotated[Caller, Depends(needs("admin"))],
    account: Annotated[UUID | None, Query(description="Of one account; without it, of all.")] = None,
    since: _Since = None, until: _Until = None, time_zone: _Zone = None, format: _Format = "json",  # noqa: A002 - as above
    by: Annotated[str, Query(max_length=100, description="Any of hour, day or month; account; model; label:NAME; by commas.")] = "day",
) -> Response:  # fmt: skip
    """The same for operators, with what providers took. The time zone is UTC where none is named."""
    grouping = grouping_of(by, accounts=True)
    with caught_up(snapshot=True) as conn:
        if account is not None:
            user_of_account(conn, account)
        asked = _question(conn, grouping, since, until, _zone("UTC" if time_zone is None else time_zone), account)
        found = report.report(conn, asked)
    return _answer(asked, grouping, found, format, cost=True)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zones.checked(name))
    except ValueError as error:
        raise InvalidParameter(str(error), param="time_zone") from None


def _question(
    conn: Any, grouping: Grouping, since: date | None, until: date | None, zone: ZoneInfo, account: UUID | None
) -> Question:
    begin, end = report.span(since, until, zone, report.today(conn, zone))
    return Question(begin, end, zone, grouping.unit, grouping.model, grouping.label, account, grouping.account)


def columns_of(grouping: Grouping) -> dict[str, str]:
    """The columns that a grouping has, and what `by` calls each."""
    found = {
        "begins": grouping.unit, "account_id": "account" if grouping.account else None, "model": "model" if grouping.model else None,
        "label": LABEL + grouping.label if grouping.label else None,
    }  # fmt: skip
    return {name: word for name, word in found.items() if word}


def json_of(asked: Question, grouping: Grouping, found: UsageSheet, *, cost: bool) -> dict[str, Any]:
    """A report, as GET /v1/usage answers and `headrace usage --json`."""
    sums = _sums(cost=cost)
    return {
        "since": asked.since, "until": asked.until, "time_zone": asked.zone.key, "by": list(columns_of(grouping).values()),
        "rows": _groups(grouping, sums, found),
        "total": {name: getattr(found.total, name) for name in sums},
    }  # fmt: skip


def csv_of(grouping: Grouping, found: UsageSheet, *, cost: bool) -> str:
    """A report as a table with a head."""
    sums, grouped = _sums(cost=cost), columns_of(grouping)
    columns = [*grouped, *(["storage_bytes"] if found.storage is not None else []), *sums]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns if grouped else sums)
    if grouped:
        writer.writerows([_cell(each[column]) for column in columns] for each in _groups(grouping, sums, found))
    else:
        writer.writerow([getattr(found.total, name) for name in sums])
    return text.getvalue()


def _sums(*, cost: bool) -> list[str]:
    return [name for name in SUMS if cost or name != COST]


def _answer(asked: Question, grouping: Grouping, found: UsageSheet, how: str, *, cost: bool) -> Response:
    if how == "csv":
        headers = {"content-disposition": f'attachment; filename="usage-{asked.since:%Y-%m-%d}.csv"'}
        return Response(csv_of(grouping, found, cost=cost), headers=headers, media_type="text/csv")
    return answer(json_of(asked, grouping, found, cost=cost))


def _groups(grouping: Grouping, sums: Sequence[str], found: UsageSheet) -> list[dict[str, Any]]:
    kept = [{}] * len(found.rows) if found.storage is None else [{"storage_bytes": each} for each in found.storage]
    return [
        {
            **{name: getattr(row, name) for name in columns_of(grouping)},
            **more,
            **{name: getattr(row, name) for name in sums},
        }
        for row, more in zip(found.rows, kept, strict=True)
    ]


def _cell(value: Any) -> Any:
    """What a label says must not become a formula in somebody's table."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value
