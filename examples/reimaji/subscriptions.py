"""Reimaji's invoices and subscriptions (D2, D3)."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Literal

from headrace_client.models import Payment

from examples.reimaji.learners import Learner, Learners
from examples.running import Difference, Place, eventually, refused, same
from examples.xendit import Xendit

PLAN = "reimaji-pro"
GRACE_DAYS = 3
# What Reimaji calls a payment's states.
THEIRS = {"pending": "PENDING", "processing": "PENDING", "paid": "PAID", "expired": "EXPIRED", "failed": "FAILED"}


class Subscriptions:
    """What learners pay for; `_month` is there once it was ordered."""

    _month: Payment

    def __init__(self, place: Place, learners: Learners, xendit: Xendit) -> None:
        self._place, self._learners, self._xendit = place, learners, xendit
        self._paid_until = datetime.now(UTC)  # until there is a trial

    def _order(self, learner: Learner, interval: Literal["monthly", "yearly"], once: str) -> Payment:
        """Make an invoice. The user's browser goes to its `pay_url`."""
        return learner.client.payments.create(
            plan=PLAN, interval=interval, currency="IDR", company="xendit",
            idempotency_key=f"{once}-{learner.account_id}",
        )  # fmt: skip

    def _call_back(self, payment_id: str, *, forged: bool = False) -> int:
        return self._xendit.call_back(self._place.http, payment_id, forged=forged)

    def _pay(self, learner: Learner, invoice: Payment) -> None:
        """The user pays at Xendit, which calls back: only that it did is believed, and Xendit is asked. Twice is once."""
        self._xendit.pay(invoice.id)
        for _ in range(2):
            same(self._call_back(invoice.id), 200, "how the callback is answered")
        self._becomes(learner, invoice.id, "PAID")

    def _becomes(self, learner: Learner, payment_id: str, wanted: str) -> None:
        eventually(lambda: THEIRS[learner.client.payments.get(payment_id).status], wanted, "the invoice's state")

    def begin_trial(self) -> None:
        learner = self._learners.learner
        trial = learner.client.subscription.start_trial(plan=PLAN)
        if trial.trial_ends_at is None:
            raise Difference("the trial has no end")
        days = (trial.trial_ends_at - trial.started_at) // timedelta(days=1)
        same((trial.status, days), ("trial", 7), "the trial, and its days")
        same(learner.me().role, "pro", "the role while it lasts")
        refused(400, "invalid_request", learner.client.subscription.start_trial, plan=PLAN)
        self._paid_until = trial.ends_at

    def order_month(self) -> None:
        learner = self._learners.learner
        self._month = self._order(learner, "monthly", "month")
        same(self._order(learner, "monthly", "month").id, self._month.id, "the invoice of the same request")
        found = learner.client.payments.get(self._month.id)
        terms = (THEIRS[found.status], found.price, found.currency)
        same(terms, ("PENDING", "155000", "IDR"), "state, price and currency")
        same(found.pay_url, self._xendit.invoice_of(found.id)["invoice_url"], "where the user pays")

    def pay_month(self) -> None:
        learner, payment_id = self._learners.learner, self._month.id
        same(self._call_back(payment_id, forged=True), 401, "how a forged callback is answered")
        self._pay(learner, self._month)
        paid = learner.client.payments.get(payment_id)
        same(paid.paid, "155000", "what was paid")
        same(paid.company_payment_id, self._xendit.invoice_of(payment_id)["id"], "the invoice at Xendit")

    def look_at_month(self) -> None:
        self._runs_until(_months_after(self._paid_until, 1), "monthly")

    def pay_year(self) -> None:
        year = self._order(self._learners.learner, "yearly", "year")
        same(year.price, "1550000", "the price of a year")
        self._pay(self._learners.learner, year)
        self._runs_until(_months_after(self._paid_until, 13), "yearly")

    def let_expire(self) -> None:
        learner = self._learners.learner
        forgotten = self._order(learner, "monthly", "forgotten")
        before = learner.client.subscription.get()
        self._xendit.expire(forgotten.id)
        same(self._call_back(forgotten.id), 200, "how the callback is answered")
        self._becomes(learner, forgotten.id, "EXPIRED")
        same(learner.client.subscription.get(), before, "the subscription after it")

    def _runs_until(self, wanted: datetime, interval: str) -> None:
        learner = self._learners.learner
        found = learner.client.subscription.get()
        same((found.plan, found.status, found.interval), (PLAN, "active", interval), "plan, status and interval")
        same(found.ends_at, wanted, "its end")
        same(learner.me().role, "pro", "the role of who has paid")

    def cancel_and_resume(self) -> None:
        subscription = self._learners.learner.client.subscription
        before = subscription.get()
        canceled = subscription.cancel()
        same(
            (canceled.status, canceled.ends_at == before.ends_at),
            ("canceled", True),
            "status, and whether its end stays",
        )
        same(subscription.resume(), before, "the subscription that goes on")

    def pay_for_another(self) -> None:
        other = self._learners.other = self._learners.open()
        self._pay(other, self._order(other, "monthly", "month"))
        same((other.me().role, other.me().plan), ("pro", PLAN), "role and plan of who has paid")

    def be_in_grace(self) -> None:
        other = self._learners.other
        eventually(lambda: other.client.subscription.get().status, "past_due", "the subscription, whose month is over")
        found = other.client.subscription.get()
        if found.over_at is None:
            raise Difference("nobody says when it is over")
        same((found.over_at - found.ends_at).days, GRACE_DAYS, "the days that it goes on")
        same((other.me().role, other.me().plan), ("pro", PLAN), "role and plan meanwhile")

    def run_out(self) -> None:
        other = self._learners.other
        eventually(lambda: other.client.subscription.get().status, "expired", "the subscription")
        same((other.me().role, other.me().plan), ("user", "free"), "role and plan then")
        same(self._learners.learner.me().role, "pro", "the role of who has paid for longer")


def days_to_grace() -> int:
    """From today to the day after the end of a month that is paid today."""
    now = datetime.now(UTC)
    return (_months_after(now, 1) - now).days + 1


def _months_after(moment: datetime, months: int) -> datetime:
    """The same day so many months later, or the last of a shorter month."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))
