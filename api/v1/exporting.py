"""/v1/me/export, /v1/admin/accounts/{id}/export and /erase: all that is stored of one account, to take along, and away."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.exports import ExportedThing, ExportLines, export
from api.routes.callers import needs, permitted
from api.routes.cursors import PathId, id_of
from api.routes.fast_routes import FastRoute, answer, fast
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Reason, RequestBody
from api.routes.walled import AdminRoute
from api.services import services
from models.access import audit_log
from models.access.scopes import Caller
from models.db import certain
from models.operations import erasing
from workers.doorbell import ring

my_router = PrefixRouter(prefix="/v1/me", tags=["account"], route_class=FastRoute)
admin_router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=FastRoute)
erasing_router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)


class EraseRequest(RequestBody):
    """Why, and whether it is only asked what would go."""

    reason: Reason
    dry_run: Annotated[bool, Field(strict=True)] = False


class ErasureView(BaseModel):
    """What of a person is there still that goes, and how far it is."""

    account_id: UUID
    user_id: UUID
    goes: Annotated[dict[str, int], Field(description="Rows of each kind that are left to erase, counted to 100,000.")]
    available_credits: Annotated[int, Field(description="Nobody can spend them any more.")]
    begun_at: datetime | None
    finished_at: datetime | None


@my_router.get(
    "/export",
    summary="Export your account",
    response_model=ExportedThing,
    response_class=ExportLines,
    response_description="One a line.",
)
@fast(need="read")
async def export_mine(request: Request) -> Response:
    """All that is stored of your account, as JSON Lines: profile, keys (what they are, not what they say), jobs, where results lie, ledger, payments,
    usage, webhooks, gallery, learning, sessions, events, acts. The last line is of the kind `end`. Files are fetched one by one (`/files/…`).
    """
    who = await permitted(request, "read")
    return await export(services(request.app).places.ordinary, who.account_id)


@admin_router.get(
    "/accounts/{account_id}/export", summary="Export an account", response_model=ExportedThing, response_class=ExportLines,
    response_description="One a line.",
)  # fmt: skip
@fast(need="admin", account_id=PathId)
async def export_account(request: Request) -> Response:
    """The same of any account, for who asked its operator. It is in the audit log that it was exported."""
    who, place = await permitted(request, "admin"), services(request.app).places.admin
    account_id = id_of(request.path_params["account_id"], "account")
    made = await export(place, account_id)

    def note() -> None:
        with certain() as conn:
            audit_log.record(conn, by(who, request), "account.export", str(account_id))

    await place.run(note)
    return made


@erasing_router.post("/accounts/{account_id}/erase", response_model=ErasureView, summary="Erase a person")
def erase_account(
    account_id: PathId, body: EraseRequest, request: Request, who: Annotated[Caller, Depends(needs("admin"))]
) -> Response:
    """Nobody is let in as them from now on; what they wrote, their files, names and addresses go within minutes. It cannot be undone. The ledger,
    payments and the audit log stay, and name nobody. Again, it tells how far it is; `dry_run` tells what would go.
    """
    wanted = id_of(account_id, "account")
    with certain() as conn:
        rings = [] if body.dry_run else erasing.begin(conn, by(who, request), wanted, body.reason)
        shown = erasing.preview(conn, wanted)._asdict()  # here, since nothing may fail after the commit
    ring(rings)
    return answer(shown)
