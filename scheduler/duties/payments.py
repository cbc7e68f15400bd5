"""The duty that asks companies about payments: what hooks point at, what waits, and rarely all others.

A company is asked in no transaction. What it says is taken over in the next one, unless a later look has begun meanwhile.
A company that is away is left alone for growing pauses, and nobody's payments at the others wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

from companies.asking import order_of
from companies.base import Away, Company, CompanyOrder, CompanyStanding, NotUnderstood, Refused, Unknown
from companies.registry import company, configured
from models.access.audit_log import By
from models.accounts import subscriptions
from models.db import transaction
from models.locks import lock_account
from models.payments import due, hints, orders, refills, standings
from models.payments.due import DuePayment, DueRefund
from models.payments.standings import CompanyWord
from models.payments.states import Dispute, Money
from scheduler.turns import Aside, Did, Patience, each

log = logging.getLogger(__name__)

AT_ONCE = 8  # companies' answers that are waited for together
ASK_AGAIN_SECONDS = 60.0
FIRST_REST, LONGEST_REST = 2.0, 300.0
SCHEDULER = By("scheduler")

Asked = TypeVar("Asked", DuePayment, DueRefund)


class Resting:
    """Companies that did not answer lately, each left alone for a while: for longer, the more often in a row."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Those that rest now."""
        with self._lock:
            return [name for name, (until, _) in self._until.items() if until > time.monotonic()]

    def rest(self, name: str) -> None:
        """One did not answer. Many at once that did not are one failure."""
        with self._lock:
            until, pause = self._until.get(name, (0.0, FIRST_REST / 2))
            if until <= time.monotonic():
                pause = min(LONGEST_REST, pause * 2)
                self._until[name] = time.monotonic() + pause, pause

    def well(self, name: str) -> None:
        """It answers."""
        with self._lock:
            self._until.pop(name, None)


_resting, _refills = Resting(), Aside()


def look_at_payments(batch: int) -> Did:
    """Ask about what is due, take over what is said, and ask for refunds that were ordered."""
    with transaction() as conn:
        refunds = due.claim_refunds(conn, batch, without=_resting.names())
    refunded = _ask_each(refunds, _refund)
    with transaction() as conn:  # afterwards, so that these looks see the refunds
        payments = due.claim(conn, batch, without=_resting.names())
    looked = _ask_each(payments, look)
    more = len(payments) >= batch or len(refunds) >= batch
    return Did(refunded + looked, more=more, errors=(*refunded.errors, *looked.errors))


def _ask_each(picked: Sequence[Asked], act: Callable[[Asked, Company], bool]) -> Did:
    def act_on(thing: Asked) -> tuple[bool, str | None]:
        if thing.company in _resting.names():
            return False, None  # it stopped answering within this batch; its lease lapses by itself
        try:
            done = act(thing, company(thing.company))
        except Away as error:
            _resting.rest(thing.company)
            log.warning("%s did not answer: %s", thing.company, error)
            return False, None
        except NotUnderstood as error:
            log.warning("%s is not understood about %s: %s", thing.company, thing.id, error)
            return False, None
        except Exception as error:
            log.exception("payment %s failed; the others go on", thing.id)
            return False, f"{thing.id}: {type(error).__name__}: {error}"[:200]
        _resting.well(thing.company)
        return done, None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(act_on, picked))
    return Did(sum(done for done, _ in found), errors=[error for _, error in found if error])


def look(one: DuePayment, far_side: Company) -> bool:
    """Ask a company about one payment, or have it hear of it at last. Raises Away."""
    try:
        if one.company_id is None:
            return _open(one, far_side)
        standing = far_side.look(one.company_id)
        bills = _bills(standing, far_side)
    except NotUnderstood as error:
        with transaction() as conn:
            new = due.put_off_unclear(conn, SCHEDULER, one.id, one.token, str(error)[:500])
        if new:
            log.error("payment %s at %s needs somebody: %s", one.id, one.company, error)  # noqa: TRY400 - a stack would say nothing more
        return False
    except (Unknown, Refused) as error:
        log.warning("%s does not know payment %s (%s)", one.company, one.id, error)
        with transaction() as conn:
            due.put_off(conn, one.id, one.token, 60 * ASK_AGAIN_SECONDS)
        return False
    with transaction() as conn:
        counts = standings.apply(conn, SCHEDULER, one.id, one.account_id, word_of(standing), token=one.token)
        for bill in bills:  # that no hook has told of; the others are known
            hints.begin_renewal(conn, one.company, bill, standing.subscription_id or "")
        return counts


