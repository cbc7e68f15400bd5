"""/v1/subscription: what the caller's account is subscribed to. What costs money is ordered as a payment."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs, permitted
from api.routes.fast_routes import FastRoute, answer, fast
from api.routes.once import KeyHeader, RepeatKey, asked, key_of, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import services
from common.errors import CompanyAway, NotFound, PaymentRefused
from companies.base import Away, Refused, Unknown
from companies.registry import company
from companies.stripe import Stripe
from models.access.audit_log import By
from models.access.scopes import Caller
from models.accounts import plan_changes, subscriptions
from models.accounts.subscriptions import LIVING, SubscriptionRow
from models.db import transaction

fast_router = PrefixRouter(prefix="/v1/subscription", tags=["credits"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/subscription", tags=["credits"], route_class=WalledRoute)

_Writer = Annotated[Caller, Depends(needs("write"))]
PlanName = Annotated[str, Field(min_length=1, max_length=50, description="A plan's id.")]


class SubscriptionView(BaseModel):
    """What an account is subscribed to, or was last."""

    plan: str
    status: Annotated[
        Literal["trial", "active", "past_due", "canceled", "expired"],
        Field(description="past_due: not renewed, and in its days of grace; canceled: it runs to its end."),
    ]
    interval: Literal["monthly", "yearly"]
    renewer: Annotated[str, Field(description="Who renews it: a company by itself, or whoever pays.")]
    started_at: datetime
    ends_at: datetime
    trial_ends_at: datetime | None
    over_at: Annotated[
        datetime, Field(description="When it is over if nothing is paid: its end, and any days of grace.")
    ]
    next_plan: Annotated[str | None, Field(description="The plan that follows at `changes_at`, if it is paid.")]
    next_interval: Literal["monthly", "yearly"] | None
    changes_at: datetime | None


class PlanChange(RequestBody):
    """The plan to change to."""

    plan: PlanName
    interval: Literal["monthly", "yearly"] | None = None
    when: Annotated[
        Literal["now", "period_end"] | None,
        Field(description="Not said: what is more comes at once, what is less at the end of what is paid."),
    ] = None


class TrialStart(RequestBody):
    """The plan to try."""

    plan: PlanName


def subscription_view(row: SubscriptionRow) -> dict[str, Any]:
    """A subscription, as GET /v1/subscription answers."""
    lives = row.status in LIVING
    status = row.status if lives and not row.cancel_at_end else "canceled" if lives else "expired"
    return {
        "plan": row.plan_id, "status": status, "interval": row.interval, "renewer": row.renewer,
        "started_at": row.started_at, "ends_at": row.ends_at, "trial_ends_at": row.trial_ends_at,
        "over_at": row.lapses_at() if lives else row.ends_at, "next_plan": row.next_plan_id,
        "next_interval": row.next_interval, "changes_at": row.change_at,
    }  # fmt: skip


def latest_view(conn: Any, account_id: UUID) -> dict[str, Any]:
    """What an account is subscribed to, or was last. Raises NotFound."""
    row = subscriptions.latest(conn, account_id)
    if row is None:
        raise NotFound("the account has had no subscription")
    return subscription_view(row)


@router.get("", response_model=SubscriptionView, summary="Look at the subscription")
def get_subscription(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """The one that the account is on, or was on last; 404 where there was none."""
    with transaction() as conn:
        return answer(latest_view(conn, who.account_id))


@router.post("/change", response_model=SubscriptionView, summary="Change the plan")
def change_subscription(
    body: PlanChange, request: Request, who: _Writer, idempotency_key: RepeatKey = None
) -> Response:
    """What costs less comes at the end of what is paid, or at once as asked. What costs more and is to come at once is 402
    `payment_required`: order that plan, and it begins when it is paid. The plan that runs undoes a change that is to come.
    """

    def work(conn: Any) -> dict[str, Any]:
        actor = by(who, request)
        return subscription_view(
            plan_changes.change_plan(conn, who.account_id, body.plan, by=actor, interval=body.interval, when=body.when)
        )

    return once(who, idempotency_key, asked(request, body), work)


@fast_router.post("/cancel", response_model=SubscriptionView, summary="Let the subscription end")
@fast(need="write", idempotency_key=(KeyHeader, None))
async def cancel_subscription(request: Request) -> Response:
    """It runs to its end, and is not renewed. One that waits for its payment ends now. A company that renews it by itself is
    told first: 503 `company_away` if it does not answer, and nothing has changed. Again is fine.
    """
    return await _told_first(request, await permitted(request, "write"), Stripe.end_subscription, _cancel)


@fast_router.post("/resume", response_model=SubscriptionView, summary="Undo a cancel")
@fast(need="write", idempotency_key=(KeyHeader, None))
async def resume_subscription(request: Request) -> Response:
    """While the subscription runs. Again is fine."""
    return await _told_first(request, await permitted(request, "write"), Stripe.resume_subscription, _resume)


def _cancel(conn: Any, who: Caller, actor: By, knows: bool) -> dict[str, Any]:
    plan_changes.cancel(conn, who.account_id, by=actor, company_knows=knows)
    return latest_view(conn, who.account_id)


def _resume(conn: Any, who: Caller, actor: By, knows: bool) -> dict[str, Any]:
    return subscription_view(plan_changes.resume(conn, who.account_id, by=actor, company_knows=knows))


async def _told_first(
    request: Request,
    who: Caller,
    ask: Callable[[Stripe, str], None],
    change_ours: Callable[[Any, Caller, By, bool], dict[str, Any]],
) -> Response:
    """Have the company that renews a subscription do it, in no transaction, and then do it here. Cut off between the two, it is
    done by asking again: to the company it is the same.
    """
    here = services(request.app)
    theirs = await here.places.ordinary.run(partial(_theirs, who.account_id))
    if theirs is not None:
        await here.places.companies.run(partial(_ask_stripe, ask, theirs))
    work = partial(
        once, who, key_of(request), asked(request),
        lambda conn: change_ours(conn, who, by(who, request), theirs is not None),
    )  # fmt: skip
    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, work))


def _theirs(account_id: UUID) -> str | None:
    """What the running subscription is at the company that renews it by itself."""
    with transaction() as conn:
        row = subscriptions.find_living(conn, account_id)
    return row.company_id if row is not None and row.renewer == "stripe" else None


def _ask_stripe(ask: Callable[[Stripe, str], None], subscription_id: str) -> None:
    far_side = company("stripe")
    assert isinstance(far_side, Stripe)  # noqa: S101 - as the registry makes it
    try:
        ask(far_side, subscription_id)
    except Away:
        raise CompanyAway("stripe does not answer; try again soon") from None
    except (Refused, Unknown) as error:
        raise PaymentRefused(f"stripe does not do that: {error}") from None


@router.post("/trial", response_model=SubscriptionView, summary="Try a plan")
def start_trial(body: TrialStart, request: Request, who: _Writer, idempotency_key: RepeatKey = None) -> Response:
    """For the plan's days of trial, with a month's credits, once per account."""

    def work(conn: Any) -> dict[str, Any]:
        plan_changes.start_trial(conn, who.account_id, body.plan, by=by(who, request))
        return latest_view(conn, who.account_id)

    return once(who, idempotency_key, asked(request, body), work)
