"""/v1/admin: what operators do with accounts. Each act needs a reason, and is in the audit log with it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import PathId, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment, Reason, RequestBody
from api.routes.walled import AdminRoute
from api.v1.admin import UserView
from api.v1.subscription import PlanName, SubscriptionView, latest_view
from common.settings import settings
from models.access.scopes import Caller
from models.accounts import accounts, paid_periods, plan_changes, standing
from models.credits.ledger import MAX_GRANT, MAX_PRIORITY, GrantTerms
from models.credits.reads import expire_and_read_balance
from models.db import certain

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)

_Name = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]
_Credits = Annotated[int, Field(ge=1, le=MAX_GRANT)]


class NewUser(RequestBody):
    """A user as an identity provider knows them, or will."""

    issuer: _Name = "local"
    subject: _Name
    email: Annotated[str | None, Field(max_length=320)] = None
    plan: Annotated[str | None, Field(max_length=100)] = None


_Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=50)]


class Because(RequestBody):
    """Why it is done."""

    reason: Reason


class NewGrant(RequestBody):
    """Credits to give, and why."""

    amount: _Credits
    reason: Reason
    kind: Literal["gift", "goodwill", "purchase"] = "gift"
    expires_at: Moment | None = None
    priority: Annotated[
        int,
        Field(
            ge=0, le=MAX_PRIORITY, description="Credits of a higher one are used first, then those that expire first."
        ),
    ] = 0
    models: Annotated[
        _Names, Field(description="What alone they pay for; with `kinds`, what either names. Empty: for all.")
    ] = ()
    kinds: Annotated[tuple[Literal["image", "video", "speech", "text"], ...], Field(max_length=4)] = ()

    @property
    def terms(self) -> GrantTerms:
        """When they are used, and for what."""
        return GrantTerms(self.priority, self.models, self.kinds)


class TakeBack(RequestBody):
    """Credits to take back, of what is available, and why."""

    amount: _Credits
    reason: Reason


class HandSubscription(RequestBody):
    """A plan's months that are given by hand, and why."""

    plan: PlanName
    interval: Literal["monthly", "yearly"] = "monthly"
    reason: Reason


class HandPlanChange(RequestBody):
    """The plan that a running subscription changes to, whatever it costs, and why."""

    plan: PlanName
    when: Literal["now", "period_end"] = "now"
    reason: Reason


class BalanceAfter(BaseModel):
    """The account's credits then."""

    account_id: UUID
    available: int
    reserved: int
    debt: int


@router.post(
    "/users", status_code=201, response_model=UserView, summary="Open an account",
    responses={200: {"model": UserView, "description": "There was one already."}},
)  # fmt: skip
def open_user(body: NewUser, request: Request, who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """On the default plan, if none is named, with its sign-up credits. 200: there was one."""
    with certain() as conn:
        row, new = standing.open_by_hand(
            conn, by(who, request), issuer=body.issuer, subject=body.subject, email=body.email,
            plan=body.plan or settings().default_plan,
        )  # fmt: skip
    return answer(row._asdict(), 201 if new else 200)


@router.post("/users/{user_id}/suspend", response_model=UserView, summary="Suspend a user")
def suspend_user(
    user_id: PathId, body: Because, request: Request, who: Annotated[Caller, Depends(needs("admin"))]
) -> Response:
    """Refused everywhere within five seconds, with 403 `suspended`. Jobs that run go on."""
    wanted = id_of(user_id, "user")
    with certain() as conn:
        standing.suspend(conn, by(who, request), wanted, body.reason)
        row = accounts.user(conn, wanted)
    return answer(row._asdict())


@router.post("/users/{user_id}/resume", response_model=UserView, summary="Let a suspended user in again")
def resume_user(
    user_id: PathId, body: Because, request: Request, who: Annotated[Caller, Depends(needs("admin"))]
) -> Response:
    """Their keys and tokens work again as before."""
    wanted = id_of(user_id, "user")
    with certain() as conn:
        standing.resume(conn, by(who, request), wanted, body.reason)
        row = accounts.user(conn, wanted)
    return answer(row._asdict())


@router.post("/accounts/{account_id}/grants", status_code=201, response_model=BalanceAfter, summary="Give credits")
def give_credits(
    account_id: PathId, body: NewGrant, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """A debt is paid from them first."""
    wanted = id_of(account_id, "account")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        standing.give_credits(
            conn,
            by(who, request),
            wanted,
            body.amount,
            body.reason,
            kind=body.kind,
            expires_at=body.expires_at,
            terms=body.terms,
        )
        return _balance(conn, wanted)

    return once(who, idempotency_key, asked(request, body), work, status=201)


@router.post("/accounts/{account_id}/take-back", response_model=BalanceAfter, summary="Take credits back")
def take_credits(
    account_id: PathId, body: TakeBack, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """Of what is available; what was spent is taken back with its payment's refund."""
    wanted = id_of(account_id, "account")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        standing.take_credits(conn, by(who, request), wanted, body.amount, body.reason)
        return _balance(conn, wanted)

    return once(who, idempotency_key, asked(request, body), work)


@router.post("/accounts/{account_id}/subscribe", response_model=SubscriptionView, summary="Give a plan's months")
def subscribe_account(
    account_id: PathId, body: HandSubscription, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """As if they had just been paid: a subscription that starts, or is extended."""
    wanted = id_of(account_id, "account")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        paid_periods.subscribe(conn, wanted, body.plan, body.interval, by=by(who, request), reason=body.reason)
        return latest_view(conn, wanted)

    return once(who, idempotency_key, asked(request, body), work)


@router.post("/accounts/{account_id}/change-plan", response_model=SubscriptionView, summary="Change a plan by hand")
def change_account_plan(
    account_id: PathId, body: HandPlanChange, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """The paid time stays. A subscription that Stripe renews can only be changed there."""
    wanted = id_of(account_id, "account")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        actor = by(who, request)
        plan_changes.change_plan(conn, wanted, body.plan, by=actor, when=body.when, paid=True, reason=body.reason)
        return latest_view(conn, wanted)

    return once(who, idempotency_key, asked(request, body), work)


def _balance(conn: Connection[Any], account_id: UUID) -> dict[str, Any]:
    found = expire_and_read_balance(conn, account_id)
    return {"account_id": account_id, "available": found.available, "reserved": found.reserved, "debt": found.debt}
