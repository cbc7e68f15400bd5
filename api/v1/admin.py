"""/v1/admin: what operators may do over HTTP. Needs the scope and the role `admin`; every act is in the audit log."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of, number_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import AdminRoute
from models.access import audit_log
from models.access.scopes import Caller, Role
from models.accounts import accounts
from models.db import certain, transaction
from models.events import announcements
from models.events.notifications import MAX_BODY, MAX_TITLE
from models.fleet.replicas import caught_up

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)


class UserView(BaseModel):
    """A user."""

    id: UUID
    account_id: UUID
    issuer: str
    subject: str
    email: str | None
    role: Role
    plan: str
    created_at: datetime
    suspended_at: datetime | None


class UserPage(ListPage[UserView]):
    """Users, newest first."""


class RoleChange(RequestBody):
    """The role that a user gets."""

    role: Role


class NewAnnouncement(RequestBody):
    """What everybody should know, or everybody on a plan."""

    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]
    body: Annotated[str, Field(min_length=1, max_length=MAX_BODY)]
    plan: Annotated[str | None, Field(max_length=100, description="Only accounts on this plan.")] = None


class AnnouncementView(BaseModel):
    """An announcement, and how many accounts have been notified so far."""

    id: UUID
    title: str
    body: str
    plan_id: str | None
    notified: int
    created_at: datetime
    finished_at: datetime | None


class AnnouncementPage(ListPage[AnnouncementView]):
    """Announcements, newest first."""


class ActView(BaseModel):
    """One act: who, what, when, from where."""

    id: int
    at: datetime
    actor: str
    key_id: UUID | None
    action: str
    subject: str
    details: dict[str, Any]
    address: str | None


class ActPage(ListPage[ActView]):
    """The audit log, newest first."""


USERS = Listing("users", UUID)
ANNOUNCEMENTS = Listing("announcements", UUID)
ACTS = Listing("acts", number_of)


@router.get("/users", response_model=UserPage, summary="List users")
def list_users(
    _who: Annotated[Caller, Depends(needs("admin"))],
    wanted: Annotated[WantedPage[UUID], Depends(USERS.wanted)],
    email: Annotated[str | None, Query(max_length=320, description="Exactly this address.")] = None,
    subject: Annotated[
        str | None, Query(max_length=300, description="Exactly this id at the identity provider.")
    ] = None,
    issuer: Annotated[
        str | None, Query(max_length=300, description="Of `subject`: exactly this identity provider.")
    ] = None,
    key_prefix: Annotated[str | None, Query(max_length=20, description="As keys are listed, such as hr_AbC….")] = None,
) -> Response:
    """Newest first."""
    with caught_up() as conn:
        rows = accounts.users(
            conn, before=wanted.after, email=email, issuer=issuer, subject=subject, key_prefix=key_prefix,
            limit=wanted.reads,
        )  # fmt: skip
    return answer(USERS.page(rows, wanted, lambda row: row.id, lambda row: row._asdict()))


@router.patch("/users/{user_id}", summary="Change a user's role")
def change_role(
    user_id: PathId, body: RoleChange, request: Request, who: Annotated[Caller, Depends(needs("admin"))]
) -> UserView:
    """Takes effect everywhere within five seconds."""
    wanted = id_of(user_id, "user")
    with certain() as conn:
        accounts.change_role(conn, by(who, request), wanted, body.role)
        user = accounts.user(conn, wanted)
    return UserView(**user._asdict())


@router.post(
    "/announcements", status_code=202, response_model=AnnouncementView, summary="Announce something to everybody"
)
def create_announcement(
    body: NewAnnouncement, request: Request, who: Annotated[Caller, Depends(needs("admin"))],
    idempotency_key: RepeatKey = None,
) -> Response:  # fmt: skip
    """Becomes a notification and an event of every account that is open now, or on the plan, within a while."""
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: announcements.create(conn, by(who, request), body.title, body.body, body.plan)._asdict(), status=202,
    )  # fmt: skip


@router.get("/announcements", response_model=AnnouncementPage, summary="List announcements")
def list_announcements(
    _who: Annotated[Caller, Depends(needs("admin"))], wanted: Annotated[WantedPage[UUID], Depends(ANNOUNCEMENTS.wanted)]
) -> Response:
    """Newest first."""
    with transaction() as conn:
        rows = announcements.list_announcements(conn, before=wanted.after, limit=wanted.reads)
    return answer(ANNOUNCEMENTS.page(rows, wanted, lambda row: row.id, lambda row: row._asdict()))


@router.get("/acts", response_model=ActPage, summary="Read the audit log")
def list_acts(
    _who: Annotated[Caller, Depends(needs("admin"))],
    wanted: Annotated[WantedPage[int], Depends(ACTS.wanted)],
    subject: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Newest first."""
    with caught_up() as conn:
        rows = audit_log.list_acts(conn, before=wanted.after, subject=subject, limit=wanted.reads)
    return answer(ACTS.page(rows, wanted, lambda row: row.id, lambda row: row._asdict()))
