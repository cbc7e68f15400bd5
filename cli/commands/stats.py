"""`headrace stats`: figures of the last days."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.v1 import admin_stats
from cli.output import JsonFlag, print_json, show
from common.money import shown
from models import db
from models.usage import stats

app = typer.Typer()


def _days(number: int) -> int:
    if number > stats.MAX_DAYS:
        raise typer.BadParameter(f"at most {stats.MAX_DAYS}, not {number}")
    return number


@app.command("stats")
def show_stats(
    days: Annotated[int, typer.Option(help="So many UTC days, today included.", min=1, callback=_days)] = 30,
    as_json: bool = JsonFlag,
) -> None:
    """Users, revenue, payments, credits, jobs and articles of the last days."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    with db.snapshot() as conn:
        found = stats.stats(conn, since=since, until=today + timedelta(days=1))
    if as_json:
        print_json(admin_stats.stats_view(found))
        return
    show(_figures(found), as_json=False, title=f"Figures, {since:%Y-%m-%d} to {today:%Y-%m-%d}")
    if found.plans:
        show([each._asdict() for each in found.plans], as_json=False, title="Accounts by plan")
    if found.revenue:
        show([_money(each) for each in found.revenue], as_json=False, title="Revenue by day, currency and company")
    if found.content:
        show([each._asdict() for each in found.content], as_json=False, title="Articles")


def _figures(found: "stats.Stats") -> list[dict[str, str]]:
    users, payments, credits, jobs, margin = found.users, found.payments, found.credits, found.jobs, found.margin
    lines = {
        "users": f"{users.total:,}, {users.new:,} of them new, {users.active:,} active",
        "payments": f"{payments.orders:,} ordered, {payments.paid:,} paid, {payments.failed:,} failed, {payments.expired:,} expired",
        "payments that succeed": _percent(payments.success),
        "payments to look at": f"{payments.problems:,}",
        "credits sold and given": f"{credits.sold:,} and {credits.given:,}",
        "credits spent": f"{credits.spent:,}, {found.credits_per_day:,.1f} a day",
        "credits expired and revoked": f"{credits.expired:,} and {credits.revoked:,}",
        "credits held now": f"{credits.available:,} available, {credits.reserved:,} reserved, {credits.owed:,} owed",
        "jobs": f"{jobs.ordered:,} ordered, {jobs.succeeded:,} succeeded, {jobs.failed:,} failed, {jobs.canceled:,} canceled",
        "jobs that succeed": _percent(jobs.success),
        "mean duration": "–" if jobs.mean_seconds is None else f"{jobs.mean_seconds:.1f} s",
        "margin": f"${margin.revenue_usd_micros / 1e6:,.2f} paid for {margin.paid_credits:,} credits, ${margin.cost_usd_micros / 1e6:,.2f} cost",
    }
    return [{"what": name, "figure": text} for name, text in lines.items()]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _money(row: "stats.RevenueFigures") -> dict[str, str]:
    fields = row._asdict()
    amounts = {name: shown(fields[name], fields["currency"]) for name in ("paid", "refunded", "disputed")}
    return {**{name: str(value) for name, value in fields.items()}, **amounts}
