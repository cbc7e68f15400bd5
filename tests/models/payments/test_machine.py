"""Payments against books in plain Python: whatever companies say, in whatever order, while credits are spent, held and taken back."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from models.accounts import standing
from models.credits import ledger
from models.db import transaction
from models.jobs import ending, steps
from models.jobs.admission import Accepted
from models.jobs.ending import AttemptEnd, Ending
from models.payments import due, hints, orders, standings
from models.payments.standings import CompanyWord
from models.payments.states import Dispute, Money
from tests.conftest import environment
from tests.depth import examples
from tests.models.books import Books
from tests.models.credits.test_machine import set_clock
from tests.models.payments.shop import BY, D, ordered, pack
from tests.support import account, assert_books_are_clean, model, one, order, place, rows

pytestmark = pytest.mark.usefixtures("database")

PACKS = {"small": (100, 1000, None), "odd": (7, 300, 2)}  # credits, cents, days that they last
AUDIT_EVERY = 20


@dataclass
class Sold:
    """A payment as its company has it, and what of it is known here. Amounts are in cents."""

    id: UUID
    pack: str
    says: dict[str, Any] = field(default_factory=lambda: {"money": Money.PENDING})
    known: dict[str, Any] = field(default_factory=dict)
    arrived: tuple[int, str] | None = None  # what came, and in which currency
    given: int = 0
    looks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # under way: token, and what was answered
    newest: int = 0  # the token whose word counts

    def worth(self) -> int:
        """How many credits the money that is here buys."""
        credits, price, _ = PACKS[self.pack]
        if self.arrived is None or self.arrived[1] != "USD" or self.known.get("dispute") in ("open", "lost"):
            return 0
        return credits * max(0, min(self.arrived[0] - self.known.get("refunded", 0), price)) // price

    def learn(self, said: dict[str, Any]) -> None:
        self.known = said
        if said["money"] is Money.PAID:
            self.arrived = (said["paid"], said.get("currency", "USD"))


class Shop:
    """Keeps the books a second time (`tests.models.books`); the database must agree after every step."""

    def __init__(self) -> None:
        self.offset, self.steps = timedelta(), 0
        set_clock(self.offset)
        self.who, self.books = account(), Books()
        self.sold: list[Sold] = []
        self.offers = {price: model(f"costs-{price}", price={"credits": price}) for price in (1, 10, 30, 70)}
        self.order("small", late=False)

    def now(self) -> datetime:
        found: datetime = one("select app_now()")[0]
        return found

    def nth(self, number: int) -> Sold:
        return self.sold[-1 - number % len(self.sold)]

    # At the company

    def order(self, name: str, late: bool) -> None:
        """A pack; one that is `late` runs out before it is paid."""
        if len(self.sold) < 4:
            self.sold.append(Sold(ordered(self.who, name), name))
            if late:
                self.say_otherwise(0, Money.EXPIRED, 1)

    def pay(self, number: int, part: float, currency: str, heard: int) -> None:
        """In full mostly; a third of it, half of it, half as much again."""
        sold = self.nth(number)
        price = PACKS[sold.pack][1]
        sold.says = {
            **sold.says,
            "money": Money.PAID,
            "paid": int(price / part * (1 if part >= 1 else 0.75)),
            "currency": currency,
        }
        self.hear(number, heard)

    def say_otherwise(self, number: int, money: Money, heard: int) -> None:
        """Late, or wrong."""
        self.nth(number).says = {"money": money}
        self.hear(number, heard)

    def refund(self, number: int, part: float, heard: int) -> None:
        """So much has gone back in all; less than before: one of them failed."""
        sold = self.nth(number)
        if "paid" in sold.says:
            back = int(sold.says["paid"] * part)
            sold.says = {**sold.says, "refunded": back, "refund_failed": back < sold.says.get("refunded", 0)}
            self.hear(number, heard)

    def dispute(self, number: int, word: str | None, heard: int) -> None:
        sold = self.nth(number)
        if "paid" in sold.says:
            sold.says = {**sold.says, "dispute": word}
            self.hear(number, heard)

    # What is heard of it

    def hear(self, number: int, heard: int) -> None:
        for _ in range(heard):
            self.look(number)

    def look(self, number: int) -> None:
        """The duty asks, and nothing comes between."""
        self.begin_look(number)
        self.end_look(number, -1)

    def begin_look(self, number: int) -> None:
        sold = self.nth(number)
        with transaction() as conn:
            conn.execute("update payments set check_at = app_now() where id = %s", [sold.id])
            found = {each.id: each.token for each in due.claim(conn, 100)}
        for each in self.sold:
            each.newest = found.get(each.id, each.newest)
        sold.looks.append((sold.newest, sold.says))

    def end_look(self, number: int, look: int) -> None:
        """An answer comes, the newest or one that was held up: only the newest look's counts."""
        sold = self.nth(number)
        if not sold.looks:
            return
        token, said = sold.looks.pop(look)
        with transaction() as conn:
            counts = standings.apply(conn, BY, sold.id, self.who, self.word(sold, said), token=token)
        assert counts == (token == sold.newest)
        if counts:
            sold.learn(said)
            self.follow(sold)

    def hook(self, number: int, again: bool) -> None:
        """It is stored once, moves nothing, and no look that began before it counts."""
        sold = self.nth(number)
        event = f"{sold.id}:{'again' if again else len(rows('select 1 from inbound_events'))}"
        with transaction() as conn:
            received = hints.receive(conn, "xendit", event, "invoice.paid", (f"there-{sold.id}",), {})
        if received.new:
            sold.newest += 1
        assert received.payments == received.new

    def word(self, sold: Sold, said: dict[str, Any]) -> CompanyWord:
        dispute = said.get("dispute")
        return CompanyWord(
            said["money"], payment_ref=f"ref-{sold.id}", paid=D(said["paid"]) / 100 if said["money"] is Money.PAID else None,
            currency=said.get("currency", "USD"), refunded=D(said.get("refunded", 0)) / 100,
            refund_failed=said.get("refund_failed", False), dispute=Dispute(dispute) if dispute else None,
        )  # fmt: skip

    def follow(self, sold: Sold) -> None:
        """What the books do for a word that was taken over."""
        found = rows(
            "select id, expires_at from grants where account_id = %s and ref like %s order by id desc", self.who, f"payment:{sold.id}:%"
        )  # fmt: skip
        wanted, sold.given = sold.worth() - sold.given, sold.worth()
        new = [(name, expires) for name, expires in found if name not in self.books.lots]
        if wanted > 0:
            ((name, expires),) = new
            self.books.give(name, wanted, expires)
            return
        assert not new
        for name, _ in found:
            lot = self.books.lots[name]
            part = min(lot.amount - lot.taken, -wanted)
            if part > 0:
                wanted += part
                self.books.take_back(name, part)

    # At home

    def submit(self, price: int) -> None:
        now = self.now()
        answer = place(order(self.who, self.offers[price]))[0]
        assert getattr(answer, "code", None) == self.books.refusal(price, now, None)
        if isinstance(answer, Accepted):
            self.books.order(answer.job_id, price, now, by_key=False)

    def end_job(self, number: int, part: float) -> None:
        living = [
            job
            for (job,) in rows(
                "select job_id from job_runs where account_id = %s and dispatched order by job_id", self.who
            )
        ]
        if not living:
            return
        job, now = living[number % len(living)], self.now()
        cost = int(sum(amount for _, amount in self.books.held[job].parts) * part)
        with transaction() as conn:
            claim = steps.claim(conn, job, "worker")
        assert claim is not None
        attempt = AttemptEnd(claim.live.number, "done") if claim.live else None
        with transaction() as conn:
            what = Ending("succeeded", cost_credits=cost, attempt=attempt)
            assert ending.end(conn, self.who, job, what, token=claim.token)
        self.books.end(job, cost, now)

    def charge_back(self, number: int, price: int, word: str) -> None:
        """What happens to shops: it is paid, spent, and charged back."""
        self.pay(number, 1, "USD", 1)
        self.submit(price)
        self.dispute(number, word, 1)

    def come_too_late(self, number: int, hours: int) -> None:
        """What was paid expires before it goes back."""
        self.pay(number, 1, "USD", 1)
        self.time_passes(hours)
        self.refund(number, 1, 1)

    def take_by_hand(self, amount: int) -> None:
        """Those that would be used last go first; never more than there is."""
        self.books.expire(self.now())
        if amount > sum(min(lot.remaining, lot.amount - lot.taken) for lot in self.books.lots.values()):
            with transaction() as conn, pytest.raises(InvalidInput):
                standing.take_credits(conn, BY, self.who, amount, "by hand")
            with transaction() as conn:
                ledger.expire_lapsed(conn, [self.who])
            return
        with transaction() as conn:
            standing.take_credits(conn, BY, self.who, amount, "by hand")
        for lot in sorted(self.books.lots.values(), key=lambda each: each.order_of_use(), reverse=True):
            part = min(lot.remaining, lot.amount - lot.taken, amount)
            if part:
                amount -= part
                self.books.take_back(lot.id, part)

    def gift(self, amount: int) -> None:
        with transaction() as conn:
            given = ledger.grant(conn, self.who, kind="gift", amount=amount, ref=str(len(self.books.lots)))
        assert given is not None
        self.books.give(given, amount, None)

    def time_passes(self, hours: int) -> None:
        self.offset += timedelta(hours=hours)
        set_clock(self.offset)
        with transaction() as conn:
            ledger.expire_lapsed(conn, [self.who])
        self.books.expire(self.now())

    def the_books_hold(self) -> None:
        books = self.books
        assert one("select available, reserved, debt from accounts where id = %s", self.who) == (
            books.available, books.reserved, books.debt,
        )  # fmt: skip
        assert set(rows("select id, remaining, taken_back from grants where account_id = %s", self.who)) == {
            (lot.id, lot.remaining, lot.taken) for lot in books.lots.values()
        }
        with transaction() as conn:
            for sold in self.sold:
                found = orders.payment(conn, sold.id)
                assert (found.credits_given, found.paid_at is not None) == (sold.given, sold.arrived is not None)
        self.steps += 1
        if self.steps % AUDIT_EVERY == 0:
            assert_books_are_clean()


