"""The year as a picture: what people have, hold and owe, and what they paid."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from tests.support import one, rows

USD = {"USD": 1.0, "GBP": 1.25, "IDR": 1 / 15_500}  # of the picture only


class Moment(NamedTuple):
    """The sums of all accounts at one time. `day` counts from the start; revenue in USD by company, refunds taken off."""

    day: float
    available: int
    debt: int
    subscribed: int
    revenue: dict[str, float]


def look(day: float) -> Moment:
    """How it stands."""
    available, debt = one("select coalesce(sum(available), 0)::bigint, coalesce(sum(debt), 0)::bigint from accounts")
    (subscribed,) = one("select count(*) from subscriptions where status in ('trial', 'active', 'past_due')")
    paid = rows(
        """select company, paid_currency, sum(paid - refunded) from payments
            where money = 'paid' and coalesce(dispute, '') not in ('open', 'lost') group by company, paid_currency"""
    )
    revenue: dict[str, float] = {}
    for company, currency, amount in paid:
        revenue[company] = revenue.get(company, 0.0) + float(amount) * USD[currency]
    return Moment(day, available, debt, subscribed, revenue)


def draw(moments: Sequence[Moment], path: Path, title: str) -> None:
    """Balances above, revenue below."""
    days = [each.day for each in moments]
    figure, (balances, revenue) = plt.subplots(2, 1, figsize=(10, 7), sharex=True)
    balances.plot(days, [each.available for each in moments], color="#3b6ea5", label="credits available")
    balances.plot(days, [each.debt for each in moments], color="#e4572e", label="credits owed")
    beside = balances.twinx()
    beside.plot(days, [each.subscribed for each in moments], color="#8a8a8a", linewidth=1, label="subscriptions")
    beside.set_ylabel("subscriptions")
    balances.set_ylabel("credits")
    balances.set_title(title)
    lines = [*balances.get_lines(), *beside.get_lines()]
    balances.legend(lines, [str(line.get_label()) for line in lines], loc="upper left", frameon=False)
    names = sorted({name for each in moments for name in each.revenue})
    revenue.stackplot(
        days, *[[each.revenue.get(name, 0.0) for each in moments] for name in names], labels=names, alpha=0.85
    )
    revenue.set_ylabel("revenue so far, about USD")
    revenue.set_xlabel("day")
    revenue.legend(loc="upper left", frameon=False)
    for axes in (balances, revenue, beside):
        axes.spines["top"].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
