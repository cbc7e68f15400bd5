"""/v1/credits: the balance and the ledger of the caller's account."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth.keyring import needs
from api.routes.fast_routes import answer
from api.routes.walls import WalledRoute
from api.v1 import schemas
from common.errors import InvalidRequest
from models.access.scopes import Caller
from models.credits import reads
from models.db import certain, transaction

router = APIRouter(prefix="/v1/credits", tags=["credits"], route_class=WalledRoute)


@router.get("", response_model=schemas.Credits, summary="Look at the balance")
def get_credits(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What is really usable now: grants whose time has passed are expired before this is answered."""
    with certain() as conn:
        balance = reads.expire_and_read_balance(conn, who.account_id)
        grants, more = reads.open_grants(conn, who.account_id)
    body = balance._asdict()
    return answer({"plan": body.pop("plan_id"), **body, "grants": grants, "more_grants": more})


@router.get("/entries", response_model=schemas.EntryPage, summary="List ledger entries")
def list_entries(
    who: Annotated[Caller, Depends(needs("read"))],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Every movement of your credits, newest first."""
    if cursor is not None and not re.fullmatch("[0-9]{1,18}", cursor):
        raise InvalidRequest("cursor is not one that this API gave out", param="cursor")
    with transaction() as conn:
        entries = reads.ledger_page(conn, who.account_id, before=int(cursor) if cursor else None, limit=limit + 1)
    page = entries[:limit]
    following = str(page[-1]["id"]) if len(entries) > limit else None
    return answer({"data": page, "next_cursor": following})
