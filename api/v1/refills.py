"""/v1/refill: packs that are bought by themselves. /v1/promotions: codes that give something."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from common.money import shown
from models.access.scopes import Caller
from models.db import certain, transaction
from models.payments import promotions, refills
from models.payments.refills import RefillRow

router = PrefixRouter(prefix="/v1", tags=["payments"], route_class=WalledRoute)


class RefillRequest(RequestBody):
    """Which pack is bought when fewer credits than `threshold` are available, and for how much a month at most."""

    pack: Annotated[str, Field(max_length=100)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    threshold: Annotated[int, Field(ge=1, le=10**12)]
    monthly_limit: Annotated[Decimal, Field(gt=0, max_digits=20, decimal_places=4)]


class RefillView(BaseModel):
    """What is bought by itself. `paused` says why nothing is: put it again to go on."""

    pack: str
    currency: str
    threshold: int
    monthly_limit: str
    paused: str | None
    ordered_at: datetime | None


class CodeToRedeem(RequestBody):
    """A promotion code, in any letters."""

    code: Annotated[str, Field(min_length=1, max_length=60)]


class RedemptionView(BaseModel):
    """What a code gave: credits, or a plan's months."""

    code: str
    credits: int | None
    plan: str | None
    interval: str | None


def _view(row: RefillRow) -> dict[str, Any]:
    return {**row._asdict(), "monthly_limit": shown(row.monthly_limit, row.currency)}


@router.get("/refill", response_model=RefillView, summary="Look at the automatic refill")
def get_refill(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """404: there is none."""
    with transaction() as conn:
        return answer(_view(refills.find(conn, who.account_id)))


@router.put("/refill", response_model=RefillView, summary="Switch the automatic refill on")
def put_refill(body: RefillRequest, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """With the card that was kept last (`keep_card` of a payment). Put again it goes on after a pause."""
    with certain() as conn:
        row = refills.switch_on(conn, who.account_id, body.pack, body.currency, body.threshold, body.monthly_limit)
    return answer(_view(row))


@router.delete("/refill", status_code=204, summary="Switch the automatic refill off")
def delete_refill(who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """What is under way goes on."""
    with certain() as conn:
        refills.switch_off(conn, who.account_id)
    return Response(status_code=204)


@router.post("/promotions/redeem", response_model=RedemptionView, summary="Use a promotion code")
def redeem_promotion(
    body: CodeToRedeem, request: Request, who: Annotated[Caller, Depends(needs("write"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """Once per account. 400 `promotion_refused` says in `reason` why it gives nothing: unknown, used, used_up, ended."""
    code = promotions.code_of(body.code)

    def work(conn: Connection[Any]) -> dict[str, Any]:
        row = promotions.redeem(conn, who.account_id, code, by=by(who, request))
        return {"code": row.code, "credits": row.credits, "plan": row.plan_id, "interval": row.interval}

    return once(who, idempotency_key, asked(request, body), work)
