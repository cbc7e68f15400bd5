"""/v1/credits: the balance and the ledger of the caller's account."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth.keyring import needs
from api.routes.fast_routes import answer
from api.routes.walls import WalledRoute
from common.errors import InvalidRequest
from models.access.scopes import Caller
from models.db import certain, transaction
from models.jobs import reads

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
    grants: list[GrantView]
    more_grants: Annotated[int, Field(description="How many more there are, used after those that are listed.")]


class Entry(BaseModel):
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


class EntryPage(BaseModel):
    """Ledger entries, newest first."""

    data: list[Entry]
    next_cursor: str | None


@router.get("", response_model=Credits, summary="Look at the balance")
def get_credits(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What is really usable now: grants whose time has passed are expired before this is answered."""
    with certain() as conn:
        balance = reads.balance(conn, who.account_id)
        grants, more = reads.open_grants(conn, who.account_id)
    body = balance._asdict()
    return answer({"plan": body.pop("plan_id"), **body, "grants": grants, "more_grants": more})


@router.get("/entries", response_model=EntryPage, summary="List ledger entries")
def list_entries(
    who: Annotated[Caller, Depends(needs("read"))],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Every movement of your credits, newest first."""
    if cursor is not None and not re.fullmatch("[0-9]{1,18}", cursor):
        raise InvalidRequest("cursor is not one that this API gave out", param="cursor")
    with transaction() as conn:
        entries = reads.ledger(conn, who.account_id, before=int(cursor) if cursor else None, limit=limit + 1)
    page = entries[:limit]
    following = str(page[-1]["id"]) if len(entries) > limit else None
    return answer({"data": page, "next_cursor": following})
