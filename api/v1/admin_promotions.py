"""/v1/admin/promotions: codes that operators make."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, WantedPage, name_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment, RequestBody
from api.routes.walled import AdminRoute
from models.access.scopes import Caller
from models.credits.ledger import MAX_GRANT
from models.db import certain, transaction
from models.payments import promotions
from models.payments.promotions import PromotionRow

router = PrefixRouter(prefix="/v1/admin/promotions", tags=["admin"], route_class=AdminRoute)

PROMOTIONS = Listing("promotions", name_of)


class NewPromotion(RequestBody):
    """A code that gives credits, or a plan's months."""

    code: Annotated[str, Field(min_length=1, max_length=60)]
    credits: Annotated[int | None, Field(ge=1, le=MAX_GRANT)] = None
    plan: Annotated[str | None, Field(max_length=100)] = None
    interval: Literal["monthly", "yearly"] | None = None
    max_uses: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    expires_at: Moment | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "NewPromotion":
        if (self.credits is None) == (self.plan is None):
            raise ValueError("give credits or a plan, one of them")
        if self.credits is not None and self.interval is not None:
            raise ValueError("credits have no interval")
        return self


class PromotionView(BaseModel):
    """A code and how often it was used."""

    code: str
    credits: int | None
    plan: str | None
    interval: str | None
    max_uses: int | None
    uses: int
    expires_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


class PromotionPage(ListPage[PromotionView]):
    """Codes, in the order of the alphabet."""


def _view(row: PromotionRow) -> dict[str, Any]:
    fields = row._asdict()
    return {**{name: value for name, value in fields.items() if name != "plan_id"}, "plan": row.plan_id}


@router.post("", status_code=201, response_model=PromotionView, summary="Make a promotion code")
def create_promotion(
    body: NewPromotion, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """It gives what it says once per account, to so many accounts, for so long."""
    code = promotions.code_of(body.code)
    interval = (body.interval or "monthly") if body.plan is not None else None
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: _view(promotions.create(
            conn, by(who, request), code, credits=body.credits, plan_id=body.plan, interval=interval,
            max_uses=body.max_uses, expires_at=body.expires_at,
        )),
        status=201,
    )  # fmt: skip


@router.get("", response_model=PromotionPage, summary="List promotion codes")
def list_promotions(
    _who: Annotated[Caller, Depends(needs("admin"))], wanted: Annotated[WantedPage[str], Depends(PROMOTIONS.wanted)]
) -> Response:
    """In the order of the alphabet."""
    with transaction() as conn:
        rows = promotions.list_promotions(conn, after=wanted.after, limit=wanted.reads)
    return answer(PROMOTIONS.page(rows, wanted, lambda row: row.code, _view))


@router.delete("/{code}", response_model=PromotionView, summary="End a promotion code")
def end_promotion(code: str, request: Request, who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """Nobody uses it any more; what it gave stays given."""
    with certain() as conn:
        row = promotions.end(conn, by(who, request), code.upper())
    return answer(_view(row))
