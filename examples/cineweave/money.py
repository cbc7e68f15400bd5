"""CineWeave's plans, payments and figures (A5, A6, A8)."""

from math import ceil

from headrace_client import Headrace
from headrace_client.models import Payment, Plan

from examples.cineweave.films import MODEL
from examples.cineweave.server import Server
from examples.running import Difference, eventually, fulfilled, refused, same

# Credits, US cents a month, markup in basis points, one credit in millionths of a dollar.
PLANS = {
    "starter": (80, 1000, 8500, 125_000),
    "creator": (250, 3100, 7500, 124_000),
    "studio": (500, 6000, 7000, 120_000),
}


class Money:
    """What one user is on, and pays."""

    _payment: Payment

    def __init__(self, server: Server) -> None:
        self._server = server

    def list_plans(self) -> None:
        plans = self._server.user.plans
        shown = {each.id: each for each in plans.list()}
        for name, wanted in PLANS.items():
            same(_terms(shown[name]), wanted, f"{name}: credits, cents, markup and price of a credit")
            same(plans.get(name), shown[name], f"{name} by itself")

    def quote(self) -> None:
        per_second = self._server.user.models.get(MODEL).price.cost_usd_micros
        if per_second is None:
            raise Difference(f"what {MODEL} costs is not said")
        for name in PLANS:
            user = self._user_on(name)
            for seconds in (5, 10, 15):
                found = user.quotes.create(model=MODEL, input={"prompt": "x", "duration_seconds": seconds})
                same(found.credits, cost_plus(per_second * seconds, name), f"the credits for {seconds} s on {name}")

    def _user_on(self, plan: str) -> Headrace:
        """Another user, on this plan."""
        opened = self._server.operator.admin.open_user(subject=f"{self._server.user_id}-{plan}", plan=plan)
        return self._server.service.acting_for(opened.account_id)

    def change_plan(self) -> None:
        admin, account_id = self._server.operator.admin, self._server.account_id
        before = self._server.balance()
        admin.subscribe_account(account_id, plan="starter", reason="asked by mail")
        same(self._on(), ("starter", before.available + 80), "plan and credits after the first change")
        admin.change_account_plan(account_id, plan="creator", reason="asked by mail")
        plan, available = self._on()
        same(plan, "creator", "the plan after the second change")
        fulfilled(available > before.available + 80, "the better plan came without credits")
        acts = admin.list_acts(subject=account_id).first().data
        reasons = [each.details["reason"] for each in acts if each.action.startswith("plan.")]
        same(reasons[:2], ["asked by mail"] * 2, "why, in the audit log")

    def _on(self) -> tuple[str, int]:
        found = self._server.balance()
        return found.plan, found.available

    def pay(self) -> None:
        payments, before = self._server.user.payments, self._server.balance().available
        order = payments.create(
            plan="studio", interval="monthly", currency="USD", company="manual",
            idempotency_key=f"studio-{self._server.user_id}",
        )  # fmt: skip
        same((order.status, order.price, order.paid), ("pending", "60.00", None), "the order: status, price, paid")
        # The money is there. TrueLayer would say so itself; for a transfer by hand an operator does.
        for _ in range(2):
            paid = self._server.operator.admin.mark_payment_paid(order.id, reason="seen on the bank statement")
        same((paid.status, paid.paid), ("paid", "60.00"), "the payment")
        eventually(lambda: self._on()[0], "studio", "the plan that was paid")
        fulfilled(self._on()[1] > before, "the payment gave no credits")
        self._payment = payments.get(order.id)

    def list_payments(self) -> None:
        payments = self._server.user.payments
        newer = payments.create(
            plan="creator", currency="USD", company="manual", idempotency_key=f"creator-{self._server.user_id}"
        )
        same(list(payments.list()), [newer, self._payment], "the user's payments, newest first")
        fulfilled(bool(self._payment.company_payment_id), "the payment has no id at its company")

    def look_at_figures(self) -> None:
        found = self._server.operator.admin.get_stats(days=2)
        fulfilled(found.credits.spent_per_day > 0, "no credits were spent")
        success = found.jobs.success or 0
        fulfilled(0 < success < 1, f"{success} of the jobs succeeded, and some did and some did not")
        fulfilled((found.jobs.mean_seconds or 0) > 0, "jobs took no time")
        active = {each.plan: each.active for each in found.plans}
        fulfilled(active.get("studio", 0) >= 1, f"nobody on studio is active: {active}")
        fulfilled(found.payments.paid >= 1, "no payment was paid")
        refused(403, "forbidden", self._server.user.admin.get_stats, days=2)


def cost_plus(cost_usd_micros: int, plan: str) -> int:
    """CineWeave's price: the provider's cost and the plan's markup, in credits of that plan, rounded up."""
    _, _, markup_bp, credit_usd_micros = PLANS[plan]
    return ceil(cost_usd_micros * (10_000 + markup_bp) / (10_000 * credit_usd_micros))


def _terms(plan: Plan) -> tuple[int, int | None, int, int]:
    return plan.credits, plan.price_cents, plan.markup_bp, plan.credit_price_usd_micros
