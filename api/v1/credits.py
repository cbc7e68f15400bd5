"""/v1/credits: the balance and the ledger of the caller's account."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, WantedPage, moment_and_id_of, number_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from common.settings import settings
from models.access.scopes import Caller
from models.credits import reads
from models.credits.ledger import MAX_GRANT, MAX_PRIORITY
from models.credits.reads import Balance, GrantPlace
from models.db import certain, transaction
from models.fleet.replicas import caught_up

router = PrefixRouter(prefix="/v1/credits", tags=["credits"], route_class=WalledRoute)


class GrantView(BaseModel):
    """A lot of credits."""

    id: UUID
    kind: str
    amount: int
    remaining: int
    expires_at: datetime | None
    priority: Annotated[int, Field(description="Those of a higher one are used first.")]
    models: Annotated[list[str] | None, Field(description="What alone it pays for, if it says so.")]
    kinds: Annotated[list[str] | None, Field(description="The same, by kind.")]
    paid_per_credit: Annotated[str | None, Field(description="What was paid for one, in `paid_currency`.")]
    paid_currency: str | None


class Credits(BaseModel):
    """The account's balance and plan."""

    available: int
    reserved: int
    debt: int
    plan: str
    storage_bytes: int
    storage_quota_bytes: int
    slots: int
    slots_in_use: int
    event_number: Annotated[
        int, Field(description="Of the newest event that this includes: `GET /v1/events?after=` goes on from it.")
    ]


class WantedAlerts(RequestBody):
    """Limits to be told of; null: those of this deployment."""

    limits: Annotated[list[Annotated[int, Field(ge=1, le=MAX_GRANT)]] | None, Field(max_length=10)]


class CreditAlerts(BaseModel):
    """Below how many credits `credits.low` is told, highest first."""

    limits: list[int]
    own: Annotated[bool, Field(description="False: they are those of this deployment.")]


class EntryView(BaseModel):
    """A movement of credits."""

    id: int
    kind: str
    amount: int
    from_bucket: str
    to_bucket: str
    job_id: UUID | None
    hold_id: UUID | None
    grant_id: UUID | None
    available_after: int
    reserved_after: int
    created_at: datetime


class EntryPage(ListPage[EntryView]):
    """Ledger entries, newest first."""


class GrantPage(ListPage[GrantView]):
    """Grants with credits left, in the order in which they are used."""


def _grant_place_of(text: str) -> GrantPlace:
    priority, _, rest = text.partition(" ")
    if number_of(priority) > MAX_PRIORITY:
        raise ValueError
    if rest.startswith("never "):
        return GrantPlace(number_of(priority), None, UUID(rest.removeprefix("never ")))
    return GrantPlace(number_of(priority), *moment_and_id_of(rest))


def _grant_place_text(place: GrantPlace) -> str:
    return f"{place.priority} {place.expires_at.isoformat() if place.expires_at else 'never'} {place.id}"


GRANTS = Listing("grants", _grant_place_of, _grant_place_text)
ENTRIES = Listing("entries", number_of)


def credits_view(balance: Balance) -> dict[str, Any]:
    """A balance, as GET /v1/credits answers."""
    shown = balance._asdict()
    return {"plan": shown.pop("plan_id"), **shown}


@router.get("", response_model=Credits, summary="Look at the balance")
def get_credits(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What is really usable now: grants whose time has passed are expired before this is answered."""
    with certain() as conn:
        return answer(credits_view(reads.expire_and_read_balance(conn, who.account_id)))


@router.get("/alerts", response_model=CreditAlerts, summary="Look at the alerts")
def get_alerts(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """Below how many credits you hear of it: your own limits, or else those of this deployment."""
    with transaction() as conn:
        return answer(_alerts(reads.credit_alerts(conn, who.account_id)))


@router.put("/alerts", response_model=CreditAlerts, summary="Choose the alerts")
def put_alerts(body: WantedAlerts, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """Each limit is told of once (`credits.low`) whenever the available credits fall below it. None: nothing is told; null: the
    limits of this deployment again.
    """
    with certain() as conn:
        reads.choose_alerts(
            conn, who.account_id, None if body.limits is None else sorted(set(body.limits), reverse=True)
        )
        found = reads.credit_alerts(conn, who.account_id)
    return answer(_alerts(found))


def _alerts(own: list[int] | None) -> dict[str, Any]:
    usual = settings().low_credits
    return {"limits": own if own is not None else [usual] if usual else [], "own": own is not None}


@router.get("/grants", response_model=GrantPage, summary="List grants")
def list_grants(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[GrantPlace], Depends(GRANTS.wanted)],
) -> Response:
    """What the available credits are made of: the grants with credits left, those that are used first before the others."""
    with transaction() as conn:
        rows = reads.open_grants(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(
        GRANTS.page(rows, wanted, lambda row: GrantPlace(row["priority"], row["expires_at"], row["id"]), _grant_view)
    )


def _grant_view(row: dict[str, Any]) -> dict[str, Any]:
    paid = row["paid_per_credit"]
    return {**row, "paid_per_credit": None if paid is None else f"{paid.normalize():f}"}


@router.get("/entries", response_model=EntryPage, summary="List ledger entries")
def list_entries(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[int], Depends(ENTRIES.wanted)]
) -> Response:
    """Every movement of your credits, newest first."""
    with caught_up() as conn:
        rows = reads.ledger_page(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(ENTRIES.page(rows, wanted, lambda row: int(row["id"]), dict))
