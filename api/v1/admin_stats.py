"""/v1/admin/stats: figures of the last days."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import AdminRoute
from common.money import shown
from models.access.scopes import Caller
from models.fleet.replicas import caught_up
from models.usage import stats
from models.usage.stats import MAX_DAYS, Stats

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)


class UserFiguresView(BaseModel):
    """Who there is, who came, and who ordered something."""

    total: int
    new: int
    active: int


class PlanUsersView(BaseModel):
    """Accounts on a plan now, and those of them that ordered something."""

    plan: str
    users: int
    active: int


class RevenueView(BaseModel):
    """Money of one UTC day, currency and company; `refunded` and `disputed` are of that day's payments."""

    day: date
    currency: str
    company: str
    payments: int
    paid: str
    refunded: str
    disputed: str


class PaymentsView(BaseModel):
    """Orders by what became of them. `success` is of those that are over."""

    orders: int
    paid: int
    failed: int
    expired: int
    waiting: int
    problems: int
    success: float | None


class CreditFiguresView(BaseModel):
    """Credits that were moved, and what accounts have and owe now."""

    sold: int
    given: int
    spent: int
    expired: int
    revoked: int
    available: int
    reserved: int
    owed: int
    spent_per_day: float


class JobFiguresView(BaseModel):
    """Jobs that were ordered. `mean_seconds` is from start to end, of those that succeeded."""

    ordered: int
    succeeded: int
    failed: int
    canceled: int
    success: float | None
    mean_seconds: float | None


class MarginView(BaseModel):
    """In millionths of a dollar: credits spent at what was really paid for them, against what providers took."""

    revenue_usd_micros: int
    cost_usd_micros: int
    paid_credits: int


class ContentFiguresView(BaseModel):
    """Articles of a section and kind that there are now; `new` bear a date of the span, `published` has those that wait too."""

    section: Literal["news", "research"]
    kind: Literal["tool", "use_case", "regulation"] | None
    drafts: int
    published: int
    new: int
    views: int
    likes: int


class StatsView(BaseModel):
    """Figures of a span, whose end is not in it."""

    since: datetime
    until: datetime
    users: UserFiguresView
    plans: list[PlanUsersView]
    revenue: list[RevenueView]
    payments: PaymentsView
    credits: CreditFiguresView
    jobs: JobFiguresView
    margin: MarginView
    content: list[ContentFiguresView]


def stats_view(found: Stats) -> dict[str, Any]:
    """As GET /v1/admin/stats answers, and `headrace stats --json`."""
    return {
        "since": found.since, "until": found.until, "users": found.users._asdict(),
        "plans": [each._asdict() for each in found.plans],
        "revenue": [
            {**each._asdict(), **{name: shown(getattr(each, name), each.currency) for name in ("paid", "refunded", "disputed")}}
            for each in found.revenue
        ],
        "payments": {**found.payments._asdict(), "success": found.payments.success},
        "credits": {**found.credits._asdict(), "spent_per_day": found.credits_per_day},
        "jobs": {**found.jobs._asdict(), "success": found.jobs.success}, "margin": found.margin._asdict(),
        "content": [each._asdict() for each in found.content],
    }  # fmt: skip


@router.get("/stats", response_model=StatsView, summary="Figures of the last days")
def get_stats(
    _who: Annotated[Caller, Depends(needs("admin"))],
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="So many UTC days, today included.")] = 30,
) -> Response:
    """Users, money, credits, jobs and articles."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with caught_up(snapshot=True) as conn:
        found = stats.stats(conn, since=today - timedelta(days=days - 1), until=today + timedelta(days=1))
    return answer(stats_view(found))
