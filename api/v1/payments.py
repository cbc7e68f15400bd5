"""/v1/payments: order packs and plans, and see what became of the money."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field, HttpUrl, model_validator
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs, permitted
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.once import KeyHeader, Made, asked, key_of, made_answer, make_once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import services
from common import money
from common.errors import CompanyAway, InvalidInput, PaymentRefused
from companies.asking import order_of
from companies.base import Away, Refused
from companies.registry import company, configured
from models.access.scopes import Caller
from models.db import certain, transaction
from models.fleet.replicas import caught_up
from models.payments import due, orders
from models.payments.orders import PaymentRow, SaleItem
from models.payments.states import PaymentProblem, PaymentStatus

fast_router = PrefixRouter(prefix="/v1/payments", tags=["payments"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/payments", tags=["payments"], route_class=WalledRoute)

PAYMENTS = Listing("payments", UUID)


class PaymentRequest(RequestBody):
    """A pack or a plan, in one currency. `company`: who is to take the money; if left out, the first that can."""

    pack: Annotated[str | None, Field(max_length=100)] = None
    plan: Annotated[str | None, Field(max_length=100)] = None
    interval: Annotated[Literal["monthly", "yearly"] | None, Field(description="Of a plan; a month if left out.")] = (
        None
    )
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217, as in the prices of packs and plans.")]
    company: Annotated[str | None, Field(max_length=20)] = None
    return_url: Annotated[
        HttpUrl | None, Field(description="Where the payer's browser comes back to. That it did proves nothing.")
    ] = None
    keep_card: Annotated[
        bool, Field(strict=True, description="Keep the card for refills that the account asks for.")
    ] = False

    @model_validator(mode="after")
    def _one_thing(self) -> "PaymentRequest":
        if (self.pack is None) == (self.plan is None):
            raise ValueError("name a pack or a plan, one of them")
        if self.pack is not None and self.interval is not None:
            raise ValueError("a pack has no interval")
        return self


class PaymentView(BaseModel):
    """A payment. Amounts are in the currency's own units, as text: "29.00"."""

    id: UUID
    status: PaymentStatus
    company: str
    pack: str | None
    plan: str | None
    interval: Literal["monthly", "yearly"] | None
    price: str
    currency: str
    paid: str | None
    refunded: str
    credits: Annotated[int, Field(description="What it gives when it is paid; a plan's periods give theirs.")]
    credits_given: Annotated[int, Field(description="What it has given, less what was taken back.")]
    problem: PaymentProblem | None
    reason: Annotated[str | None, Field(description="Why it failed, in the company's words.")]
    pay_url: Annotated[str | None, Field(description="Where to pay, while it can be paid.")]
    company_payment_id: Annotated[str | None, Field(description="What the payment is at its company.")]
    expires_at: datetime
    created_at: datetime
    paid_at: datetime | None


class PaymentPage(ListPage[PaymentView]):
    """Payments, newest first."""


def payment_view(row: PaymentRow) -> dict[str, Any]:
    """A payment, as GET /v1/payments/{id} answers."""
    show = partial(money.shown, currency=row.currency)
    payable = row.status in (PaymentStatus.PENDING, PaymentStatus.PROCESSING)
    is_plan = row.interval is not None
    return {
        "id": row.id, "status": row.status, "company": row.company, "pack": None if is_plan else row.item,
        "plan": row.item if is_plan else None, "interval": row.interval, "price": show(row.price),
        "currency": row.currency, "paid": None if row.paid is None else show(row.paid), "refunded": show(row.refunded),
        "credits": row.credits, "credits_given": row.credits_given, "problem": row.problem, "reason": row.reason,
        "pay_url": row.pay_url if payable else None, "company_payment_id": row.payment_ref or row.company_id,
        "expires_at": row.expires_at, "created_at": row.created_at, "paid_at": row.paid_at,
    }  # fmt: skip


@fast_router.post("", status_code=201, response_model=PaymentView, summary="Order a pack or a plan")
@fast(need="write", body=PaymentRequest, idempotency_key=(KeyHeader, None))
async def create_payment(request: Request) -> Response:
    """Answers with where to pay. Nothing is credited before the company says that the money is there. The order is written
    down first: if the company is away, 503 says so, and the same request with its `Idempotency-Key` goes on with it.
    """
    who, here = await permitted(request, "write"), services(request.app)
    body, _ = await read_body(request, PaymentRequest)
    order = partial(_order, who, key_of(request), asked(request, body), body)
    made = await here.wall.run(who.account_id, partial(here.places.ordinary.run, order))
    payment_id = UUID(made.body["id"])
    await here.places.companies.run(partial(_open, payment_id))
    row = await here.places.ordinary.run(partial(_look, payment_id, who.account_id))
    return made_answer(payment_view(row), status=201, location=f"/v1/payments/{payment_id}", replayed=made.replayed)


def _order(who: Caller, key: str | None, same: bytes, body: PaymentRequest) -> Made:
    return_url = None if body.return_url is None else str(body.return_url)

    def work(conn: Connection[Any]) -> dict[str, Any]:
        item = _item(conn, body)
        name = _company_for(body.company, item.currency)
        return {"id": orders.create(
            conn, who.account_id, item, name, return_url=return_url, keep_card=body.keep_card
        )}  # fmt: skip

    return make_once(who, key, same, work)


def _look(payment_id: UUID, account_id: UUID) -> PaymentRow:
    with transaction() as conn:
        return orders.payment(conn, payment_id, account_id=account_id)


def _item(conn: Connection[Any], body: PaymentRequest) -> SaleItem:
    if body.pack is not None:
        return orders.find_pack(conn, body.pack, body.currency)
    return orders.find_plan(conn, body.plan or "", body.interval or "monthly", body.currency)


def _company_for(name: str | None, currency: str) -> str:
    able = [each for each in configured() if money.takes(each, currency)]
    if name is not None and name not in able:
        can = f"{', '.join(able)} can" if able else "nobody here can"
        raise InvalidInput(f"{name[:20]!r} takes no {currency} here; {can}", param="company")
    if not able:
        raise InvalidInput(f"no company that takes {currency} is set up here", param="currency")
    return name or able[0]


def _open(payment_id: UUID) -> None:
    """Have the company hear of an order, in no transaction. Whatever cuts this off, a duty goes on with it."""
    with transaction() as conn:
        order = due.begin_opening(conn, payment_id)
    if order is None:
        return
    try:
        opened = company(order.company).open(order_of(order))
    except Refused as error:
        with certain() as conn:
            orders.record_refusal(conn, payment_id, str(error))
        raise PaymentRefused(f"{order.company} does not take this order: {error}", payment=str(payment_id)) from None
    except Away:
        raise CompanyAway(f"{order.company} does not answer; try again soon", payment=str(payment_id)) from None
    with certain() as conn:
        orders.record_opening(conn, payment_id, opened.company_id, opened.pay_url, opened.expires_at)


@router.get("", response_model=PaymentPage, summary="List payments")
def list_payments(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[UUID], Depends(PAYMENTS.wanted)]
) -> Response:
    """Your own, newest first."""
    with caught_up() as conn:
        rows = orders.list_payments(conn, account_id=who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(PAYMENTS.page(rows, wanted, lambda row: row.id, payment_view))


@router.get("/{payment_id}", response_model=PaymentView, summary="Look at a payment")
def get_payment(payment_id: PathId, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """How it stands, as its company said last."""
    with transaction() as conn:
        row = orders.payment(conn, id_of(payment_id, "payment"), account_id=who.account_id)
    return answer(payment_view(row))
