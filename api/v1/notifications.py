"""/v1/notifications: what an account's people should know, inside the product."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth.keyring import needs
from api.routes.cursors import id_of
from api.routes.fast_routes import answer
from api.routes.walls import WalledRoute
from models.access.scopes import Caller
from models.db import certain, transaction
from models.events import notifications

router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=WalledRoute)

Reader = Annotated[Caller, Depends(needs("read"))]
Writer = Annotated[Caller, Depends(needs("write"))]


class NotificationView(BaseModel):
    """A notification."""

    id: UUID
    kind: Annotated[str, Field(description="The type of the event that it tells of.")]
    title: str
    body: str
    data: dict[str, Any]
    event_number: int
    read_at: datetime | None
    created_at: datetime


class NotificationPage(BaseModel):
    """Notifications, newest first. `next_cursor` leads to the next page; null: this is the last."""

    data: list[NotificationView]
    unread: Annotated[int, Field(description="Of all pages; 1,000 means that many or more.")]
    next_cursor: UUID | None


class Marked(BaseModel):
    """How many were unread until now."""

    count: int


@router.get("", response_model=NotificationPage, summary="List notifications")
def list_notifications(
    who: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[UUID | None, Query()] = None,
    unread: Annotated[bool, Query(description="Only those not read yet.")] = False,
) -> Response:
    """With the number of unread ones."""
    with transaction() as conn:
        rows = notifications.listed(conn, who.account_id, unread=unread, before=cursor, limit=limit + 1)
        count = notifications.unread(conn, who.account_id)
    following = rows[limit - 1].id if len(rows) > limit else None
    return answer({"data": [row._asdict() for row in rows[:limit]], "unread": count, "next_cursor": following})


@router.post("/read", response_model=Marked, summary="Mark all as read")
def read_all(who: Writer) -> Response:
    with certain() as conn:
        return answer({"count": notifications.read_all(conn, who.account_id)})


@router.post("/{notification_id}/read", status_code=204, summary="Mark one as read")
def read(who: Writer, notification_id: str) -> Response:
    """Again is fine."""
    with certain() as conn:
        notifications.read(conn, who.account_id, id_of(notification_id, "notification"))
    return Response(status_code=204)
