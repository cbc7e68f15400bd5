"""Orders as the tests of all companies ask for them."""

from decimal import Decimal
from typing import Any

from uuid_utils.compat import uuid7

from companies.base import CompanyOrder


def order(amount: str = "29.00", currency: str = "USD", **more: Any) -> CompanyOrder:
    """An order of just now."""
    values: dict[str, Any] = {
        "description": "pack small", "email": "payer@example.com", "name": "A Payer", "return_url": "https://shop.example/back",
        "expires_seconds": 86_400,
    }  # fmt: skip
    return CompanyOrder(id=uuid7(), amount=Decimal(amount), currency=currency, **(values | more))