def _bills(standing: CompanyStanding, far_side: Company) -> Sequence[str]:
    """What the company has billed since by itself. That it cannot say takes nothing from what it says of the payment."""
    if standing.state != "paid" or standing.subscription_id is None:
        return ()
    try:
        return far_side.renewals(standing.subscription_id)
    except (Unknown, Refused, NotUnderstood) as error:
        log.warning("the bills of subscription %s cannot be had: %s", standing.subscription_id, error)
        return ()


def word_of(standing: CompanyStanding) -> CompanyWord:
    """A company's word in ours."""
    money = Money(standing.state)
    return CompanyWord(
        money=money, payment_ref=standing.payment_ref, paid=standing.amount if money is Money.PAID else None,
        currency=standing.currency, refunded=standing.refunded, refund_failed=standing.refund_failed,
        dispute=Dispute(standing.dispute) if standing.dispute else None, paid_at=standing.paid_at,
        customer_id=standing.customer_id, card_id=standing.card_id, subscription_id=standing.subscription_id,
        billing_reason=standing.billing_reason, period_end=standing.period_end, reason=standing.reason,
    )  # fmt: skip


def _open(one: DuePayment, far_side: Company) -> bool:
    """Whoever ordered it was cut off: have the company take it, by the same key."""
    order = order_of(one)
    if one.purpose == "refill":
        return _charge(one, far_side, order)
    try:
        opened = far_side.open(order)
    except Refused as error:
        with transaction() as conn:
            orders.record_refusal(conn, one.id, str(error))
        return True
    with transaction() as conn:
        orders.record_opening(conn, one.id, opened.company_id, opened.pay_url, opened.expires_at)
    return True


def _charge(one: DuePayment, far_side: Company, order: CompanyOrder) -> bool:
    """Take a refill's money from the card that was kept. The order's id is the key: asked for again it is charged once."""
    try:
        charged = far_side.charge(order, customer_id=one.customer_id or "", card_id=one.card_id or "")
    except Refused as error:
        with transaction() as conn:
            lock_account(conn, one.account_id)
            orders.record_refusal(conn, one.id, str(error))
            refills.pause(conn, one.account_id, str(error))
        return True
    with transaction() as conn:
        lock_account(conn, one.account_id)
        orders.record_opening(conn, one.id, charged.standing.company_id, None, None)
        if charged.needs_payer:
            refills.pause(conn, one.account_id, refills.NEEDS_PAYER)
        return standings.apply(conn, SCHEDULER, one.id, one.account_id, word_of(charged.standing), token=one.token)


def order_refills(batch: int) -> Did:
    """Order what accounts want to be bought by itself."""

    def act(account_id: UUID, patience: Patience) -> int:
        with patience.locked(account_id) as conn:
            return refills.order(conn, account_id) is not None

    with transaction() as conn:
        accounts = refills.due(conn, batch)
    return each(_refills, accounts, act, of=lambda account_id: account_id)


def end_renewals(batch: int) -> Did:
    """Have Stripe bill nobody for a subscription that another took the place of, or whose user is deleted."""
    if "stripe" not in configured() or "stripe" in _resting.names():
        return Did(0)
    with transaction() as conn:
        picked = subscriptions.still_renewed(conn, batch)
    ended, far_side = 0, company("stripe")
    for subscription_id, theirs in picked:
        try:
            far_side.end_subscription(theirs)
        except Away as error:
            _resting.rest("stripe")
            log.warning("stripe did not answer: %s", error)
            break
        except (Refused, Unknown) as error:  # it is over there already
            log.warning("stripe does not end subscription %s: %s", subscription_id, error)
        with transaction() as conn:
            subscriptions.record_renewal_ended(conn, subscription_id)
        ended += 1
    return Did(ended, more=ended >= batch)


def _refund(one: DueRefund, far_side: Company) -> bool:
    refused = None
    try:
        far_side.refund(one.company_id, one.amount, one.currency, key=str(one.id), reason=one.reason)
    except (Refused, Unknown) as error:
        refused = str(error) or "refused"
    with transaction() as conn:
        due.record_refund_sent(conn, one.id, refused=refused)
    return True
