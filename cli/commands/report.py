"""`headrace margin`: what was charged against what providers took, as a table, as JSON and as a picture."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import JsonFlag, console, fail, print_json, show
from models import db
from models.credits import margin

app = typer.Typer()
MAX_PICTURES = 8  # models with a picture of their own; the rest share one
Point = tuple[float, float, int]  # US dollars charged, US dollars that it cost, credits charged


@app.command("margin")
def show_margin(
    days: Annotated[int, typer.Option(help="So many UTC days, today included.", min=1, max=400)] = 30,
    by: Annotated[str, typer.Option(help="Any of model, plan, day, with commas; empty: one row.")] = "model,plan,day",
    plot: Annotated[Path | None, typer.Option(help="Draw charged against cost, per day and model, into a PNG.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Credits charged, valued at the plans' prices, against what providers took, for the jobs ordered lately."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = today - timedelta(days=days - 1), today + timedelta(days=1)
    groups = [name.strip() for name in by.split(",") if name.strip()]
    with db.snapshot() as conn:
        rows = margin.margin(conn, since=since, until=until, by=groups)
        total = margin.margin(conn, since=since, until=until, by=())[0]
        drawn = margin.margin(conn, since=since, until=until, by=("model", "day")) if plot else []
    if plot:
        _draw(plot, since.date(), days, drawn)
    if as_json:
        shown = [_json(each, groups) for each in rows]
        print_json({"since": since, "until": until, "rows": shown, "total": _json(total, ())})
        return
    table = [_row(each, groups) for each in rows] if groups else []
    show([*table, _total(total, groups)], as_json=False, title=f"Margin, {since:%Y-%m-%d} to {today:%Y-%m-%d}")
    if total.unknown_costs:
        console.print(f"[yellow]{total.unknown_costs} attempts may have cost something, and nobody knows how much[/]")
    if plot:
        console.print(f"drawn: {plot}")


def _json(row: "margin.MarginRow", groups: Sequence[str]) -> dict[str, Any]:
    fields = row._asdict()
    for name in {"model", "plan", "day"} - set(groups):
        del fields[name]
    return {**fields, "margin_usd_micros": row.margin_usd_micros, "margin_percent": row.margin_percent}


def _row(row: "margin.MarginRow", groups: Sequence[str]) -> dict[str, Any]:
    fields = row._asdict()
    percent = row.margin_percent
    return {
        **{name: str(fields[name]) for name in ("model", "plan", "day") if name in groups},
        "charged": _dollars(row.revenue_usd_micros), "cost": _dollars(row.cost_usd_micros),
        "margin": _dollars(row.margin_usd_micros), "percent": "–" if percent is None else f"{percent:.1f}",
        "credits": row.credits, "jobs": row.jobs, "succeeded": row.succeeded, "attempts": row.attempts,
        "unknown_costs": row.unknown_costs,
    }  # fmt: skip


def _total(row: "margin.MarginRow", groups: Sequence[str]) -> dict[str, Any]:
    names = [name for name in ("model", "plan", "day") if name in groups]
    fields = _row(row, ())
    return {**{name: "" if at else "all" for at, name in enumerate(names)}, **fields}


def _dollars(micros: int) -> str:
    return f"{'-' if micros < 0 else ''}${abs(micros) / 1_000_000:,.2f}"


def series(rows: "Sequence[margin.MarginRow]", since: date, days: int) -> dict[str, list[Point]]:
    """A point for each day of each model, those that brought in most first; further ones are added up as "others"."""
    worth: dict[str, int] = {}
    for row in rows:
        worth[str(row.model)] = worth.get(str(row.model), 0) + row.revenue_usd_micros + row.cost_usd_micros
    ranked = sorted(worth, key=lambda name: (-worth[name], name))
    own = ranked if len(ranked) <= MAX_PICTURES else ranked[: MAX_PICTURES - 1]
    found: dict[str, list[Point]] = {name: [(0.0, 0.0, 0)] * days for name in own}
    for row in rows:
        name = str(row.model) if row.model in found else "others"
        points = found.setdefault(name, [(0.0, 0.0, 0)] * days)
        assert row.day is not None  # noqa: S101 - grouped by day
        at = (row.day - since).days
        charged, cost, count = points[at]
        points[at] = (
            charged + row.revenue_usd_micros / 1_000_000, cost + row.cost_usd_micros / 1_000_000, count + row.credits,
        )  # fmt: skip
    return found


def _draw(path: Path, since: date, days: int, rows: "Sequence[margin.MarginRow]") -> None:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not among what production installs

        mpl.use("Agg")  # no window: a server has none
        import matplotlib.pyplot as plt  # noqa: PLC0415 - after the choice of a window, which it reads
    except ImportError:
        raise fail("--plot needs matplotlib: pip install -r requirements-dev.txt") from None
    found = series(rows, since, days) or {"no job": [(0.0, 0.0, 0)] * days}
    figure, grid = plt.subplots(len(found), 1, figsize=(10, 1.2 + 1.9 * len(found)), sharex=True, squeeze=False)
    at = list(range(days))
    for axes, (name, points) in zip(grid[:, 0], found.items(), strict=True):
        count = sum(point[2] for point in points)
        axes.bar([x - 0.2 for x in at], [point[0] for point in points], 0.4, color="#3b6ea5", label="charged")
        axes.bar([x + 0.2 for x in at], [point[1] for point in points], 0.4, color="#e4572e", label="cost")
        axes.set_title(f"{name}: {count:,} credits", fontsize=9, loc="left")
        axes.set_ylabel("US dollars", fontsize=8)
        axes.tick_params(labelsize=7)
    step = max(1, days // 15)
    names = [f"{since + timedelta(days=x):%m-%d}" for x in at[::step]]
    grid[-1, 0].set_xticks(at[::step], names, fontsize=7)
    grid[0, 0].legend(fontsize=8, frameon=False)
    figure.suptitle("Credits charged, at the plans' prices, against providers' cost, per UTC day", fontsize=10)
    figure.tight_layout()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise fail(f"{path} could not be written: {error}") from None
    finally:
        plt.close(figure)
