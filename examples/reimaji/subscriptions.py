"""Reimaji's invoices and subscriptions (D2, D3)."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from examples.reimaji.learners import Learner, Learners
from examples.running import eventually, same
from examples.xendit import Xendit

PLAN = "reimaji-pro"
# What Reimaji calls an invoice's states.
THEIRS = {"pending": "PENDING", "processing": "PENDING", "paid": "PAID", "expired": "EXPIRED", "failed": "FAILED"}


class Subscriptions:
    """What learners pay for."""

    def __init__(self, client: httpx.Client, learners: Learners, xendit: Xendit) -> None:
        self._client, self._learners, self._xendit = client, learners, xendit
        self._month: dict[str, Any] = {}
        self._paid_until = datetime.now(UTC)  # until there is a trial

    def _order(self, learner: Learner, interval: str, once: str) -> dict[str, Any]:
        """Make an invoice. The user's browser goes to its `pay_url`."""
        wanted = {"plan": PLAN, "interval": interval, "currency": "IDR", "company": "xendit"}
        once = f"{once}-{learner.account_id}"
        made: dict[str, Any] = learner.caller.ask("POST", "/v1/payments", status=201, once=once, json=wanted)
        return made

    def _pay(self, learner: Learner, invoice: dict[str, Any]) -> None:
        """The user pays at Xendit, which calls back: only that it did is believed, and Xendit is asked. Twice is once."""
        self._xendit.pay(invoice["id"])
        for _ in range(2):
            same(self._xendit.call_back(self._client, invoice["id"]), 200, "how the callback is answered")
        self._becomes(learner, invoice["id"], "PAID")

    def _becomes(self, learner: Learner, payment_id: str, wanted: str) -> None:
        def look() -> str:
            return THEIRS[learner.caller.ask("GET", f"/v1/payments/{payment_id}")["status"]]

        eventually(look, wanted, "the invoice's state")

    def begin_trial(self) -> None:
        learner = self._learners.learner
        trial = learner.caller.ask("POST", "/v1/subscription/trial", json={"plan": PLAN})
        started, ends = (datetime.fromisoformat(trial[name]) for name in ("started_at", "trial_ends_at"))
        same((trial["status"], ends - started), ("trial", timedelta(days=7)), "the trial, and how long it is")
        same(learner.me()["role"], "pro", "the role while it lasts")
        learner.caller.refused("POST", "/v1/subscription/trial", 400, "invalid_request", json={"plan": PLAN})
        self._paid_until = datetime.fromisoformat(trial["ends_at"])

    def order_month(self) -> None:
        learner = self._learners.learner
        self._month = self._order(learner, "monthly", "month")
        same(self._order(learner, "monthly", "month")["id"], self._month["id"], "the invoice of the same request")
        found = learner.caller.ask("GET", f"/v1/payments/{self._month['id']}")
        same((THEIRS[found["status"]], found["price"], found["currency"]), ("PENDING", "155000", "IDR"), "the invoice")
        same(found["pay_url"], self._xendit.invoice_of(found["id"])["invoice_url"], "where the user pays")

    def pay_month(self) -> None:
        learner, payment_id = self._learners.learner, self._month["id"]
        same(self._xendit.call_back(self._client, payment_id, forged=True), 401, "how a forged callback is answered")
        self._pay(learner, self._month)
        paid = learner.caller.ask("GET", f"/v1/payments/{payment_id}")
        same(
            (paid["paid"], paid["company_payment_id"]),
            ("155000", self._xendit.invoice_of(payment_id)["id"]),
            "what was paid",
        )

    def look_at_month(self) -> None:
        self._runs_until(_months_after(self._paid_until, 1), "monthly")

    def pay_year(self) -> None:
        year = self._order(self._learners.learner, "yearly", "year")
        same(year["price"], "1550000", "the price of a year")
        self._pay(self._learners.learner, year)
        self._runs_until(_months_after(self._paid_until, 13), "yearly")

    def let_expire(self) -> None:
        learner = self._learners.learner
        forgotten = self._order(learner, "monthly", "forgotten")
        before = learner.caller.ask("GET", "/v1/subscription")
        self._xendit.expire(forgotten["id"])
        same(self._xendit.call_back(self._client, forgotten["id"]), 200, "how the callback is answered")
        self._becomes(learner, forgotten["id"], "EXPIRED")
        same(learner.caller.ask("GET", "/v1/subscription"), before, "the subscription after it")

    def _runs_until(self, wanted: datetime, interval: str) -> None:
        learner = self._learners.learner
        found = learner.caller.ask("GET", "/v1/subscription")
        same((found["plan"], found["status"], found["interval"]), (PLAN, "active", interval), "the subscription")
        same(datetime.fromisoformat(found["ends_at"]), wanted, "its end")
        same(learner.me()["role"], "pro", "the role of who has paid")

    def cancel_and_resume(self) -> None:
        caller = self._learners.learner.caller
        before = caller.ask("GET", "/v1/subscription")
        canceled = caller.ask("POST", "/v1/subscription/cancel")
        same((canceled["status"], canceled["ends_at"]), ("canceled", before["ends_at"]), "status and end, cancelled")
        same(caller.ask("POST", "/v1/subscription/resume"), before, "the subscription that goes on")

    def pay_for_another(self) -> None:
        other = self._learners.other = self._learners.open()
        self._pay(other, self._order(other, "monthly", "month"))
        same((other.me()["role"], other.me()["plan"]), ("pro", PLAN), "role and plan of who has paid")

    def run_out(self) -> None:
        other = self._learners.other
        eventually(lambda: other.caller.ask("GET", "/v1/subscription")["status"], "expired", "the subscription")
        same((other.me()["role"], other.me()["plan"]), ("user", "free"), "role and plan then")
        same(self._learners.learner.me()["role"], "pro", "the role of who has paid for longer")


def _months_after(moment: datetime, months: int) -> datetime:
    """The same day so many months later, or the last of a shorter month."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))
