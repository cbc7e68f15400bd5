"""/v1/keys: an account's API keys."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment, RequestBody
from api.routes.walled import WalledRoute
from common.errors import Forbidden
from common.settings import settings
from models.access import api_keys, audit_log, minting
from models.access.scopes import DEFAULT_SCOPES, SCOPES, Caller, Scope
from models.db import certain, transaction

router = PrefixRouter(prefix="/v1/keys", tags=["keys"], route_class=WalledRoute)


class NewApiKey(RequestBody):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", examples=["render farm"])
    scopes: list[Scope] = Field(list(DEFAULT_SCOPES), min_length=1, max_length=len(SCOPES))
    models: list[str] | None = Field(
        None, description="Only these models may be ordered.", max_length=api_keys.MAX_MODELS
    )
    per_minute: int | None = Field(None, strict=True, ge=1, le=1_000_000, description="Requests per minute.")
    monthly_credits: int | None = Field(
        None, strict=True, ge=0, le=2**53, description="What its jobs may cost in a calendar month (UTC)."
    )
    expires_at: Moment | None = None


class MadeKey(BaseModel):
    """A new key. The secret is shown now and never again."""

    id: UUID
    secret: str = Field(examples=["hr_…"])


class KeyView(BaseModel):
    """A key as it is listed."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    models: list[str] | None
    per_minute: int | None
    monthly_credits: int | None
    spent_this_month: int
    uses: int = Field(description="Counted about every ten seconds.")
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    root_id: UUID = Field(description="The first of the keys that rotation made of one another: they share a budget.")
    made_by: UUID | None = Field(description="The key that made it, whose budget is its too.")


class Rotation(RequestBody):
    """How to rotate."""

    overlap_hours: int | None = Field(None, strict=True, ge=0, le=720, description="How long the old key still works.")


class KeyPage(ListPage[KeyView]):
    """Keys: all that are not revoked before those that are, newest first."""


def _place_of(text: str) -> tuple[bool, UUID]:
    revoked, _, id_ = text.partition(" ")
    return revoked == "revoked", UUID(id_)


def _place_text(place: tuple[bool, UUID]) -> str:
    return f"{'revoked' if place[0] else 'living'} {place[1]}"


KEYS = Listing("keys", _place_of, _place_text)


@router.get("", response_model=KeyPage, summary="List keys")
def list_keys(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[tuple[bool, UUID]], Depends(KEYS.wanted)],
) -> Response:
    """All that are not revoked before those that are, newest first: none that works is behind many that do not."""
    with transaction() as conn:
        rows = api_keys.list_keys(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(KEYS.page(rows, wanted, lambda row: (row.revoked_at is not None, row.id), lambda row: row._asdict()))


@router.post("", status_code=201, response_model=MadeKey, summary="Make a key")
def create_key(
    body: NewApiKey,
    request: Request,
    who: Annotated[Caller, Depends(needs("write"))],
    idempotency_key: RepeatKey = None,
) -> Response:
    """A key can do no more than who makes it, in any respect: what is not asked for is as the maker has it, and what it
    spends and asks counts for the maker too. It ends with a maker that is revoked.
    """

    _check_own(who)

    def make(conn: Connection[Any]) -> dict[str, Any]:
        key_id, secret = minting.mint(conn, who, api_keys.NewKey(**body.model_dump()))
        audit_log.record(conn, by(who, request), "key.create", str(key_id), name=body.name, scopes=body.scopes)
        return {"id": key_id, "secret": secret}

    return once(who, idempotency_key, asked(request, body, by=who), make, status=201)


@router.post("/{key_id}/rotate", status_code=201, response_model=MadeKey, summary="Rotate a key")
def rotate_key(
    key_id: PathId, body: Rotation, request: Request, who: Annotated[Caller, Depends(needs("write"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """A new key that may do the same, with the same budget and end; the old one works for `overlap_hours` more. For the
    key itself, and for who could have made it.
    """
    wanted = id_of(key_id, "key")
    _check_own(who)
    hours = settings().key_rotation_hours if body.overlap_hours is None else body.overlap_hours

    def rotate(conn: Connection[Any]) -> dict[str, Any]:
        new_id, secret = minting.rotate(conn, who, wanted, hours)
        audit_log.record(conn, by(who, request), "key.rotate", str(wanted), new=str(new_id), overlap_hours=hours)
        return {"id": new_id, "secret": secret}

    return once(who, idempotency_key, asked(request, body, by=who), rotate, status=201)


@router.delete("/{key_id}", status_code=204, summary="Revoke a key")
def revoke_key(key_id: PathId, request: Request, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """It and what it has made are refused everywhere within five seconds. Revoking it again changes nothing."""
    wanted = id_of(key_id, "key")
    with certain() as conn:
        api_keys.revoke(conn, wanted, account_id=who.account_id)
        audit_log.record(conn, by(who, request), "key.revoke", str(wanted))
    return Response(status_code=204)


def _check_own(who: Caller) -> None:
    """Keys are made by their own account: what a server's key may not do itself, it cannot have a user's key do."""
    if who.acting_key is not None:
        raise Forbidden("a key that acts for users makes no keys of theirs")
