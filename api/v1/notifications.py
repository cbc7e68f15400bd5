"""/v1/notifications: what an account's people should know, inside the product."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from models.access.scopes import Caller
from models.db import certain, transaction
from models.events import notifications
from models.fleet.replicas import caught_up

router = PrefixRouter(prefix="/v1/notifications", tags=["notifications"], route_class=WalledRoute)

_Reader = Annotated[Caller, Depends(needs("read"))]
_Writer = Annotated[Caller, Depends(needs("write"))]


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


class NotificationPage(ListPage[NotificationView]):
    """Notifications, newest first."""


class UnreadCount(BaseModel):
    """How many are unread."""

    count: Annotated[int, Field(description="1,000 means that many or more.")]


class Marked(BaseModel):
    """How many were unread until now."""

    count: int


NOTIFICATIONS = Listing("notifications", UUID)


@router.get("", response_model=NotificationPage, summary="List notifications")
def list_notifications(
    who: _Reader,
    wanted: Annotated[WantedPage[UUID], Depends(NOTIFICATIONS.wanted)],
    unread: Annotated[bool, Query(description="Only those not read yet.")] = False,
) -> Response:
    """Newest first."""
    with caught_up() as conn:
        rows = notifications.list_notifications(
            conn, who.account_id, unread=unread, before=wanted.after, limit=wanted.reads
        )
    return answer(NOTIFICATIONS.page(rows, wanted, lambda row: row.id, lambda row: row._asdict()))


@router.get("/unread", response_model=UnreadCount, summary="Count the unread ones")
def count_unread_notifications(who: _Reader) -> Response:
    """For a badge."""
    with transaction() as conn:
        return answer({"count": notifications.unread(conn, who.account_id)})


@router.post("/read", response_model=Marked, summary="Mark all as read")
def read_all_notifications(who: _Writer) -> Response:
    with certain() as conn:
        return answer({"count": notifications.read_all(conn, who.account_id)})


@router.post("/{notification_id}/read", status_code=204, summary="Mark one as read")
def read_notification(who: _Writer, notification_id: PathId) -> Response:
    """Again is fine."""
    with certain() as conn:
        notifications.read(conn, who.account_id, id_of(notification_id, "notification"))
    return Response(status_code=204)
