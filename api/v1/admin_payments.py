"""/v1/admin/payments: what operators see of all payments, and do by hand. Every act is in the audit log."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from psycopg import Connection
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Reason, RequestBody
from api.routes.walled import AdminRoute
from api.v1.payments import PaymentView, payment_view
from models.access.scopes import Caller
from models.fleet.replicas import caught_up
from models.payments import orders, refunds
from models.payments.orders import PaymentRow

router = PrefixRouter(prefix="/v1/admin/payments", tags=["admin"], route_class=AdminRoute)

ALL_PAYMENTS = Listing("all_payments", UUID)
_Amount = Annotated[Decimal | None, Field(gt=0, max_digits=20, decimal_places=4)]


class AccountPaymentView(PaymentView):
    """A payment, and whose it is."""

    account_id: UUID


class AccountPaymentPage(ListPage[AccountPaymentView]):
    """Payments of all accounts, newest first."""


class MarkPaid(RequestBody):
    """Money that came by another way, for an order of the company `manual`: its price, if no amount is named."""

    amount: _Amount = None
    reason: Reason


class RefundRequest(RequestBody):
    """Money to give back: so much, or all that is left."""

    amount: _Amount = None
    reason: Reason


def _view(row: PaymentRow) -> dict[str, Any]:
    return {**payment_view(row), "account_id": row.account_id}


@router.get("", response_model=AccountPaymentPage, summary="List payments of all accounts")
def list_all_payments(
    _who: Annotated[Caller, Depends(needs("admin"))],
    wanted: Annotated[WantedPage[UUID], Depends(ALL_PAYMENTS.wanted)],
    account_id: Annotated[UUID | None, Query(description="Of this account only.")] = None,
    problems: Annotated[bool, Query(description="Only those that were paid otherwise than they should be.")] = False,
) -> Response:
    """Newest first."""
    with caught_up() as conn:
        rows = orders.list_payments(
            conn, account_id=account_id, before=wanted.after, problems=problems, limit=wanted.reads
        )
    return answer(ALL_PAYMENTS.page(rows, wanted, lambda row: row.id, _view))


@router.post("/{payment_id}/paid", response_model=AccountPaymentView, summary="Say that money is there")
def mark_payment_paid(
    payment_id: PathId, body: MarkPaid, request: Request, who: Annotated[Caller, Depends(needs("admin"))]
) -> Response:
    """For orders of the company `manual`. Credits are given at once, once."""
    wanted = id_of(payment_id, "payment")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        refunds.mark_paid(conn, by(who, request), wanted, body.amount, body.reason)
        return _view(orders.payment(conn, wanted))

    return once(who, None, b"", work)


@router.post("/{payment_id}/refund", status_code=202, response_model=AccountPaymentView, summary="Give money back")
def refund_payment(
    payment_id: PathId, body: RefundRequest, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """The company is asked soon; credits are taken back when it says that the money has gone."""
    wanted = id_of(payment_id, "payment")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        refunds.order_refund(conn, by(who, request), wanted, body.amount, body.reason)
        return _view(orders.payment(conn, wanted))

    return once(who, idempotency_key, asked(request, body), work, status=202)
