"""Periods of a subscription: which day each begins, what an end means, what a change comes to. Pure: no database, no clock.

All dates are whole months after an anchor, in UTC, so that a short month in between shifts none: what begins on 31 January has
periods that begin on 28 February and 31 March.
"""

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

INTERVALS = {"monthly": 1, "yearly": 12}
MAX_MONTHS = 1200  # a hundred years from the anchor, far within what a date can hold


def month_after(anchor: datetime, months: int) -> datetime:
    """The same day and time so many months later (below 0: earlier), in UTC; in a shorter month its last day."""
    anchor = anchor.astimezone(UTC)
    years, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return anchor.replace(year=years, month=month + 1, day=min(anchor.day, monthrange(years, month + 1)[1]))


def months_between(anchor: datetime, end: datetime) -> int:
    """How many months were added to `anchor` to come to `end`: adding months never skips one."""
    anchor, end = anchor.astimezone(UTC), end.astimezone(UTC)
    return (end.year - anchor.year) * 12 + end.month - anchor.month


def anchor_for(end: datetime, months: int, like: datetime) -> datetime:
    """From which moment so many months lead to `end`, which a company named. Where several days would do, because the end
    is the last day of a short month, it is the day of `like`: what began on the 31st goes on on the 31st.
    """
    end, like = end.astimezone(UTC), like.astimezone(UTC)
    back = month_after(end, -months)
    last = monthrange(back.year, back.month)[1]
    wished = back.replace(day=min(like.day, last))
    return wished if month_after(wished, months) == end else back


def lapses_at(status: str, ends_at: datetime, *, cancel_at_end: bool, grace_days: int) -> datetime:
    """When a subscription is over: at its end, or after the days of grace where its renewal may still be paid."""
    waits = status != "trial" and not cancel_at_end
    return ends_at + timedelta(days=grace_days) if waits else ends_at


def prorated(credits: int, start: datetime, end: datetime, now: datetime) -> int:
    """The share of a period's credits that belongs to what is left of it, rounded down."""
    whole, left = end - start, min(max(end - now, timedelta()), end - start)
    return credits * (left // timedelta(microseconds=1)) // max(whole // timedelta(microseconds=1), 1)


def is_upgrade(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]], *, later: bool) -> bool:
    """Whether a plan with the prices `after` is more than one with those `before`: by a month's price in a currency that both
    have, or a year's, or else by whether it is offered `later`.
    """
    for interval in INTERVALS:
        old, new = before.get(interval, {}), after.get(interval, {})
        for currency in sorted(old.keys() & new.keys()):
            return Decimal(new[currency]) > Decimal(old[currency])
    return later
