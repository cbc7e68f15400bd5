"""/v1/credits: the balance and the ledger of the caller's account."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, WantedPage, moment_and_id_of, number_of
from api.routes.fast_routes import answer
from api.routes.walled import WalledRoute
from models.access.scopes import Caller
from models.credits import reads
from models.db import certain, transaction

router = APIRouter(prefix="/v1/credits", tags=["credits"], route_class=WalledRoute)


class GrantView(BaseModel):
    """A lot of credits."""

    id: UUID
    kind: str
    amount: int
    remaining: int
    expires_at: datetime | None


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


class EntryView(BaseModel):
    """A movement of credits."""

    id: int
    kind: str
    amount: int
    from_bucket: str
    to_bucket: str
    job_id: UUID | None
    grant_id: UUID | None
    available_after: int
    reserved_after: int
    created_at: datetime


class EntryPage(ListPage[EntryView]):
    """Ledger entries, newest first."""


class GrantPage(ListPage[GrantView]):
    """Grants with credits left, in the order in which they are used."""


def _grant_place_of(text: str) -> tuple[datetime | None, UUID]:
    if text.startswith("never "):
        return None, UUID(text.removeprefix("never "))
    return moment_and_id_of(text)


def _grant_place_text(place: tuple[datetime | None, UUID]) -> str:
    return f"{place[0].isoformat() if place[0] else 'never'} {place[1]}"


GRANTS = Listing("grants", _grant_place_of, _grant_place_text)
ENTRIES = Listing("entries", number_of)


@router.get("", response_model=Credits, summary="Look at the balance")
def get_credits(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What is really usable now: grants whose time has passed are expired before this is answered."""
    with certain() as conn:
        balance = reads.expire_and_read_balance(conn, who.account_id)._asdict()
    return answer({"plan": balance.pop("plan_id"), **balance})


@router.get("/grants", response_model=GrantPage, summary="List grants")
def list_grants(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[tuple[datetime | None, UUID]], Depends(GRANTS.wanted)],
) -> Response:
    """What the available credits are made of: the grants with credits left, those that are used first before the others."""
    with transaction() as conn:
        rows = reads.open_grants(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(GRANTS.page(rows, wanted, lambda row: (row["expires_at"], row["id"]), dict))


@router.get("/entries", response_model=EntryPage, summary="List ledger entries")
def list_entries(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[int], Depends(ENTRIES.wanted)]
) -> Response:
    """Every movement of your credits, newest first."""
    with transaction() as conn:
        rows = reads.ledger_page(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(ENTRIES.page(rows, wanted, lambda row: int(row["id"]), dict))
