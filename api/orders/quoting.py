"""What an order would cost, however it is asked."""

from models.access.scopes import Caller
from models.catalogue import plans, prices
from models.catalogue.entries import Offer
from models.credits.ledger import usable
from models.credits.reads import expire_and_read_balance, open_funds
from models.db import certain, session


def quoted(who: Caller, offer: Offer, values: dict[str, object]) -> dict[str, object]:
    """What a checked input would cost on the caller's plan, and whether there is enough for it."""
    rule = offer.entry.price
    with certain() as conn:
        balance = expire_and_read_balance(conn, who.account_id)
        available = usable(open_funds(conn, who.account_id), offer.entry.id, offer.entry.kind)
    with session() as opened:
        plan = plans.find_plan(opened, balance.plan_id)
    price = prices.quote(rule, values, plan)
    return {
        "model": offer.entry.id, "credits": price.credits, "unit": rule.unit, "quantity": price.quantity_milli / 1000,
        "available": available, "enough": available >= price.credits,
    }  # fmt: skip
