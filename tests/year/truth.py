"""What must hold after a year: our books say what the companies say, each thing once."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from models.credits.audit import audit
from models.db import transaction
from models.payments.states import Dispute, Facts, Money, credits_due, period_due
from tests.support import one, rows
from tests.year.world import World

D = Decimal


def findings(world: World) -> list[str]:
    """What is wrong, a line each."""
    with transaction() as conn:
        broken = [f"audit: {each.rule}: {each.rows[:3]}" for each in audit(conn)]
    return [*broken, *_payments(world), *_companies(world), *_refunds(world), *_periods(), *_ends()]


def _payments(world: World) -> Iterator[str]:
    """Each payment gave what its company's money is worth."""
    found = rows(
        """select id::text, company, company_id, payment_ref, purpose, price, currency, credits, credits_given, holds, money, status,
                  reason from payments where company <> 'manual' and company_id is not null"""
    )
    for name, company, there, ref, purpose, price, currency, credits, given, holds, money, status, reason in found:
        facts = _facts(world, company, there, currency)
        if money != facts.money and not (money == "expired" and facts.money is Money.PENDING):
            yield f"payment {name} ({company} {there}) is {money}, and there it is {facts.money} ({reason})"
            continue
        if purpose in ("pack", "refill"):
            due = credits_due(credits, facts, price, currency)
            if due != given:
                yield f"payment {name} ({status}) gave {given} of {due} credits; there: {facts}"
        elif holds != period_due(facts, price, currency):
            yield f"payment {name} ({status}, {ref}) holds={holds}; there: {facts}"


def _facts(world: World, company: str, there: str, currency: str) -> Facts:
    if company == "xendit":
        invoice = world.xendit.invoices[there]
        if invoice["status"] not in ("PAID", "SETTLED"):
            return Facts(Money.EXPIRED if invoice["status"] == "EXPIRED" else Money.PENDING)
        gone = [each for each in world.xendit.refunds.values() if each["invoice_id"] == there]
        back = sum((D(str(each["amount"])) for each in gone if each["status"] == "SUCCEEDED"), D(0))
        return Facts(Money.PAID, D(str(invoice["paid_amount"])), currency, back)
    if company == "truelayer":
        payment = world.truelayer.payments[there]
        state = payment["status"]
        if state != "settled":
            return Facts({"failed": Money.FAILED, "executed": Money.PROCESSING}.get(state, Money.PENDING))
        gone = [each for each in world.truelayer.refunds.values() if each["payment_id"] == there]
        back = sum((D(each["amount_in_minor"]) / 100 for each in gone if each["status"] == "executed"), D(0))
        return Facts(Money.PAID, D(payment["amount_in_minor"]) / 100, currency, back)
    return _facts_at_stripe(world.stripe.things, there, currency)


def _facts_at_stripe(things: dict[str, dict[str, Any]], there: str, currency: str) -> Facts:
    thing = things[there]
    if thing["object"] == "checkout.session":
        if thing["status"] != "complete":
            return Facts(Money.EXPIRED if thing["status"] == "expired" else Money.PENDING)
        thing = things[thing["invoice"] or thing["payment_intent"]]
    if thing["object"] == "invoice":
        if thing["status"] != "paid":
            return Facts(Money.PENDING)
        thing = things[thing["payments"]["data"][0]["payment"]["payment_intent"]]
    if thing["status"] != "succeeded":
        return Facts(Money.PROCESSING if thing["status"] == "processing" else Money.FAILED)
    back = sum(
        (D(each["amount"]) / 100 for each in things.values()
         if each["object"] == "refund" and each["payment_intent"] == thing["id"] and each["status"] == "succeeded"), D(0),
    )  # fmt: skip
    words = {
        "needs_response": Dispute.OPEN,
        "won": Dispute.WON,
        "lost": Dispute.LOST,
        "warning_needs_response": Dispute.INQUIRY,
    }
    said = [
        each["status"]
        for each in things.values()
        if each["object"] == "dispute" and each["payment_intent"] == thing["id"]
    ]
    return Facts(
        Money.PAID, D(thing["amount_received"]) / 100, currency, back, dispute=words.get(said[0]) if said else None
    )


