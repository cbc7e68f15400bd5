"""What accounts pay, and what they get for it: plans for a time, packs of credits once."""

from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, name_of, number_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from common.retention_settings import MAX_HOURS
from models.catalogue import packs, plans
from models.catalogue.packs import Pack
from models.catalogue.plans import Plan
from models.db import session

router = PrefixRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)


class PlanView(BaseModel):
    """A plan."""

    id: str
    name: str
    credits: int
    granted: Literal["once", "monthly"]
    price_cents: Annotated[
        int | None, Field(description="US cents a month, where it has such a price; `prices` has them all.")
    ]
    credit_price_usd_micros: int
    markup_bp: int
    storage_quota_bytes: int
    slots: int
    daily_text_jobs: int | None
    product: str
    prices: Annotated[
        dict[Literal["monthly", "yearly"], dict[str, str]],
        Field(description='By interval and currency, in major units: `{"monthly": {"USD": "29.00"}}`.'),
    ]
    priority: Annotated[int, Field(description="Added to that of each job.")]
    token_allowance: Annotated[int | None, Field(description="Tokens a month; null: without limit.")]
    result_hours: Annotated[
        int | None, Field(description="How long results are kept where the model does not say; 0: for ever.")
    ]
    trial_days: int
    grace_days: Annotated[int, Field(description="How long the plan goes on if its renewal is not paid.")]
    collaborators: Annotated[bool, Field(description="Whether others may be invited to collections.")]


class PackView(BaseModel):
    """Credits that are sold once."""

    id: str
    name: str
    product: str
    credits: int
    prices: Annotated[dict[str, str], Field(description="By currency, in major units.")]
    expires_days: Annotated[int | None, Field(description="After they were paid; null: never.")]


class PackPage(ListPage[PackView]):
    """Packs, in the order in which they are offered."""


class PlanPage(ListPage[PlanView]):
    """Plans, in the order in which they are offered."""


def plan_view(plan: Plan) -> dict[str, Any]:
    """A plan, as GET /v1/plans answers."""
    shown = plan.model_dump(exclude={"position"})
    return {**shown, "result_hours": 0 if plan.result_hours == MAX_HOURS else plan.result_hours}


def pack_view(pack: Pack) -> dict[str, Any]:
    """A pack, as GET /v1/packs answers."""
    return pack.model_dump(exclude={"position"})


def _place_of(text: str) -> tuple[int, str]:
    position, _, plan_id = text.partition(" ")
    return number_of(position), name_of(plan_id)


def _place_text(place: tuple[int, str]) -> str:
    return f"{place[0]} {place[1]}"


PLANS = Listing("plans", _place_of, _place_text, usual=MAX_LIMIT)
PACKS = Listing("packs", _place_of, _place_text, usual=MAX_LIMIT)


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


@router.get("/packs", response_model=PackPage, summary="List packs")
def list_packs(wanted: Annotated[WantedPage[tuple[int, str]], Depends(PACKS.wanted)]) -> Response:
    """Credits that can be bought once, in the order in which they are offered."""
    with session() as opened:
        rows = packs.page_of_packs(opened, after=wanted.after, limit=wanted.reads)
    return answer(PACKS.page(rows, wanted, lambda pack: (pack.position, pack.id), pack_view))


@router.get("/packs/{pack_id}", response_model=PackView, summary="Look at a pack")
def get_pack(pack_id: str) -> Response:
    """One pack."""
    with session() as opened:
        pack = packs.find_pack(opened, pack_id)
    return answer(pack_view(pack))
