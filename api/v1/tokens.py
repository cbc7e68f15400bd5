"""/v1/tokens: a part of what an account may do, for minutes, for a page in a browser."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import services
from models.access import audit_log, browser_tokens
from models.access.browser_tokens import MAX_SECONDS, MIN_SECONDS, USUAL_SECONDS, NewToken, TokenRow
from models.access.scopes import SCOPE_OF_RIGHT, Caller, Right
from models.db import certain, transaction

router = PrefixRouter(prefix="/v1/tokens", tags=["tokens"], route_class=WalledRoute)


class WantedToken(RequestBody):
    """A token to make. Without a job and a model it is for the whole account."""

    may: Annotated[
        list[Right],
        Field(min_length=1, max_length=len(SCOPE_OF_RIGHT), description="`generate` orders, and needs `credits`."),
    ]
    job: Annotated[UUID | None, Field(description="Only this job is read and followed.")] = None
    model: Annotated[
        str | None,
        Field(min_length=1, max_length=100, description="Only this model is ordered, only its jobs are seen."),
    ] = None
    credits: Annotated[
        int | None, Field(strict=True, ge=1, le=2**53, description="What its orders may cost together.")
    ] = None
    seconds: Annotated[int, Field(strict=True, ge=MIN_SECONDS, le=MAX_SECONDS)] = USUAL_SECONDS


class TokenView(BaseModel):
    """A token as it is listed."""

    id: UUID
    account: UUID
    may: list[Right]
    job: UUID | None
    model: str | None
    credits: int | None
    spent: Annotated[int, Field(description="Reserved by its orders. What comes back of one goes to the account.")]
    made_by: Annotated[UUID | None, Field(description="The key that made it. Null: a person who had signed in.")]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class MadeToken(TokenView):
    """A new token. It is shown now and never again."""

    token: str = Field(examples=["hrt_…"])


class TokenPage(ListPage[TokenView]):
    """Tokens, newest first; those that have ended for a day more."""


TOKENS = Listing("tokens", UUID)


@router.post("", status_code=201, response_model=MadeToken, summary="Make a token for a browser")
def create_token(body: WantedToken, request: Request, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """It may less than who makes it, for an hour at most, and ends with them. Send it as a key is sent. What it opens:
    the jobs, one job, their events, the balance; quotes, uploads and orders for so many credits. Nothing else.
    """
    if body.model is not None:
        services(request.app).catalogue.named(body.model)
    wanted = NewToken(body.may, body.job, body.model, body.credits, body.seconds)
    with certain() as conn:
        row, secret = browser_tokens.give_out(conn, who, wanted)
        audit_log.record(
            conn, by(who, request), "token.create", str(row.id), may=row.may, job=row.job, model=row.model,
            credits=row.credits, expires_at=row.expires_at,
        )  # fmt: skip
    return answer({**row._asdict(), "token": secret}, 201, {"cache-control": "no-store"})


@router.get("", response_model=TokenPage, summary="List tokens")
def list_tokens(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[UUID], Depends(TOKENS.wanted)],
) -> Response:
    """Newest first, never with their secrets."""
    with transaction() as conn:
        rows = browser_tokens.list_tokens(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(TOKENS.page(rows, wanted, lambda row: row.id, TokenRow._asdict))


@router.delete("/{token_id}", status_code=204, summary="Revoke a token")
def revoke_token(token_id: PathId, request: Request, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """It is refused everywhere, and its streams end, within five seconds. Revoking it again changes nothing."""
    wanted = id_of(token_id, "token")
    with certain() as conn:
        browser_tokens.withdraw(conn, who.account_id, wanted)
        audit_log.record(conn, by(who, request), "token.revoke", str(wanted))
    return Response(status_code=204)