def _companies(world: World) -> Iterator[str]:
    """No money at a company that we do not know of, and none known twice."""
    known = {
        (company, there) for company, there in rows("select company, company_id from payments where money = 'paid'")
    }
    refs = [ref for (ref,) in rows("select payment_ref from payments where company = 'stripe' and money = 'paid'")]
    if len(refs) != len(set(refs)):
        yield "a payment at Stripe pays two of ours"
    for there, invoice in world.xendit.invoices.items():
        if invoice["status"] == "PAID" and ("xendit", there) not in known:
            yield f"invoice {there} was paid at Xendit, and is not known"
    for there, payment in world.truelayer.payments.items():
        if payment["status"] == "settled" and ("truelayer", there) not in known:
            yield f"payment {there} was settled at TrueLayer, and is not known"
    for there, thing in world.stripe.things.items():
        if thing["object"] == "payment_intent" and thing["status"] == "succeeded" and there not in refs:
            yield f"payment {there} succeeded at Stripe, and is not known"


def _refunds(world: World) -> Iterator[str]:
    """Each refund that was ordered is at its company once, or was refused."""
    ordered = rows(
        """select r.id::text, p.company, r.amount, r.sent_at is not null, r.refused from refunds r join payments p on p.id = r.payment_id
            where p.company <> 'manual'"""
    )
    for name, company, _, sent, refused in ordered:
        if not sent and refused is None:
            yield f"refund {name} was never asked for at {company}"
        if company == "xendit" and sent and name not in world.xendit.refunds:
            yield f"refund {name} is not at Xendit"


def _periods() -> Iterator[str]:
    """Each period of each subscription was told once, in order, and none is missing."""
    for name, begun, said in rows(
        """select s.id::text, s.periods_granted, count(e.number) from subscriptions s
             left join acts a on false left join events e on e.type = 'subscription.period' and e.account_id = s.account_id
                   and (e.data->>'subscription') = s.id::text
            group by s.id, s.periods_granted having count(e.number) <> s.periods_granted and count(e.number) > 0"""
    ):
        yield f"subscription {name} has begun {begun} periods, and told of {said}"
    late = rows(
        """select s.id::text from subscriptions s
            where s.status in ('trial', 'active') and s.next_grant_at <= app_now() and s.ends_at > app_now()"""
    )
    yield from (f"subscription {name} waits for its period" for (name,) in late)
    twice = rows("select account_id::text, ref, count(*) from grants group by account_id, ref having count(*) > 1")
    yield from (f"account {who} was given {ref} {times} times" for who, ref, times in twice)


def _ends() -> Iterator[str]:
    """What was to end has ended, once."""
    for who, remaining in rows(
        "select account_id::text, remaining from grants where expires_at <= app_now() and remaining > 0"
    ):
        yield f"{remaining} credits of account {who} should have expired"
    for grant, times in rows(
        "select grant_id::text, count(*) from ledger_entries where kind = 'expire' and job_id is null group by grant_id having count(*) > 1"
    ):
        yield f"grant {grant} expired {times} times"
    for (name,) in rows(
        """select s.id::text from subscriptions s join plans p on p.id = s.plan_id
            where s.status in ('trial', 'active', 'past_due')
              and s.ends_at + make_interval(days => case when s.cancel_at_end or s.status = 'trial' then 0 else p.grace_days end) <= app_now()"""
    ):
        yield f"subscription {name} should have ended"
    ended, told = one("select count(*) from subscriptions where status = 'expired'")[0], one("select count(*) from events where type = 'subscription.expired'")[0]  # fmt: skip
    if told < ended:
        yield f"{ended} subscriptions have expired, and {told} were told of"
