"""What happens at the companies of a simulated year: payers pay, banks dispute, merchants refund, Stripe bills its subscriptions."""

from collections.abc import Iterator
from typing import Any

from tests.far_side.companies import Posted
from tests.support import rows
from tests.year.people import Ordered, Person
from tests.year.world import DAY, World

OVER = ("canceled", "unpaid")


def let_people_pay(world: World, people: list[Person]) -> None:
    """Whoever wanted to pay by now does, at the company's page; its hooks are on their way."""
    due = [each for person in people for each in person.orders if _is_due(world, each)]
    names = dict(
        rows("select id::text, company_id from payments where id = any(%s::uuid[])", [each.payment for each in due])
    )
    for order in due:
        name = names.get(order.payment)
        if order.company == "manual":
            order.pays_at = None
            world.administer("POST", f"/v1/admin/payments/{order.payment}/paid", {"reason": "a transfer"})
        elif name is not None:  # else its company has not heard of it yet: they come again
            order.pays_at = None
            _pay(world, order, name)


def _is_due(world: World, order: Ordered) -> bool:
    return order.pays_at is not None and order.pays_at <= world.clock.now()


def _pay(world: World, order: Ordered, name: str) -> None:
    now = world.clock.now()
    if order.company == "stripe":
        session = world.stripe.things[name]
        if session["status"] != "open":  # who asked twice for one thing was answered with the same order
            return
        if session["expires_at"] < now:
            world.way.send(now, *world.stripe.expire(name))
            return
        amount = int(session["amount_total"] * order.amount_share)
        unpaid = order.delayed and session["mode"] == "payment"
        world.way.send(now, *world.stripe.pay(name, unpaid=unpaid, amount=amount))
        if unpaid:
            world.later(
                now + world.rng.uniform(1, 6) * DAY, lambda: world.stripe.settle(name, good=world.rng.random() < 0.8)
            )
    elif order.company == "xendit":
        invoice = world.xendit.invoices[name]
        if invoice["status"] == "PENDING":
            world.way.send(now, world.xendit.pay(name, invoice["amount"] * order.amount_share))
    elif world.truelayer.payments[name]["status"] == "authorization_required":
        world.way.send(now, world.truelayer.become(name, "executed"))
        ends = "settled" if world.rng.random() < 0.95 else "failed"
        world.later(now + world.rng.uniform(0, 3) * DAY, lambda: [world.truelayer.become(name, ends)])


def bill_subscriptions(world: World) -> None:
    """Stripe bills what has come to its period's end; one in ten cards is declined, and tried once more."""
    now = world.clock.now()
    with world.stripe.lock:
        subscriptions = [each for each in world.stripe.things.values() if each["object"] == "subscription"]
    for each in subscriptions:
        if each["status"] == "active" and each["ends"] <= now:
            world.way.send(now, *_bill(world, each))


def _bill(world: World, subscription: dict[str, Any]) -> list[Posted]:
    stripe, name = world.stripe, subscription["id"]
    if subscription["cancel_at_period_end"]:
        subscription["status"] = "canceled"
        return [stripe.event("customer.subscription.deleted", subscription)]
    if world.rng.random() < 0.9:
        return stripe.renew(name)
    subscription["status"] = "past_due"
    failed = stripe.renew(name, paid=False)
    invoice = stripe.last_invoice(name)
    world.later(world.clock.now() + 2 * DAY, lambda: _dun(world, subscription, invoice))
    return failed


def _dun(world: World, subscription: dict[str, Any], invoice: str) -> list[Posted]:
    if world.rng.random() < 0.6:
        subscription["status"] = "active"
        return world.stripe.pay_invoice(invoice)
    subscription["status"] = "canceled"
    return [world.stripe.event("customer.subscription.deleted", subscription)]


def let_money_go_back(world: World, days: float) -> None:
    """Some of what was paid is refunded, by our operators or on a company's own pages, or disputed."""
    paid = rows(
        "select id::text, company, company_id, payment_ref, paid, refunded from payments where money = 'paid' order by id"
    )
    for payment, company, company_id, ref, amount, refunded in paid:
        fate = world.rng.random() / days
        if fate < 0.0005:
            body: dict[str, Any] = {"reason": "it was dear"}
            if world.rng.random() < 0.5:
                body["amount"] = f"{amount / 2:.0f}"
            world.administer("POST", f"/v1/admin/payments/{payment}/refund", body)
        elif fate < 0.0008:
            world.way.send(world.clock.now(), *_refund_there(world, company, company_id, ref, amount, refunded))
        elif fate < 0.0016 and company == "stripe" and ref.startswith("pi_"):
            _dispute(world, ref)


def _refund_there(
    world: World, company: str, company_id: str, ref: str, amount: Any, refunded: Any
) -> Iterator[Posted]:
    if refunded or world.has_refund(company, company_id, ref):
        return
    part = amount if world.rng.random() < 0.5 else amount / 2
    if company == "xendit":
        yield world.xendit.give_back(company_id, int(part))
    elif company == "stripe" and ref.startswith("pi_"):
        yield from world.stripe.give_back(ref, int(part * 100))
    elif company == "truelayer":
        yield world.truelayer.give_back(company_id, int(part * 100))


def _dispute(world: World, intent: str) -> None:
    if world.is_disputed(intent):
        return
    inquiry = world.rng.random() < 0.25
    world.way.send(
        world.clock.now(), *world.stripe.dispute(intent, "warning_needs_response" if inquiry else "needs_response")
    )
    end = "warning_closed" if inquiry else world.rng.choice(("won", "lost"))
    world.later(world.clock.now() + world.rng.uniform(5, 40) * DAY, lambda: world.stripe.dispute(intent, end))
