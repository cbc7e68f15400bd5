"""CineWeave's plans, payments and figures (A5, A6, A8)."""

from math import ceil
from typing import Any

from examples.callers import Caller
from examples.cineweave.films import MODEL
from examples.cineweave.server import Server
from examples.running import eventually, fulfilled, same

# Credits, US cents a month, markup in basis points, one credit in millionths of a dollar.
PLANS = {
    "starter": (80, 1000, 8500, 125_000),
    "creator": (250, 3100, 7500, 124_000),
    "studio": (500, 6000, 7000, 120_000),
}


class Money:
    """What one user is on, and pays."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._payment: dict[str, Any] = {}

    def list_plans(self) -> None:
        shown = {each["id"]: each for each in self._server.user.ask("GET", "/v1/plans")["data"]}
        for name, wanted in PLANS.items():
            plan = shown[name]
            same(_terms(plan), wanted, f"credits, price, markup and price of a credit of {name}")
            same(self._server.user.ask("GET", f"/v1/plans/{name}"), plan, f"{name} by itself")

    def quote(self) -> None:
        price = self._server.user.ask("GET", f"/v1/models/{MODEL}")["price"]
        for name in PLANS:
            user = self._user_on(name)
            for seconds in (5, 10, 15):
                found = user.ask(
                    "POST", "/v1/quotes", json={"model": MODEL, "input": {"prompt": "x", "duration_seconds": seconds}}
                )
                cost = price["cost_usd_micros"] * seconds
                same(found["credits"], cost_plus(cost, name), f"the credits for {seconds} s on {name}")

    def _user_on(self, plan: str) -> Caller:
        """Another user, on this plan."""
        subject = f"{self._server.user_id}-{plan}"
        opened = self._server.operator.ask(
            "POST", "/v1/admin/users", status=201, json={"subject": subject, "plan": plan}
        )
        return self._server.service.acting_for(opened["account_id"])

    def change_plan(self) -> None:
        operator, path = self._server.operator, f"/v1/admin/accounts/{self._server.account_id}"
        before = self._server.balance()
        operator.ask("POST", f"{path}/subscribe", json={"plan": "starter", "reason": "asked by mail"})
        same(self._on(), ("starter", before["available"] + 80), "plan and credits after the first change")
        operator.ask("POST", f"{path}/change-plan", json={"plan": "creator", "reason": "asked by mail"})
        plan, available = self._on()
        same(plan, "creator", "the plan after the second change")
        fulfilled(available > before["available"] + 80, "the better plan came without credits")
        acts = operator.ask("GET", "/v1/admin/acts", params={"subject": self._server.account_id})["data"]
        noted = [each for each in acts if each["action"].startswith("plan.")]
        same([each["details"]["reason"] for each in noted[:2]], ["asked by mail"] * 2, "why, in the audit log")

    def _on(self) -> tuple[str, int]:
        found = self._server.balance()
        return found["plan"], found["available"]

    def pay(self) -> None:
        user, before = self._server.user, self._server.balance()["available"]
        wanted = {"plan": "studio", "interval": "monthly", "currency": "USD", "company": "manual"}
        order = user.ask("POST", "/v1/payments", status=201, once=f"studio-{self._server.user_id}", json=wanted)
        same((order["status"], order["price"], order["paid"]), ("pending", "60.00", None), "the order")
        # The money is there. TrueLayer would say so itself; for a transfer by hand an operator does.
        for _ in range(2):
            paid = self._server.operator.ask(
                "POST", f"/v1/admin/payments/{order['id']}/paid", json={"reason": "seen on the bank statement"}
            )
        same((paid["status"], paid["paid"]), ("paid", "60.00"), "the payment")
        eventually(lambda: self._on()[0], "studio", "the plan that was paid")
        fulfilled(self._on()[1] > before, "the payment gave no credits")
        self._payment = user.ask("GET", f"/v1/payments/{order['id']}")

    def list_payments(self) -> None:
        user = self._server.user
        other = {"plan": "creator", "currency": "USD", "company": "manual"}
        newer = user.ask("POST", "/v1/payments", status=201, once=f"creator-{self._server.user_id}", json=other)
        same(user.ask("GET", "/v1/payments")["data"], [newer, self._payment], "the user's payments, newest first")
        fulfilled(bool(self._payment["company_payment_id"]), "the payment has no id at its company")

    def look_at_figures(self) -> None:
        found = self._server.operator.ask("GET", "/v1/admin/stats", params={"days": 2})
        jobs, credits_ = found["jobs"], found["credits"]
        fulfilled(credits_["spent_per_day"] > 0, "no credits were spent")
        fulfilled(0 < jobs["success"] < 1, f"{jobs['success']} of the jobs succeeded, and some did and some did not")
        fulfilled(jobs["mean_seconds"] > 0, "jobs took no time")
        active = {each["plan"]: each["active"] for each in found["plans"]}
        fulfilled(active.get("studio", 0) >= 1, f"nobody on studio is active: {active}")
        fulfilled(found["payments"]["paid"] >= 1, "no payment was paid")
        self._server.user.refused("GET", "/v1/admin/stats", 403, "forbidden")


def cost_plus(cost_usd_micros: int, plan: str) -> int:
    """CineWeave's price: the provider's cost and the plan's markup, in credits of that plan, rounded up."""
    _, _, markup_bp, credit_usd_micros = PLANS[plan]
    return ceil(cost_usd_micros * (10_000 + markup_bp) / (10_000 * credit_usd_micros))


def _terms(plan: dict[str, Any]) -> tuple[int, int, int, int]:
    return plan["credits"], plan["price_cents"], plan["markup_bp"], plan["credit_price_usd_micros"]
