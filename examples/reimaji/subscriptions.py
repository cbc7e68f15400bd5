"""Reimaji's invoices and subscriptions (D2, D3)."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any

from examples.reimaji.learners import Learner, Learners
from examples.running import eventually, fulfilled, same

PLAN = "reimaji-pro"
# What Reimaji calls an invoice's states.
THEIRS = {"pending": "PENDING", "processing": "PENDING", "paid": "PAID", "expired": "EXPIRED", "failed": "FAILED"}


class Subscriptions:
    """What learners pay for."""

    def __init__(self, learners: Learners) -> None:
        self._learners = learners
        self._month: dict[str, Any] = {}
        self._paid_until = datetime.now(UTC)  # until there is a trial

    def _order(self, learner: Learner, interval: str, once: str) -> dict[str, Any]:
        """Make an invoice. With Xendit the company is `xendit`, and the user's browser goes to `pay_url`."""
        wanted = {"plan": PLAN, "interval": interval, "currency": "IDR", "company": "manual"}
        once = f"{once}-{learner.account_id}"
        made: dict[str, Any] = learner.caller.ask("POST", "/v1/payments", status=201, once=once, json=wanted)
        return made

    def _pay(self, invoice: dict[str, Any]) -> None:
        """The money is there: Xendit's callback says so, or for a transfer by hand an admin. Twice is once."""
        path = f"/v1/admin/payments/{invoice['id']}/paid"
        for _ in range(2):
            paid = self._learners.admin.ask("POST", path, json={"reason": "seen on the bank statement"})
        same((THEIRS[paid["status"]], paid["paid"]), ("PAID", invoice["price"]), "the invoice that was paid")

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
        made, ends = (datetime.fromisoformat(found[name]) for name in ("created_at", "expires_at"))
        fulfilled(ends > made, f"it was made at {made} and can be paid until {ends}")

    def pay_month(self) -> None:
        self._pay(self._month)
        self._runs_until(_months_after(self._paid_until, 1), "monthly")

    def pay_year(self) -> None:
        year = self._order(self._learners.learner, "yearly", "year")
        same(year["price"], "1550000", "the price of a year")
        self._pay(year)
        self._runs_until(_months_after(self._paid_until, 13), "yearly")

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
        self._pay(self._order(other, "monthly", "month"))
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
