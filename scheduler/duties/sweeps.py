"""What results and uploads share: expire what is past, delete the objects of what has expired."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import Busy, Unavailable
from common.faultpoints import reached
from models.db import CommitUnknown, transaction
from models.files.sweeping import Purgeable, Swept
from models.fleet import processes
from scheduler.turns import Aside, Did, Patience, each, log
from storage.s3 import storage


class Expiry(NamedTuple):
    """The verbs of one kind of file. `expire(conn, limit, only, without)`, of one account or without some; `due` names
    the accounts that have something to expire.
    """

    expire: Callable[[Connection[Any], int, UUID | None, Sequence[UUID]], Swept]
    due: Callable[[Connection[Any], int, Sequence[UUID]], Sequence[UUID]]


def expire(kind: Expiry, aside: Aside, batch: int) -> Did:
    """Expire a batch in one transaction; accounts that are locked are left for a while, and if the batch fails each
    account has a transaction of its own, so that one harms no other.
    """
    try:
        with transaction() as conn:
            swept = kind.expire(conn, batch, None, aside.ids())
    except (Busy, Unavailable, CommitUnknown):
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is one account's
        log.exception("a batch could not be expired; each account by itself")
        return _one_by_one(kind, aside, batch)
    for account_id in swept.busy:
        aside.rest(account_id)
    return Did(swept.done, more=swept.picked >= batch)


def _one_by_one(kind: Expiry, aside: Aside, batch: int) -> Did:
    def act(account_id: UUID, patience: Patience) -> int:
        with patience.locked(account_id) as conn:
            return kind.expire(conn, batch, account_id, ()).done

    with transaction() as conn:
        accounts = kind.due(conn, batch, aside.ids())
    return each(aside, accounts, act, of=lambda account_id: account_id)


def purge(
    duty: str,
    batch: int,
    pick: Callable[[Connection[Any], int, tuple[datetime, UUID] | None], Sequence[Purgeable]],
    confirm: Callable[[Connection[Any], Sequence[UUID]], int],
) -> Did:
    """Delete objects, then confirm. The next batch goes on behind this one, so that objects which cannot be deleted keep
    no other waiting; from the beginning again once the end is reached.
    """
    with transaction() as conn:
        due = pick(conn, batch, processes.place(conn, duty))
    failed = storage().delete_many([key for item in due for key in item.keys]) if due else {}
    reached(f"{duty}:deleted")
    gone = [item.id for item in due if not any(key in failed for key in item.keys)]
    full = len(due) >= batch
    with transaction() as conn:
        done = confirm(conn, gone) if gone else 0
        processes.set_place(conn, duty, (due[-1].expired_at, due[-1].id) if full else None)
    errors = [f"{len(due) - len(gone)} objects cannot be deleted: {next(iter(failed))}"[:200]] if failed else []
    return Did(done, more=full, errors=errors)
