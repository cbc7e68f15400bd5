"""`headrace usage`: what accounts used, as a table, as JSON or as CSV."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import typer
from rich import filesize

from api.v1 import usage
from cli.output import JsonFlag, fail, print_json, show
from cli.whose import WAYS, account_named
from common import time_zones
from common.errors import DomainError
from models import db
from models.accounts import accounts
from models.usage import report

app = typer.Typer()
TIMES = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "month": "%Y-%m"}
FIGURES = {
    "succeeded": "done", "failed": "failed", "canceled": "canceled", "credits": "credits", "cost_usd_micros": "cost",
    "tokens_in": "tokens in", "tokens_out": "out", "requests": "requests", "bytes_added": "stored", "bytes_removed": "removed",
}  # fmt: skip
WRITTEN: dict[str, Callable[[int], str]] = {
    "cost_usd_micros": lambda micros: f"${micros / 1e6:,.2f}", "bytes_added": filesize.decimal, "bytes_removed": filesize.decimal,
}  # fmt: skip


@app.command("usage")
def show_usage(
    account_id: Annotated[
        UUID | None,
        typer.Option(
            "--account",
            "-a",
            help=f"Of one account: {WAYS}; without it, of all.",
            parser=account_named,
            metavar="ACCOUNT",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Any of hour, day or month; account; model; label:NAME; with commas.")
    ] = "day",
    since: Annotated[datetime | None, typer.Option(help="The first day.", formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option(help="The day before which it ends.", formats=["%Y-%m-%d"])] = None,
    time_zone: Annotated[str, typer.Option(help="In which days begin.")] = "UTC",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Generations, credits, results, tokens, requests and storage, and what providers took."""
    try:
        grouping, zone = usage.grouping_of(by, accounts=True), ZoneInfo(time_zones.checked(time_zone))
    except (DomainError, ValueError) as error:
        raise fail(str(error)) from None
    with db.snapshot() as conn:
        if account_id is not None:
            accounts.user_of_account(conn, account_id)
        begin, end = report.span(since and since.date(), until and until.date(), zone, report.today(conn, zone))
        asked = report.Question(
            begin, end, zone, grouping.unit, grouping.model, grouping.label, account_id, grouping.account
        )
        found = report.report(conn, asked)
    if as_json:
        print_json(usage.json_of(asked, grouping, found, cost=True))
    elif as_csv:
        print(usage.csv_of(grouping, found, cost=True), end="")
    else:
        figures = _named(found.total)
        rows = [_row(each, grouping, figures) for each in found.rows]
        title = f"Usage, {begin:%Y-%m-%d} to before {end:%Y-%m-%d}, {zone.key}"
        show([*rows, _total(found.total, grouping, figures)], as_json=False, title=title)


def _row(row: "report.UsageRow", grouping: "usage.Grouping", figures: Collection[str]) -> dict[str, str]:
    shown = {}
    for name, word in usage.columns_of(grouping).items():
        value = getattr(row, name)
        if name == "begins":
            value = f"{value:{TIMES[word]}}"
        shown[word.removeprefix("label:")] = "–" if value is None else str(value)
    return {**shown, **_figures(row, figures)}


def _total(row: "report.UsageRow", grouping: "usage.Grouping", figures: Collection[str]) -> dict[str, str]:
    words = [word.removeprefix("label:") for word in usage.columns_of(grouping).values()]
    return {**{word: "" if at else "all" for at, word in enumerate(words)}, **_figures(row, figures)}


def _named(total: "report.UsageRow") -> list[str]:
    """Which figures are shown: what nobody used takes no room."""
    return [name for name in FIGURES if name in ("succeeded", "credits") or getattr(total, name)]


def _figures(row: "report.UsageRow", named: Collection[str]) -> dict[str, str]:
    return {FIGURES[name]: WRITTEN.get(name, "{:,}".format)(getattr(row, name)) for name in named}
