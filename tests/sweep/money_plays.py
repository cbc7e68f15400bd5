"""What happens to one account's money, step by step: one play for each way that it goes.

After each step that a fault may break off, the duties go on until all is quiet; only then the world goes on.
"""

from decimal import Decimal
from functools import partial
from typing import Any

from models.access.audit_log import By
from models.accounts import paid_periods
from models.db import transaction
from models.payments import orders, promotions, refills
from tests.scheduler.duties.test_payments import CURRENCY, PRICES
from tests.support import model, order, place
from tests.sweep.money import Play, Sale

BY = By("swept")
D = Decimal


def ordered(sale: Sale, name: str, *, seen: bool, **more: Any) -> str:
    """Order a pack at a company, or what is named. Returns its id there."""
    what = {"pack": "small", "currency": CURRENCY.get(name, "USD"), "company": name} | more
    body = {field: value for field, value in what.items() if value is not None}
    sale.api("POST", "/v1/payments", json=body, seen=seen)
    sale.settle()
    return str(sale.payment("plan" if "plan" in body else "pack")[1])


def paid(sale: Sale, name: str, *, seen: bool = False, **more: Any) -> str:
    """Ordered and paid; no hook tells of it. Returns its id at the company."""
    there = ordered(sale, name, seen=seen, **more)
    sale.till.far.pay(name, there)
    if seen:
        sale.duty("look")
    sale.settle()
    return there


def pay(name: str, sale: Sale) -> None:
    """The order, and the look that finds the money."""
    paid(sale, name, seen=True)


def late(sale: Sale) -> None:
    """The order runs out, and then its money comes after all."""
    there = ordered(sale, "xendit", seen=False)
    sale.hook(sale.till.far.xendit.expire(there))
    sale.duty("look")
    sale.hook(sale.till.far.xendit.pay(there))
    sale.duty("look")


def refused(sale: Sale) -> None:
    """TrueLayer wants an address of e-mail, and there is none."""
    with transaction() as conn:
        conn.execute(
            "update users set email = null where id = (select user_id from accounts where id = %s)", [sale.who]
        )
        orders.create(conn, sale.who, orders.find_pack(conn, "small", "GBP"), "truelayer")
    sale.duty("look")


def hook(name: str, sale: Sale) -> None:
    """The company tells that it was paid; then it is asked."""
    there = ordered(sale, name, seen=False)
    far = sale.till.far
    posted = {
        "xendit": lambda: [far.xendit.pay(there)], "stripe": lambda: far.stripe.pay(there),
        "truelayer": lambda: [far.truelayer.become(there, "settled")],
    }[name]()  # fmt: skip
    sale.hook(*posted, posted[0])
    sale.duty("look")


def refund_ours(name: str, sale: Sale) -> None:
    """An admin has a part given back, then the rest."""
    paid(sale, name)
    payment = sale.payment()[0]
    half = str(D(PRICES[CURRENCY[name]]) / 2)
    for part in ({"amount": half}, {}):
        headers = {**sale.till.boss, "idempotency-key": f"{sale.tag}-{part}"}
        sale.api("POST", f"/v1/admin/payments/{payment}/refund", headers, json={**part, "reason": "swept"})
        sale.duty("look")


def refund_failed(name: str, sale: Sale) -> None:
    """A refund is taken and fails there later; it is ordered again."""
    paid(sale, name)
    payment = sale.payment()[0]
    for failing in (True, False):
        sale.till.far.fail_refunds(name, failing=failing)
        headers = {**sale.till.boss, "idempotency-key": f"{sale.tag}-{failing}"}
        sale.api("POST", f"/v1/admin/payments/{payment}/refund", headers, json={"reason": "swept"})
        sale.duty("look")


