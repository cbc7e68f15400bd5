"""What an account has, what holds it and how it came about; and what was used."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from api.account.site import ACCOUNT_SITE, Looking, account_router
from api.sites.wording import split_of
from api.v1.credits import ENTRIES
from models.credits.reads import expire_and_read_balance, ledger_page, open_grants
from models.db import certain
from models.fleet.replicas import caught_up
from models.identity.profiles import time_zone_of
from models.operations.holders import held_by
from models.usage import report
from models.usage.charts import spent_this_month
from models.usage.report import Question, UsageRow

router = account_router()

PAGE_ENTRIES = 25
SHOWN_GRANTS = 20
USED_DAYS = 30


@router.get("")
def show_balance(page: Looking, request: Request) -> Response:
    """Balance, grants, what is reserved by which job, and a page of the ledger."""
    own, cursor = page.who.account_id, request.query_params.get("cursor")
    before = None if cursor is None else ENTRIES.place_of(cursor)
    with certain() as conn:
        balance = expire_and_read_balance(conn, own)
        grants = open_grants(conn, own, after=None, limit=SHOWN_GRANTS)
        held, month = held_by(conn, own), spent_this_month(conn, own)
        entries = ledger_page(conn, own, before=before, limit=PAGE_ENTRIES + 1)
    more = len(entries) > PAGE_ENTRIES
    return page.show(
        "balance.html", balance=balance, grants=grants, held=held, month=month, split=split_of(balance),
        entries=entries[:PAGE_ENTRIES], newest=ACCOUNT_SITE.root if cursor else None,
        following=ACCOUNT_SITE.link("", cursor=ENTRIES.cursor_of(entries[PAGE_ENTRIES - 1]["id"])) if more else None,
    )  # fmt: skip


class UsedBar(NamedTuple):
    """One row of a table of use: what it is of, and what was used."""

    name: str
    sums: UsageRow


@router.get("/use")
def show_use(page: Looking) -> Response:
    """The last thirty days, by day and by model, in the account's time zone."""
    own = page.who.account_id
    with caught_up(snapshot=True) as conn:
        zone = ZoneInfo(time_zone_of(conn, own))
        begin, end = report.span(None, None, zone, report.today(conn, zone), USED_DAYS)
        by_day = report.report(conn, Question(begin, end, zone, "day", account_id=own))
        by_model = report.report(conn, Question(begin, end, zone, None, by_model=True, account_id=own))
    days = [UsedBar(f"{each.begins.day} {each.begins:%b}" if each.begins else "", each) for each in by_day.rows]
    models = [UsedBar(each.model or "", each) for each in by_model.rows if each.model]
    return page.show(
        "use.html", days=days[::-1], models=sorted(models, key=lambda each: -each.sums.credits), total=by_day.total,
        zone=zone.key, most_day=max((each.sums.credits for each in days), default=0),
        most_model=max((each.sums.credits for each in models), default=0),
    )  # fmt: skip
