"""What a company is asked, made of an order as it was written down."""

from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from common.settings import settings
from companies.base import CompanyOrder, made_at

LEAST_SECONDS = 1800  # companies take no order that ends sooner


class Ordered(Protocol):
    """An order as it was written down; `models.payments.due.DuePayment` is one."""

    @property
    def id(self) -> UUID: ...
    @property
    def purpose(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def interval(self) -> str | None: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def currency(self) -> str: ...
    @property
    def return_url(self) -> str | None: ...
    @property
    def keep_card(self) -> bool: ...
    @property
    def customer_id(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def email(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...


def order_of(one: Ordered) -> CompanyOrder:
    """The order for a company. Asked for again it is the same to the letter: under one key a company takes no other."""
    lasts = int((one.expires_at - made_at(one.id)).total_seconds())
    return CompanyOrder(
        id=one.id, amount=one.price, currency=one.currency, description=f"{one.purpose} {one.item}", email=one.email,
        name=one.name, return_url=one.return_url or settings().public_url, expires_seconds=max(lasts, LEAST_SECONDS),
        keep_card=one.keep_card, customer_id=one.customer_id, interval=one.interval if one.purpose == "plan" else None,
    )  # fmt: skip
