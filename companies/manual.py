"""Money that comes by another way: an operator says that it is there (`models.payments.refunds`). Nobody is asked."""

from collections.abc import Mapping
from decimal import Decimal

from companies.base import CompanyOrder, CompanyStanding, Hint, NotSigned, OpenedOrder, Refused, WithoutCards

WORD = "payments of the company `manual` are confirmed and refunded by an operator"


class Manual(WithoutCards):
    """Nobody that could be asked."""

    name = "manual"

    def open(self, order: CompanyOrder) -> OpenedOrder:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(WORD)

    def look(self, company_id: str) -> CompanyStanding:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(WORD)

    def refund(self, company_id: str, amount: Decimal, currency: str, *, key: str, reason: str) -> None:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(WORD)

    def read_hook(self, headers: Mapping[str, str], body: bytes, *, path: str, now: float) -> Hint:  # noqa: ARG002 - of those that can
        """Refused."""
        raise NotSigned("nobody signs for it")
