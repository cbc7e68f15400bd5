"""Holds: credits set aside for work that a product runs itself. They are what a job's reservation is to a job: taken from grants,
counted in `reserved`, and spent or given back; only that they may be spent in parts, and end by themselves.

All of it happens under the account's lock, and each call is one transaction of its caller's.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import AccountBlocked, HoldEnded, IdempotencyMismatch, InvalidInput, NotFound
from common.settings import settings
from models.access import budgets
from models.access.scopes import Caller
from models.credits import label_limits, ledger, reads
from models.credits.hold_rows import MAX_OPEN_HOLDS, SHOWN, HoldEnd, HoldRow, NewHold, find
from models.credits.ledger import Fund, Lot, enter, limits_crossed
from models.credits.revoking import follow_revoked
from models.events import events
from models.locks import read_locked


class _Sums(NamedTuple):
    available: int
    reserved: int


class _Part(NamedTuple):
    """What is still held of one grant."""

    grant_id: UUID
    held: int
    is_revoked: bool


def create(conn: Connection[Any], who: Caller, new: NewHold) -> HoldRow:
    """Set credits aside. The same `reference` again is the same hold. Raises AccountBlocked, NotEnoughCredits, BudgetExceeded,
    LabelLimitExceeded, IdempotencyMismatch for another hold of that reference, InvalidInput for too many.
    """
    account_id = who.account_id
    locked = read_locked(conn, account_id, "a.debt, a.credit_alerts, a.has_label_limits")
    if locked is None:
        raise NotFound(f"no account {account_id}")
    earlier = _of_reference(conn, account_id, new)
    if earlier is not None:
        return earlier
    ledger.expire_lapsed(conn, [account_id])
    if locked[0]:
        raise AccountBlocked(f"the account owes {locked[0]} credits; pay them first", owed=locked[0])
    _check_count(conn, account_id)
    sums = _sums(conn, account_id)
    funds = reads.open_funds(conn, account_id)
    usable = ledger.usable(funds, new.model, new.kind)
    if new.amount > usable:
        raise ledger.not_enough(new.amount, usable, sums.available - usable)
    _pay_budget(conn, who, new.amount)
    if locked[2]:
        _pay_labels(conn, account_id, new)
    hold_id = uuid7()
    conn.execute(
        """insert into holds (id, account_id, api_key_id, reference, model, kind, labels, amount, expires_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, app_now() + make_interval(secs => %s))""",
        [
            hold_id, account_id, who.key_id, new.reference, new.model, new.kind, Jsonb(dict(new.labels)) if new.labels else None,
            new.amount, new.seconds,
        ],
    )  # fmt: skip
    _take(conn, hold_id, funds, new)
    after = _Sums(sums.available - new.amount, sums.reserved + new.amount)
    enter(conn, account_id, "reserve", new.amount, *after, hold_id=hold_id)
    _write(conn, account_id, after)
    row = find(conn, hold_id, account_id=account_id)
    _tell(conn, row, "hold.created", after)
    for limit in limits_crossed(sums.available, after.available, locked[1]):
        events.add(conn, account_id, "credits.low", {"available": after.available, "limit": limit})
    return row


def _of_reference(conn: Connection[Any], account_id: UUID, new: NewHold) -> HoldRow | None:
    if new.reference is None:
        return None
    found = conn.execute(
        f"select {SHOWN} from holds where account_id = %s and reference = %s", [account_id, new.reference]
    ).fetchone()
    if found is None:
        return None
    row = HoldRow(*found)
    if (row.amount, row.model, row.kind, row.labels or {}) != (new.amount, new.model, new.kind, dict(new.labels or {})):
        raise IdempotencyMismatch("this reference names another hold already; give a new one", param="reference")
    return row


def _check_count(conn: Connection[Any], account_id: UUID) -> None:
    """Raises InvalidInput where more are open than anybody needs: each has to be given back by itself one day."""
    row = conn.execute(
        "select count(*) from (select 1 from holds where account_id = %s and ended is null limit %s) x",
        [account_id, MAX_OPEN_HOLDS],
    ).fetchone()
    if row and row[0] >= MAX_OPEN_HOLDS:
        raise InvalidInput(f"{MAX_OPEN_HOLDS} holds of this account are open, the limit; end some first")


def _pay_budget(conn: Connection[Any], who: Caller, amount: int) -> None:
    if who.key_id is None or who.monthly_credits is None:
        return
    found = budgets.read(conn, [who.key_id])
    refusal = found.refusal(who.key_id, amount)
    if refusal is not None:
        raise refusal
    found.pay(who.key_id, amount)
    budgets.write(conn, found)


def _pay_labels(conn: Connection[Any], account_id: UUID, new: NewHold) -> None:
    found = label_limits.read_limits(conn, list(label_limits.labels_of(account_id, new.labels)))
    refusal = found.refusal(account_id, new.labels, new.amount)
    if refusal is not None:
        raise refusal
    found.pay(account_id, new.labels, new.amount)
    label_limits.write_spending(conn, found)


def _take(conn: Connection[Any], hold_id: UUID, funds: Sequence[Fund], new: NewHold) -> None:
    lots = ledger.allocate(funds, new.amount, new.model, new.kind)
    with conn.cursor() as cursor:
        cursor.executemany(
            "update grants set remaining = remaining - %s where id = %s", [[lot.amount, lot.grant_id] for lot in lots]
        )
        cursor.executemany(
            "insert into hold_grants (hold_id, grant_id, amount) values (%s, %s, %s)",
            [[hold_id, lot.grant_id, lot.amount] for lot in lots],
        )


def settle(
    conn: Connection[Any], account_id: UUID, hold_id: UUID, amount: int, *, release_rest: bool = False
) -> HoldRow:
    """Spend so much of a hold, what is used first before the rest. Raises NotFound, HoldEnded, InvalidInput for more than is held."""
    sums, row = _begin(conn, account_id, hold_id)
    if amount > row.held:
        raise InvalidInput(
            f"{amount} credits cannot be settled; {row.held} of the {row.amount} are held", param="amount"
        )
    parts = _parts(conn, hold_id)
    lots = _share(parts, amount)
    _move(conn, hold_id, lots, "settled")
    sums = _Sums(sums.available, sums.reserved - amount)
    enter(conn, account_id, "settle", amount, *sums, hold_id=hold_id)
    _write(conn, account_id, sums)
    for lot in lots:
        if _is_revoked(parts, lot):
            follow_revoked(conn, account_id, lot.grant_id, spent=lot.amount, returned=0)
    row = _end(conn, hold_id, "settled", amount, "settled")
    _tell(conn, row, "hold.settled", sums, moved=amount)
    if release_rest and row.held:
        return release(conn, account_id, hold_id)
    return row


def release(
    conn: Connection[Any], account_id: UUID, hold_id: UUID, amount: int | None = None, *, ended: HoldEnd = "released"
) -> HoldRow:
    """Give so much of a hold back, or all that is held; to the grants that are used last, first. Raises NotFound, HoldEnded,
    InvalidInput for more than is held.
    """
    sums, row = _begin(conn, account_id, hold_id)
    amount = row.held if amount is None else amount
    if amount > row.held:
        raise InvalidInput(
            f"{amount} credits cannot be released; {row.held} of the {row.amount} are held", param="amount"
        )
    parts = _parts(conn, hold_id)
    lots = _share(parts[::-1], amount)
    _move(conn, hold_id, lots, "released")
    sums = _Sums(sums.available + amount, sums.reserved - amount)
    enter(conn, account_id, "refund", amount, *sums, hold_id=hold_id)
    _write(conn, account_id, sums)
    for lot in lots:
        if _is_revoked(parts, lot):
            follow_revoked(conn, account_id, lot.grant_id, spent=0, returned=lot.amount)
        else:
            _give_back(conn, lot)
    _lower_budget(conn, hold_id, amount)
    label_limits.lower_spending(conn, account_id, row.labels, row.created_at, amount)
    row = _end(conn, hold_id, "released", amount, ended)
    _tell(conn, row, "hold.expired" if ended == "expired" else "hold.released", sums, moved=amount)
    return row


def extend(conn: Connection[Any], account_id: UUID, hold_id: UUID, seconds: int) -> HoldRow:
    """Let a hold end so long from now, and no sooner than it would have. Raises NotFound, HoldEnded."""
    _begin(conn, account_id, hold_id)
    conn.execute(
        "update holds set expires_at = greatest(expires_at, app_now() + make_interval(secs => %s)) where id = %s",
        [seconds, hold_id],
    )
    return find(conn, hold_id, account_id=account_id)


def expire(conn: Connection[Any], hold_id: UUID) -> bool:
    """Give back what is held, if its time has passed. The caller holds the account's lock. False: somebody has ended it, or
    let it live on, meanwhile.
    """
    row = conn.execute(
        "select account_id from holds where id = %s and ended is null and expires_at <= app_now()", [hold_id]
    ).fetchone()
    if row is None:
        return False
    release(conn, row[0], hold_id, ended="expired")
    return True


def end_some(conn: Connection[Any], account_id: UUID, limit: int) -> int:
    """Give back what an account holds, so many holds at most: it is going. Returns how many they were."""
    rows = conn.execute(
        "select id from holds where account_id = %s and ended is null order by id limit %s", [account_id, limit]
    ).fetchall()
    for (hold_id,) in rows:
        release(conn, account_id, hold_id)
    return len(rows)


def _begin(conn: Connection[Any], account_id: UUID, hold_id: UUID) -> tuple[_Sums, HoldRow]:
    """Lock the account, and read the hold as it is under the lock. Raises NotFound, HoldEnded."""
    if read_locked(conn, account_id, "a.id") is None:
        raise NotFound(f"no hold {hold_id}", param="id")
    row = find(conn, hold_id, account_id=account_id)
    if row.ended is not None:
        raise HoldEnded(
            f"this hold is over: {row.settled} credits were settled and {row.released} released",
            param="id", settled=row.settled, released=row.released, how=row.ended,
        )  # fmt: skip
    ledger.expire_lapsed(conn, [account_id])  # what is left of a grant must not live on because some of it comes back
    return _sums(conn, account_id), row


def _sums(conn: Connection[Any], account_id: UUID) -> _Sums:
    row = conn.execute("select available, reserved from accounts where id = %s", [account_id]).fetchone()
    assert row is not None  # noqa: S101 - it is locked
    return _Sums(*row)


def _parts(conn: Connection[Any], hold_id: UUID) -> list[_Part]:
    """What is held of each grant, in the order of use."""
    rows = conn.execute(
        """select h.grant_id, h.amount - h.settled - h.released, g.revoked_at is not null
             from hold_grants h join grants g on g.id = h.grant_id
            where h.hold_id = %s and h.settled + h.released < h.amount
            order by g.priority desc, g.expires_at, g.id""",
        [hold_id],
    ).fetchall()
    return [_Part(*row) for row in rows]


def _share(parts: Sequence[_Part], amount: int) -> list[Lot]:
    return ledger.allocate((Fund(each.grant_id, each.held) for each in parts), amount)


def _is_revoked(parts: Sequence[_Part], lot: Lot) -> bool:
    return any(each.is_revoked for each in parts if each.grant_id == lot.grant_id)


def _move(conn: Connection[Any], hold_id: UUID, lots: Sequence[Lot], where: Literal["settled", "released"]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            f"update hold_grants set {where} = {where} + %s where hold_id = %s and grant_id = %s",
            [[lot.amount, hold_id, lot.grant_id] for lot in lots],
        )


def _give_back(conn: Connection[Any], lot: Lot) -> None:
    """As a job's refund does (settle_grants_v1.sql): one that has expired meanwhile gets one grace period in all."""
    conn.execute(
        """update grants set remaining = remaining + %(amount)s,
                  first_expires_at = coalesce(first_expires_at, case when expires_at <= app_now() then expires_at end),
                  expires_at = case when expires_at <= app_now()
                                    then greatest(expires_at, coalesce(first_expires_at, expires_at) + make_interval(hours => %(grace)s))
                                    else expires_at end
            where id = %(id)s""",
        {"amount": lot.amount, "id": lot.grant_id, "grace": settings().grant_grace_hours},
    )


