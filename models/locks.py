"""An account's lock: the first of every order of locks, and the only place that takes it.

Whatever hangs on an account (credits, slots, storage, keys, its event number) changes under it. What is read of other
tables to decide on is read in a later statement: the one that waits for the lock sees them as they were before.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from psycopg import Connection


def locking(columns: str, *, which: str = "a.id = any(%s)", plan: bool = False, skip_locked: bool = False) -> str:
    """The text of a statement that locks accounts (`a`) in the order of their ids and reads columns of theirs, and of
    their plans' (`p`), in the same round trip. `skip_locked`: those that another transaction holds are left out.
    """
    source = "accounts a join plans p on p.id = a.plan_id" if plan else "accounts a"
    tail = " skip locked" if skip_locked else ""
    return f"select {columns} from {source} where {which} order by a.id for no key update of a{tail}"


def lock_accounts(conn: Connection[Any], ids: Iterable[UUID], *, skip_locked: bool = False) -> set[UUID]:
    """Lock accounts, in the order of their ids. Returns those that are held now: all that there are, but with `skip_locked`
    none that another transaction holds.
    """
    return {row[0] for row in conn.execute(locking("a.id", skip_locked=skip_locked), [list(ids)]).fetchall()}


def lock_account(conn: Connection[Any], account_id: UUID) -> bool:
    """Lock one account. False: there is no such account."""
    return read_locked(conn, account_id, "a.id") is not None


def read_locked(conn: Connection[Any], account_id: UUID, columns: str, *, plan: bool = False) -> tuple[Any, ...] | None:
    """Lock one account and read columns of it, as they are under the lock; see `locking`. None: there is no such account."""
    row: tuple[Any, ...] | None = conn.execute(locking(columns, which="a.id = %s", plan=plan), [account_id]).fetchone()
    return row
