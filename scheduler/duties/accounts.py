"""Duties for credits and subscriptions. Each picks without a lock, locks one account, and checks again."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.settings import settings
from models.accounts import subscriptions
from models.content.reading import forget_likes
from models.credits import hold_rows, holds, ledger
from models.db import transaction
from models.events import announcements
from models.fleet import processes
from models.gallery import clearing
from models.identity import erasure
from models.identity.erasure import PendingErasure
from models.operations import erasing
from scheduler.turns import Aside, Did, Patience, each
from workers.doorbell import ring

MAX_LIKES = 10_000  # of a user who is deleted
_holds, _lapsed, _periods, _run_out, _erasures, _persons = Aside(), Aside(), Aside(), Aside(), Aside(), Aside()


def expire_holds(batch: int) -> Did:
    """Give back what is held for longer than was asked for."""
    with transaction() as conn:
        due = hold_rows.due(conn, batch, without=_holds.ids())
    return _each(_holds, due, holds.expire)


def expire_grants(batch: int) -> Did:
    """Expire what has lapsed of grants that nobody has touched since."""

    def act(account_id: UUID, patience: Patience) -> int:
        with patience.locked(account_id) as conn:
            return ledger.expire_lapsed(conn, [account_id])

    with transaction() as conn:
        accounts = ledger.accounts_with_lapsed(conn, batch, without=_lapsed.ids())
    return each(_lapsed, accounts, act, of=lambda account_id: account_id)


def grant_periods(batch: int) -> Did:
    """Grant the credits of each subscription's month that has begun."""
    with transaction() as conn:
        due = subscriptions.due_periods(conn, batch, without=_periods.ids())
    return _each(_periods, due, subscriptions.grant_due_period)


def expire_subscriptions(batch: int) -> Did:
    """At a subscription's end: give its days of grace, or expire it; the account moves to the default plan."""
    with transaction() as conn:
        out = subscriptions.run_out(conn, batch, without=_run_out.ids())
    return _each(_run_out, out, lambda conn, one: subscriptions.end_lapsed(conn, one, settings().default_plan))


def announce(batch: int) -> Did:
    """Tell the next accounts of an announcement."""
    with transaction() as conn:
        notified, more = announcements.notify(conn, batch)
    return Did(notified, more=more)


def clear_deleted(batch: int) -> Did:
    """Finish what a user's deletion began: the rest of many jobs, and what came in or was made in its last moment.

    Returns how many users have left for good.
    """

    left: list[UUID] = []

    def act(leaver: PendingErasure, patience: Patience) -> int:
        with patience.locked(leaver.account_id) as conn:
            rings = erasure.erase_account(conn, leaver.account_id)
            done = forget_likes(conn, leaver.account_id, MAX_LIKES) < MAX_LIKES
            if (
                clearing.erase(conn, leaver.account_id)
                and done
                and erasure.confirm_erased(conn, leaver.user_id, leaver.account_id)
            ):
                left.append(leaver.user_id)
        ring(rings)
        return 1

    with transaction() as conn:
        after = processes.place(conn, "clear_deleted")
        pending_erasures = erasure.pending_erasures(conn, batch, after=after, without=_erasures.ids())
    did = each(_erasures, pending_erasures, act, of=lambda leaver: leaver.account_id)
    # Who has jobs that run on is looked at again in the next walk, and keeps nobody waiting in this one.
    full = len(pending_erasures) >= batch
    with transaction() as conn:
        processes.set_place(
            conn, "clear_deleted", (pending_erasures[-1].deleted_at, pending_erasures[-1].user_id) if full else None
        )
    return Did(len(left), more=full, errors=did.errors)


def erase_persons(batch: int) -> Did:
    """Erase the next bits of persons of whom all is to go, each under their account's lock."""

    def act(account_id: UUID, patience: Patience) -> int:
        with patience.locked(account_id) as conn:
            return int(erasing.go_on(conn, account_id))

    with transaction() as conn:
        picked = erasing.pending(conn, batch, without=_persons.ids())
    return each(_persons, picked, act, of=lambda account_id: account_id)


def _each(aside: Aside, picked: Sequence[tuple[UUID, UUID]], act: Callable[[Connection[Any], UUID], bool]) -> Did:
    """Do something for each (subscription, account), one transaction each under the account's lock."""

    def act_on(pair: tuple[UUID, UUID], patience: Patience) -> int:
        with patience.locked(pair[1]) as conn:
            return act(conn, pair[0])

    return each(aside, picked, act_on, of=lambda pair: pair[1])