def _lower_budget(conn: Connection[Any], hold_id: UUID, amount: int) -> None:
    """To the keys with a budget that paid for it, in the month in which they did."""
    conn.execute(
        """update key_spending s set credits = greatest(s.credits - %s, 0) from holds h join api_keys k on k.id = h.api_key_id
            where h.id = %s and s.key_id = any(k.lineage || coalesce(k.root_id, k.id))
              and s.month = date_trunc('month', h.created_at at time zone 'UTC')::date""",
        [amount, hold_id],
    )


def _end(
    conn: Connection[Any], hold_id: UUID, where: Literal["settled", "released"], amount: int, ended: HoldEnd
) -> HoldRow:
    """Count what was moved; a hold of which nothing is left is over."""
    row = conn.execute(
        f"""update holds set {where} = {where} + %(amount)s,
                   ended = case when settled + released + %(amount)s = amount then %(ended)s end,
                   ended_at = case when settled + released + %(amount)s = amount then app_now() end
             where id = %(id)s returning {SHOWN}""",
        {"amount": amount, "ended": ended, "id": hold_id},
    ).fetchone()
    assert row is not None  # noqa: S101 - it was read under the lock
    return HoldRow(*row)


def _write(conn: Connection[Any], account_id: UUID, sums: _Sums) -> None:
    conn.execute("update accounts set available = %s, reserved = %s where id = %s", [*sums, account_id])


def _tell(conn: Connection[Any], row: HoldRow, kind: str, sums: _Sums, *, moved: int | None = None) -> None:
    data: dict[str, Any] = {
        "hold": str(row.id), "amount": row.amount, "settled": row.settled, "released": row.released, "held": row.held,
        "available": sums.available, "reserved": sums.reserved,
    }  # fmt: skip
    data |= {
        name: value
        for name, value in (("moved", moved), ("reference", row.reference), ("labels", row.labels))
        if value is not None
    }
    events.add(conn, row.account_id, kind, data)
