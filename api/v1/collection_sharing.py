"""How collections are shared: by links, with collaborators; and the invitations of others."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.gallery_shapes import (
    CollectionView,
    InvitationPage,
    LinkPage,
    LinkRequest,
    MemberChange,
    MemberPage,
    MemberRequest,
    MemberView,
    NewLinkView,
    collection_view,
    invitation_view,
    link_view,
    member_view,
)
from common.settings import settings
from models.access.scopes import Caller
from models.db import certain, transaction
from models.gallery import collections, links, members

router = PrefixRouter(prefix="/v1/collections", tags=["collections"], route_class=WalledRoute)
invitations_router = PrefixRouter(prefix="/v1/invitations", tags=["collections"], route_class=WalledRoute)

_Reader = Annotated[Caller, Depends(needs("read"))]
_Writer = Annotated[Caller, Depends(needs("write"))]
_Deleter = Annotated[Caller, Depends(needs("delete"))]

LINKS = Listing("share-links", UUID)
MEMBERS = Listing("collaborators", UUID)
INVITATIONS = Listing("invitations", UUID)


@router.post(
    "/{collection_id}/links", status_code=201, response_model=NewLinkView, summary="Share a collection by link"
)
def create_link(
    collection_id: PathId, body: LinkRequest, request: Request, who: _Writer, idempotency_key: RepeatKey = None
) -> Response:
    """The address is shown once. Whoever has it, and its password if there is one, sees what collaborators see."""
    wanted = _id(collection_id)

    def work(conn: Connection[Any]) -> dict[str, Any]:
        row, token = links.create(conn, who.account_id, wanted, password=body.password, expires_at=body.expires_at)
        return {**link_view(row), "url": f"{settings().public_url}/shared/{token}"}

    return once(who, idempotency_key, asked(request, body, by=who), work, status=201)


@router.get("/{collection_id}/links", response_model=LinkPage, summary="List a collection's links")
def list_links(
    collection_id: PathId, who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(LINKS.wanted)]
) -> Response:
    """Without their addresses, revoked and expired ones included, newest first: for the owner."""
    with transaction() as conn:
        rows = links.list_links(conn, who.account_id, _id(collection_id), before=wanted.after, limit=wanted.reads)
    return answer(LINKS.page(rows, wanted, lambda row: row.id, link_view))


@router.delete("/{collection_id}/links/{link_id}", status_code=204, summary="Revoke a link")
def revoke_link(collection_id: PathId, link_id: PathId, who: _Deleter) -> Response:
    """At once; again changes nothing."""
    with certain() as conn:
        links.revoke(conn, who.account_id, _id(collection_id), id_of(link_id, "link"))
    return Response(status_code=204)


@router.post("/{collection_id}/members", status_code=201, response_model=MemberView, summary="Invite a collaborator")
def invite_member(collection_id: PathId, body: MemberRequest, who: _Writer) -> Response:
    """By e-mail address; needs a plan with collaborators. Who has signed in with that address finds it at
    GET /v1/invitations. No mail is sent: tell them.
    """
    with certain() as conn:
        row = members.invite(conn, who.account_id, _id(collection_id), body.email, body.role)
    return answer(member_view(row), 201)


@router.get("/{collection_id}/members", response_model=MemberPage, summary="List collaborators")
def list_members(
    collection_id: PathId, who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(MEMBERS.wanted)]
) -> Response:
    """Those who were invited too, oldest first: for the owner."""
    with transaction() as conn:
        rows = members.list_members(conn, who.account_id, _id(collection_id), after=wanted.after, limit=wanted.reads)
    return answer(MEMBERS.page(rows, wanted, lambda row: row.id, member_view))


@router.patch("/{collection_id}/members/{member_id}", response_model=MemberView, summary="Change a collaborator's role")
def change_member(collection_id: PathId, member_id: PathId, body: MemberChange, who: _Writer) -> Response:
    """At once: a request of theirs that waits is decided by the new role."""
    with certain() as conn:
        row = members.set_role(conn, who.account_id, _id(collection_id), id_of(member_id, "collaborator"), body.role)
    return answer(member_view(row))


@router.delete("/{collection_id}/members/{member_id}", status_code=204, summary="Remove a collaborator")
def remove_member(collection_id: PathId, member_id: PathId, who: _Deleter) -> Response:
    """Or take an invitation back. What they have put in of their own goes with them."""
    with certain() as conn:
        members.remove(conn, who.account_id, _id(collection_id), id_of(member_id, "collaborator"))
    return Response(status_code=204)


@router.post("/{collection_id}/leave", status_code=204, summary="Leave a collection")
def leave_collection(collection_id: PathId, who: _Writer) -> Response:
    """As a collaborator. What you have put in of your own goes with you."""
    with certain() as conn:
        members.leave(conn, who.account_id, _id(collection_id))
    return Response(status_code=204)


@invitations_router.get("", response_model=InvitationPage, summary="List your invitations")
def list_invitations(who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(INVITATIONS.wanted)]) -> Response:
    """To collections of others, by the address that your identity provider knows you by, newest first."""
    with transaction() as conn:
        rows = members.invitations(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(INVITATIONS.page(rows, wanted, lambda row: row.id, invitation_view))


@invitations_router.post("/{invitation_id}/accept", response_model=CollectionView, summary="Accept an invitation")
def accept_invitation(invitation_id: PathId, who: _Writer) -> Response:
    """From now on the collection is among those that others share with you."""
    with certain() as conn:
        collection_id = members.accept(conn, who.account_id, id_of(invitation_id, "invitation"))
        return answer(collection_view(collections.find(conn, who.account_id, collection_id)))


@invitations_router.delete("/{invitation_id}", status_code=204, summary="Decline an invitation")
def decline_invitation(invitation_id: PathId, who: _Deleter) -> Response:
    """It is gone; you may be invited again."""
    with certain() as conn:
        members.decline(conn, who.account_id, id_of(invitation_id, "invitation"))
    return Response(status_code=204)


def _id(text: str) -> UUID:
    return id_of(text, "collection")