def refund_theirs(name: str, sale: Sale) -> None:
    """Somebody gives a part back at the company, then the rest. What was spent becomes debt."""
    there = paid(sale, name)
    spend(sale)
    far, price = sale.till.far, PRICES[CURRENCY[name]]
    minor = int(D(price) * (1 if name == "xendit" else 100))
    for part in (minor // 2, minor - minor // 2):
        if name == "stripe":
            sale.hook(*far.stripe.give_back(sale.payment()[2], part))
        else:
            sale.hook(far.of[name].give_back(there, part))
        sale.duty("look")


def by_hand(sale: Sale) -> None:
    """Money that came by another way, and goes back."""
    ordered(sale, "manual", seen=True)
    payment = sale.payment()[0]
    for act, body in (("paid", {}), ("refund", {"amount": "4.00"})):
        headers = {**sale.till.boss, "idempotency-key": f"{sale.tag}-{act}"}
        sale.api("POST", f"/v1/admin/payments/{payment}/{act}", headers, json={**body, "reason": "swept"})
        sale.settle()


def spend(sale: Sale) -> None:
    """A job holds most of the credits."""
    place(order(sale.who, model("seventy", price={"credits": 70})))


def dispute(end: str, sale: Sale) -> None:
    """A bank takes the money while a job holds credits, and decides."""
    paid(sale, "stripe")
    spend(sale)
    intent = sale.payment()[2]
    for word in ("needs_response", end):
        sale.hook(*sale.till.far.stripe.dispute(intent, word))
        sale.duty("look")


def plan(name: str, sale: Sale) -> None:
    """A plan's first month is paid, and then its second, by another order, unless the company renews it."""
    paid(sale, name, seen=True, pack=None, plan="starter", **_priced(sale, name))
    if name == "stripe":
        return
    sale.tag += "-again"
    paid(sale, name, seen=True, pack=None, plan="starter")


def _priced(_sale: Sale, name: str) -> dict[str, str]:
    with transaction() as conn:
        conn.execute(
            """update plans set prices = jsonb_set(prices, array['monthly', %s], to_jsonb(%s::text)) where id = 'starter'""",
            [CURRENCY[name], PRICES[CURRENCY[name]]],
        )
    return {}


def renewed(sale: Sale) -> None:
    """Stripe bills the next month of a subscription, and tells of it."""
    there = _subscribed(sale)
    sale.hook(*sale.till.far.stripe.renew(sale.till.far.stripe.things[there]["subscription"]))
    sale.duty("look")


def unpaid(sale: Sale) -> None:
    """A bank takes a subscription's month, and it is won again."""
    _subscribed(sale)
    intent = sale.payment("plan")[2]
    for word in ("needs_response", "won"):
        sale.hook(*sale.till.far.stripe.dispute(intent, word))
        sale.duty("look")


def _subscribed(sale: Sale) -> str:
    return paid(sale, "stripe", pack=None, plan="starter")


def next_month(sale: Sale) -> None:
    """The scheduler gives the next month of a year that was paid."""
    with transaction() as conn:
        paid_periods.subscribe(conn, sale.who, "starter", "yearly")
        conn.execute(
            """update subscriptions set started_at = started_at - interval '32 days', anchor = anchor - interval '32 days',
                      ends_at = ends_at - interval '32 days', next_grant_at = next_grant_at - interval '32 days' where account_id = %s""",
            [sale.who],
        )
    sale.duty("periods")


def refill(sale: Sale, *, fate: str | None = None) -> None:
    """The credits run low, and packs are bought with the card that was kept."""
    paid(sale, "stripe", keep_card=True)
    far = sale.till.far.stripe
    with transaction() as conn:
        refills.switch_on(conn, sale.who, "small", "USD", 250, D(35))
    if fate is not None:
        far.cards["pm_1"] = fate
    try:
        sale.duty("refills")
        sale.duty("look")
    finally:
        far.cards.clear()


def ordered_refill(sale: Sale) -> None:
    """As `refill`; the order is there, and the card is to be charged."""
    paid(sale, "stripe", keep_card=True)
    with transaction() as conn:
        refills.switch_on(conn, sale.who, "small", "USD", 250, D(35))
        refills.order(conn, sale.who)
    sale.duty("look")


def code(sale: Sale) -> None:
    """A code is used once."""
    with transaction() as conn:
        promotions.create(conn, BY, sale.tag.upper(), credits=10, max_uses=1)
    sale.api("POST", "/v1/promotions/redeem", json={"code": sale.tag})


PLAYS: dict[str, Play] = {
    **{f"pay-{name}": partial(pay, name) for name in CURRENCY},
    **{f"hook-{name}": partial(hook, name) for name in CURRENCY},
    **{f"refund-ours-{name}": partial(refund_ours, name) for name in CURRENCY},
    **{f"refund-theirs-{name}": partial(refund_theirs, name) for name in CURRENCY},
    **{f"refund-failed-{name}": partial(refund_failed, name) for name in CURRENCY},
    "pay-late": late,
    "pay-refused": refused,
    "by-hand": by_hand,
    "dispute-won": partial(dispute, "won"),
    "dispute-lost": partial(dispute, "lost"),
    "plan-xendit": partial(plan, "xendit"),
    "plan-stripe": partial(plan, "stripe"),
    "renewed": renewed,
    "unpaid": unpaid,
    "next-month": next_month,
    "refill": refill,
    "refill-charged": ordered_refill,
    "refill-declined": partial(refill, fate="card_declined"),
    "code": code,
}