def step(name: str, /, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(given))


which = st.sampled_from([0, 0, 0, 1, 2])  # of the payments, the newest first
heard = st.sampled_from([0, 1, 1, 2])  # looks at once: few faults show without
PAY = step(
    "pay", number=which, part=st.sampled_from([1, 1, 1, 1, 2, 3, 0.5]), currency=st.sampled_from(["USD"] * 5 + ["IDR"]), heard=heard
)  # fmt: skip
REFUND = step("refund", number=which, part=st.sampled_from([0, 0.25, 0.5, 1, 1]), heard=heard)
DISPUTE = step(
    "dispute", number=which, word=st.sampled_from([None, "inquiry", "open", "lost", "won", "won"]), heard=heard
)
SUBMIT = step("submit", price=st.sampled_from([1, 10, 10, 30, 30, 70]))
STEPS = st.one_of(
    PAY, PAY, PAY, REFUND, REFUND, DISPUTE, DISPUTE, SUBMIT, SUBMIT, SUBMIT,
    step("order", name=st.sampled_from(list(PACKS)), late=st.booleans()),
    step("say_otherwise", number=which, money=st.sampled_from([Money.PROCESSING, Money.EXPIRED, Money.FAILED, Money.PENDING]), heard=heard),
    step("look", number=which), step("begin_look", number=which), step("end_look", number=which, look=st.sampled_from([-1, 0])),
    step("hook", number=which, again=st.booleans()), step("end_job", number=which, part=st.sampled_from([0, 0.5, 1, 1])),
    step("charge_back", number=which, price=st.sampled_from([1, 30, 70]), word=st.sampled_from(["open", "lost"])),
    step("come_too_late", number=which, hours=st.sampled_from([1, 60])),
    step("take_by_hand", amount=st.integers(1, 40)), step("gift", amount=st.integers(1, 50)),
    step("time_passes", hours=st.sampled_from([1, 30, 60, 24 * 40])),
)  # fmt: skip


@settings(
    max_examples=examples(12), deadline=None, derandomize=True, database=None, print_blob=True,
    phases=(Phase.generate,),  # what is found is shown as it is: to make it shorter would take minutes
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(taken=st.lists(STEPS, min_size=40, max_size=40))
def test_the_books_hold_whatever_companies_say_in_whatever_order(taken: list[tuple[str, dict[str, Any]]]) -> None:
    for name, (credits, cents, days) in PACKS.items():
        pack(name, credits=credits, expires_days=days, USD=str(D(cents) / 100))
    with environment({"CLOCK_OFFSET_SECONDS": "0"}):
        shop = Shop()
        for name, given_to in taken:
            getattr(shop, name)(**given_to)
            shop.the_books_hold()
        assert_books_are_clean()
