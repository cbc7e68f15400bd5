"""/v1/holds: credits set aside for work that a product runs itself, spent in parts or given back."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.labels import WantedLabel, label_wanted
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from common.labels import Labels
from common.telemetry import figures
from models.access import scopes
from models.access.scopes import Caller
from models.credits import hold_rows, holds
from models.credits.hold_rows import MAX_HOLD_SECONDS, HoldEnd, HoldRow, NewHold
from models.credits.ledger import MAX_GRANT
from models.db import transaction

router = PrefixRouter(prefix="/v1/holds", tags=["credits"], route_class=WalledRoute)

HOLDS = Listing("holds", UUID)
HOUR = 3600
_Credits = Annotated[int, Field(strict=True, ge=1, le=MAX_GRANT)]
_Seconds = Annotated[
    int, Field(strict=True, ge=1, le=MAX_HOLD_SECONDS, description="From now, until what is held goes back by itself.")
]
_Spender = Annotated[Caller, Depends(needs("generate"))]


class HoldRequest(RequestBody):
    """Credits to set aside."""

    amount: _Credits
    seconds: _Seconds = HOUR
    reference: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f]+$",
            description="Your own name for it: once per account.",
        ),
    ] = None
    model: Annotated[
        str | None,
        Field(min_length=1, max_length=100, description="What it is for, where credits are for some models alone."),
    ] = None
    kind: Annotated[Literal["image", "video", "speech", "text"] | None, Field(description="The same, by kind.")] = None
    labels: Labels | None = None


class HoldSettlement(RequestBody):
    """How much of it is spent."""

    amount: _Credits
    release_rest: Annotated[bool, Field(strict=True, description="Give back what is then still held.")] = False


class HoldRelease(RequestBody):
    """How much of it goes back; all that is held, if absent."""

    amount: _Credits | None = None


class HoldExtension(RequestBody):
    """How long it is to live from now on; no hold ends sooner for it."""

    seconds: _Seconds


class HoldView(BaseModel):
    """Credits set aside. `held` is what still is; `amount` is `held`, `settled` and `released` together."""

    id: UUID
    reference: str | None
    model: str | None
    kind: Literal["image", "video", "speech", "text"] | None
    labels: dict[str, str]
    amount: int
    held: int
    settled: int
    released: int
    ended: Annotated[HoldEnd | None, Field(description="How it ended; null while anything is held.")]
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None


class HoldPage(ListPage[HoldView]):
    """Holds, newest first."""


def hold_view(row: HoldRow) -> dict[str, Any]:
    """A hold, as GET /v1/holds/{id} answers."""
    shown = row._asdict()
    del shown["account_id"]
    return {**shown, "labels": row.labels or {}, "held": row.held}


@router.post("", status_code=201, response_model=HoldView, summary="Set credits aside")
def create_hold(body: HoldRequest, request: Request, who: _Spender, idempotency_key: RepeatKey = None) -> Response:
    """They are reserved at once, as a job's are, and go back by themselves when their time has passed. The same `reference`
    again is the same hold. A key that is for some models alone names one of them.
    """
    if who.models is not None:  # a key for some models alone holds for one of them
        scopes.check_model(who, body.model or "")
    new = NewHold(body.amount, body.seconds, body.reference, body.model, body.kind, body.labels)

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return hold_view(holds.create(conn, who, new))

    return once(who, idempotency_key, asked(request, body), work, status=201, location="/v1/holds/{id}")


@router.get("", response_model=HoldPage, summary="List holds")
def list_holds(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[UUID], Depends(HOLDS.wanted)],
    is_open: Annotated[
        bool | None, Query(alias="open", description="Only those of which something is held, or only the others.")
    ] = None,
    reference: Annotated[str | None, Query(max_length=200)] = None,
    label: WantedLabel = None,
) -> Response:
    """Your own, newest first."""
    with transaction() as conn:
        rows = hold_rows.list_holds(
            conn, who.account_id, before=wanted.after, is_open=is_open, reference=reference, label=label_wanted(label),
            limit=wanted.reads,
        )  # fmt: skip
    return answer(HOLDS.page(rows, wanted, lambda row: row.id, hold_view))


@router.get("/{hold_id}", response_model=HoldView, summary="Look at a hold")
def get_hold(hold_id: PathId, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """How much of it is held, settled and released."""
    with transaction() as conn:
        return answer(hold_view(hold_rows.find(conn, id_of(hold_id, "hold"), account_id=who.account_id)))


@router.post("/{hold_id}/settle", response_model=HoldView, summary="Spend of a hold")
def settle_hold(
    hold_id: PathId, body: HoldSettlement, request: Request, who: _Spender, idempotency_key: RepeatKey = None
) -> Response:
    """Up to what is held, in as many parts as you like. Send an `Idempotency-Key`: without one, the same request again spends
    again.
    """
    wanted = id_of(hold_id, "hold")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return hold_view(holds.settle(conn, who.account_id, wanted, body.amount, release_rest=body.release_rest))

    answered = once(who, idempotency_key, asked(request, body), work)
    if "idempotent-replayed" not in answered.headers:
        figures.SPENT.add("hold", amount=body.amount)
    return answered


@router.post("/{hold_id}/release", response_model=HoldView, summary="Give a hold back")
def release_hold(
    hold_id: PathId, body: HoldRelease, request: Request, who: _Spender, idempotency_key: RepeatKey = None
) -> Response:
    """All that is held, or a part of it. One that is over is 400 `hold_ended`, with what became of it."""
    wanted = id_of(hold_id, "hold")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return hold_view(holds.release(conn, who.account_id, wanted, body.amount))

    return once(who, idempotency_key, asked(request, body), work)


@router.post("/{hold_id}/extend", response_model=HoldView, summary="Let a hold live longer")
def extend_hold(
    hold_id: PathId, body: HoldExtension, request: Request, who: _Spender, idempotency_key: RepeatKey = None
) -> Response:
    """Up to a month from now, any number of times."""
    wanted = id_of(hold_id, "hold")

    def work(conn: Connection[Any]) -> dict[str, Any]:
        return hold_view(holds.extend(conn, who.account_id, wanted, body.seconds))

    return once(who, idempotency_key, asked(request, body), work)
