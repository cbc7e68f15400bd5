"""Duties for credits and subscriptions. Each picks without a lock, locks one account, and checks again."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from psycopg import Connection

from models import announcements, credits, leaving, subscriptions
from models.db import transaction
from models.settings import settings
from workers.enqueue import ring


def _lock(conn: Connection[Any], account_id: UUID) -> None:
    conn.execute("select 1 from accounts where id = %s for no key update", [account_id])


def expire_grants(batch: int) -> int:
    """Expire what has lapsed of grants that nobody has touched since."""
    with transaction() as conn:
        accounts = credits.accounts_with_lapsed(conn, batch)
    expired = 0
    for account_id in accounts:
        with transaction() as conn:
            _lock(conn, account_id)
            expired += credits.expire_lapsed(conn, [account_id])
    return expired


def grant_periods(batch: int) -> int:
    """Grant the credits of each subscription's month that has begun."""
    with transaction() as conn:
        due = subscriptions.due_periods(conn, batch)
    return _each(due, subscriptions.grant_due_period)


def expire_subscriptions(batch: int) -> int:
    """End subscriptions whose time has run out; the account moves to the default plan."""
    with transaction() as conn:
        out = subscriptions.run_out(conn, batch)
    return _each(out, lambda conn, each: subscriptions.expire(conn, each, settings().default_plan))


def announce(batch: int) -> int:
    """Tell the next accounts of an announcement."""
    with transaction() as conn:
        return announcements.tell(conn, batch)


def clear_deleted(batch: int) -> int:
    """Finish what a user's deletion began: the rest of many jobs, and what came in or was made in its last moment.

    Returns how many users have left for good.
    """
    with transaction() as conn:
        leavers = leaving.leavers(conn, batch)
    left = 0
    for user_id, account_id in leavers:
        with transaction() as conn:
            rings = leaving.leave(conn, account_id)
            left += leaving.confirm_left(conn, user_id, account_id)
        ring(rings)
    return left


def _each(picked: Iterable[tuple[UUID, UUID]], act: Callable[[Connection[Any], UUID], bool]) -> int:
    """Do something for each (subscription, account), one transaction each under the account's lock. Returns how many."""
    done = 0
    for subscription_id, account_id in picked:
        with transaction() as conn:
            _lock(conn, account_id)
            done += act(conn, subscription_id)
    return done
