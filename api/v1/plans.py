"""What accounts pay, and what they get for it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, name_of, number_of
from api.routes.fast_routes import answer
from api.routes.walled import WalledRoute
from models.catalogue import plans
from models.catalogue.plans import Plan
from models.db import session

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)


class PlanView(BaseModel):
    """A plan."""

    id: str
    name: str
    credits: int
    granted: Literal["once", "monthly"]
    price_cents: int | None
    credit_price_usd_micros: int
    markup_bp: int
    storage_quota_bytes: int
    slots: int


class PlanPage(ListPage[PlanView]):
    """Plans, in the order in which they are offered."""


def plan_view(plan: Plan) -> dict[str, Any]:
    """A plan, as GET /v1/plans answers."""
    return plan.model_dump(exclude={"position"})


def _plan_place_of(text: str) -> tuple[int, str]:
    position, _, plan_id = text.partition(" ")
    return number_of(position), name_of(plan_id)


def _plan_place_text(place: tuple[int, str]) -> str:
    return f"{place[0]} {place[1]}"


PLANS = Listing("plans", _plan_place_of, _plan_place_text, usual=MAX_LIMIT)


@router.get("/plans", response_model=PlanPage, summary="List plans")
def list_plans(wanted: Annotated[WantedPage[tuple[int, str]], Depends(PLANS.wanted)]) -> Response:
    """In the order in which they are offered."""
    with session() as opened:
        rows = plans.page_of_plans(opened, after=wanted.after, limit=wanted.reads)
    return answer(PLANS.page(rows, wanted, lambda plan: (plan.position, plan.id), plan_view))


@router.get("/plans/{plan_id}", response_model=PlanView, summary="Look at a plan")
def get_plan(plan_id: str) -> Response:
    """One plan."""
    with session() as opened:
        plan = plans.find_plan(opened, plan_id)
    return answer(plan_view(plan))
