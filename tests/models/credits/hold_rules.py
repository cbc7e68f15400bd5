"""Of the state machine over the ledger: holds without a job, spent in parts, given back, and left to end by themselves."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from common.errors import DomainError, HoldEnded, InvalidInput
from models.access.scopes import Caller
from models.credits import holds
from models.credits.hold_rows import NewHold
from models.db import transaction
from scheduler.duties import accounts
from tests.models.books import Books
from tests.support import one

MANY = 10_000


class HoldRules(RuleBasedStateMachine):
    """What a product does with holds; the books of `Life` say what must come of it."""

    owners: list[UUID]
    books: dict[UUID, Books]
    keys: list[UUID]

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[UUID, datetime] = {}  # of holds: when they end by themselves

    def now(self) -> datetime:
        raise NotImplementedError

    @rule(
        who=st.sampled_from([0, 0, 0, 1]),
        amount=st.integers(1, 15),
        hours=st.sampled_from([1, 40, 700]),
        by_key=st.booleans(),
    )
    def hold(self, who: int, amount: int, hours: int, by_key: bool) -> None:
        owner, books, now = self.owners[who], self.books[self.owners[who]], self.now()
        budget = 25 if by_key else None
        expected = books.refusal(amount, now, budget)
        caller = Caller(
            key_id=self.keys[who] if by_key else None, account_id=owner, user_id=one("select user_id from accounts where id = %s", owner)[0],
            scopes=frozenset({"generate"}), role="user", monthly_credits=budget,
        )  # fmt: skip
        if expected is not None:
            with transaction() as conn, pytest.raises(DomainError) as refused:
                holds.create(conn, caller, NewHold(amount, hours * 3600))
            assert refused.value.code == expected
            accounts.expire_grants(MANY)
            for each in self.books.values():
                each.expire(now)
            return
        with transaction() as conn:
            row = holds.create(conn, caller, NewHold(amount, hours * 3600))
        books.hold(row.id, amount, now, by_key=by_key)
        self.ends[row.id] = row.expires_at

    @rule(
        who=st.sampled_from([0, 0, 0, 1]),
        which=st.integers(0, 2),
        part=st.integers(1, 9),
        spends=st.booleans(),
        rest=st.booleans(),
    )
    def part_with_a_hold(self, who: int, which: int, part: int, spends: bool, rest: bool) -> None:
        owner, now = self.owners[who], self.now()
        books = self.books[owner]
        if not books.holds:
            return
        hold_id = sorted(books.holds)[which % len(books.holds)]
        there = sum(amount for _, amount in books.holds[hold_id].parts)

        def act(amount: int) -> Any:
            with transaction() as conn:
                if spends:
                    return holds.settle(conn, owner, hold_id, amount, release_rest=rest)
                return holds.release(conn, owner, hold_id, None if rest else amount)

        if part > there and (spends or not rest):
            with pytest.raises(InvalidInput):
                act(part)
            return
        act(part)
        if spends:
            books.settle_hold(hold_id, part, now)
        if not spends or (rest and hold_id in books.holds):
            left = sum(amount for _, amount in books.holds[hold_id].parts)
            books.release_hold(hold_id, left if rest else part, now)
        if hold_id not in books.holds:
            with transaction() as conn, pytest.raises(HoldEnded):
                holds.release(conn, owner, hold_id)

    def expire_holds(self, now: datetime) -> None:
        accounts.expire_holds(MANY)
        for books in self.books.values():
            for hold_id, held in sorted(books.holds.items(), key=lambda each: self.ends[each[0]]):
                if self.ends[hold_id] <= now:
                    books.release_hold(hold_id, sum(amount for _, amount in held.parts), now)
