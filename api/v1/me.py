"""/v1/me: the caller's own page."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from common.time_zones import TimeZone
from models.access.scopes import Caller, Role
from models.accounts import subscriptions
from models.credits.reads import expire_and_read_balance
from models.db import certain
from models.identity import profiles
from models.identity.profiles import LANGUAGE, Preferences
from models.payments import orders

router = PrefixRouter(prefix="/v1/me", tags=["account"], route_class=WalledRoute)


class MySubscription(BaseModel):
    """What the account is subscribed to."""

    id: UUID
    plan: str
    status: str
    interval: str
    ends_at: datetime
    cancel_at_end: bool


class MyBalance(BaseModel):
    """Credits."""

    available: int
    reserved: int
    debt: int


class MyStorage(BaseModel):
    """Bytes of results and uploads."""

    used_bytes: int
    quota_bytes: int


class Me(BaseModel):
    """The caller: who they are, what they are on, what they have."""

    account_id: UUID
    user_id: UUID
    issuer: str
    subject: str
    email: str | None
    first_name: str | None
    last_name: str | None
    role: Role
    plan: str
    subscription: MySubscription | None
    balance: MyBalance
    storage: MyStorage
    customers: Annotated[dict[str, str], Field(description="Who the account is to each company that took its money.")]
    preferences: Preferences


class PreferencesChange(RequestBody):
    """What is to be different; the rest stays."""

    language: Annotated[str | None, Field(pattern=LANGUAGE, max_length=35, examples=["id"])] = None
    notifications: Annotated[bool | None, Field(strict=True)] = None
    theme: Literal["light", "dark", "system"] | None = None
    mail: Annotated[bool | None, Field(strict=True, description="False: no notice goes by mail.")] = None
    time_zone: Annotated[TimeZone | None, Field(description="In which your days of usage begin.")] = None


@router.get("", response_model=Me, summary="Look at yourself")
def get_me(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """Profile, plan, role, subscription, balance, storage and preferences."""
    with certain() as conn:
        return answer(_me(conn, who.account_id))


@router.patch("", response_model=Me, summary="Change your preferences")
def change_preferences(body: PreferencesChange, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """Only what is named changes."""
    chosen = body.model_dump(exclude_none=True)
    with certain() as conn:
        if chosen:
            profiles.choose(conn, who.account_id, chosen)
        found = _me(conn, who.account_id)
    return answer(found)


def _me(conn: Connection[Any], account_id: UUID) -> dict[str, Any]:
    row = profiles.profile(conn, account_id)
    balance = expire_and_read_balance(conn, account_id)
    living = subscriptions.find_living(conn, account_id)
    subscription = None
    if living is not None:
        subscription = {
            "id": living.id, "plan": living.plan_id, "status": living.status, "interval": living.interval,
            "ends_at": living.ends_at, "cancel_at_end": living.cancel_at_end,
        }  # fmt: skip
    return {
        "account_id": row.account_id, "user_id": row.user_id, "issuer": row.issuer, "subject": row.subject, "email": row.email,
        "first_name": row.first_name, "last_name": row.last_name, "role": row.role, "plan": balance.plan_id,
        "subscription": subscription,
        "balance": {"available": balance.available, "reserved": balance.reserved, "debt": balance.debt},
        "storage": {"used_bytes": balance.storage_bytes, "quota_bytes": balance.storage_quota_bytes},
        "customers": orders.customers_of(conn, account_id),
        "preferences": profiles.preferences_of(row.chosen).model_dump(),
    }  # fmt: skip
