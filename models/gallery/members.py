"""Collaborators of a collection: invited by e-mail, let in once somebody who has signed in with that address accepts.

An address is what the identity provider says of its user. Each change is made under the collection's lock, and so is what a
collaborator changes: whoever was demoted a moment ago changes nothing any more.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import Forbidden, InvalidInput, NotFound
from models.gallery import collections
from models.gallery.items import NOT_SHUT
from models.gallery.rights import Deed, MemberRole
from models.gallery.tables import MAX_EMAIL

MAX_MEMBERS = 100
_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f]+")


class MemberRow(NamedTuple):
    """Somebody who was invited; `accepted_at` null: not in yet."""

    id: UUID
    email: str
    role: MemberRole
    created_at: datetime
    accepted_at: datetime | None


class InvitationRow(NamedTuple):
    """An invitation, as who was invited sees it."""

    id: UUID
    collection_id: UUID
    name: str
    role: MemberRole
    created_at: datetime


_SHOWN = ", ".join(MemberRow._fields)
_INVITATION = f"""select m.id, c.id, c.name, m.role, m.created_at from collection_members m
                    join collections c on c.id = m.collection_id join accounts a on a.id = c.account_id
                    join users u on u.id = a.user_id join plans p on p.id = a.plan_id and p.collaborators
                   where m.account_id is null and {NOT_SHUT} and m.email = %(email)s"""


def email_of(text: str) -> str:
    """An address as it is kept. Raises InvalidInput."""
    plain = text.strip().lower()
    if len(plain) > MAX_EMAIL:
        raise InvalidInput(f"email has {len(plain)} characters; the limit is {MAX_EMAIL}", param="email")
    if not _EMAIL.fullmatch(plain) or not plain.isprintable():
        raise InvalidInput("email is no e-mail address", param="email")
    return plain


def invite(conn: Connection[Any], account_id: UUID, collection_id: UUID, email: str, role: str) -> MemberRow:
    """Invite somebody. Raises NotFound, InvalidInput, and Forbidden also where the owner's plan has no collaborators."""
    collections.find(conn, account_id, collection_id, Deed.INVITE, locked=True)
    row = conn.execute(
        "select p.collaborators from accounts a join plans p on p.id = a.plan_id where a.id = %s", [account_id]
    ).fetchone()
    if row is None or not row[0]:
        raise Forbidden("your plan has no collaborators", needed="collaborators")
    address = email_of(email)
    if address == _address(conn, account_id):
        raise InvalidInput("this collection is your own", param="email")
    row = conn.execute(
        "select count(*), coalesce(bool_or(email = %s), false) from collection_members where collection_id = %s",
        [address, collection_id],
    ).fetchone()
    count, invited = row or (0, False)
    if invited:
        raise InvalidInput(f"{address} is invited already", param="email")
    if count >= MAX_MEMBERS:
        raise InvalidInput(f"a collection has at most {MAX_MEMBERS} collaborators; remove one first", param="email")
    new = conn.execute(
        f"insert into collection_members (id, collection_id, email, role) values (%s, %s, %s, %s) returning {_SHOWN}",
        [uuid7(), collection_id, address, collections.role_text(role)],
    ).fetchone()
    assert new is not None  # noqa: S101 - inserted
    return MemberRow(*new)


def list_members(
    conn: Connection[Any], account_id: UUID, collection_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> list[MemberRow]:
    """Who was invited, the oldest first: for the owner alone. Raises NotFound, Forbidden."""
    collections.find(conn, account_id, collection_id, Deed.INVITE)
    rows = conn.execute(
        f"""select {_SHOWN} from collection_members where collection_id = %s and (%s::uuid is null or id > %s)
             order by id limit %s""",
        [collection_id, after, after, limit],
    ).fetchall()
    return [MemberRow(*row) for row in rows]


def set_role(conn: Connection[Any], account_id: UUID, collection_id: UUID, member_id: UUID, role: str) -> MemberRow:
    """Make a viewer an editor, or the other way round. Raises NotFound, Forbidden, InvalidInput."""
    collections.find(conn, account_id, collection_id, Deed.INVITE, locked=True)
    row = conn.execute(
        f"update collection_members set role = %s where id = %s and collection_id = %s returning {_SHOWN}",
        [collections.role_text(role), member_id, collection_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no collaborator {member_id}", param="member_id")
    return MemberRow(*row)


def remove(conn: Connection[Any], account_id: UUID, collection_id: UUID, member_id: UUID) -> None:
    """Let somebody in no more, or take an invitation back. Raises NotFound, Forbidden."""
    collections.find(conn, account_id, collection_id, Deed.INVITE, locked=True)
    row = conn.execute(
        "delete from collection_members where id = %s and collection_id = %s returning account_id",
        [member_id, collection_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no collaborator {member_id}", param="member_id")
    _take_own_out(conn, collection_id, row[0])


def leave(conn: Connection[Any], account_id: UUID, collection_id: UUID) -> None:
    """Be a collaborator no more. Raises NotFound, Forbidden."""
    collections.find(conn, account_id, collection_id, Deed.LEAVE, locked=True)
    conn.execute(
        "delete from collection_members where collection_id = %s and account_id = %s", [collection_id, account_id]
    )
    _take_own_out(conn, collection_id, account_id)


def _take_own_out(conn: Connection[Any], collection_id: UUID, account_id: UUID | None) -> None:
    """What a collaborator put in of their own goes with them."""
    conn.execute(
        """delete from collection_items ci using gallery_items g
            where ci.collection_id = %s and ci.added_by = %s and g.id = ci.item_id and g.account_id = ci.added_by""",
        [collection_id, account_id],
    )


def invitations(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[InvitationRow]:
    """Invitations to an account's own address that wait to be accepted, the newest first."""
    rows = conn.execute(
        f"{_INVITATION} and (%(before)s::uuid is null or m.id < %(before)s) order by m.id desc limit %(limit)s",
        {"email": _address(conn, account_id), "before": before, "limit": limit},
    ).fetchall()
    return [InvitationRow(*row) for row in rows]


def accept(conn: Connection[Any], account_id: UUID, invitation_id: UUID) -> UUID:
    """Accept an invitation to one's own address. Returns the collection. Raises NotFound, InvalidInput."""
    row = _invitation(conn, account_id, invitation_id)
    collections.lock(conn, row.collection_id)
    mine = conn.execute(
        """select 1 from collections c where c.id = %(id)s and (c.account_id = %(me)s or exists (
             select 1 from collection_members m where m.collection_id = c.id and m.account_id = %(me)s))""",
        {"id": row.collection_id, "me": account_id},
    ).fetchone()
    if mine is not None:
        raise InvalidInput("you are in this collection already", param="invitation_id")
    taken = conn.execute(
        "update collection_members set account_id = %s, accepted_at = app_now() where id = %s and account_id is null",
        [account_id, invitation_id],
    ).rowcount
    if not taken:
        raise NotFound(f"no invitation {invitation_id}", param="invitation_id")
    return row.collection_id


def decline(conn: Connection[Any], account_id: UUID, invitation_id: UUID) -> None:
    """Refuse an invitation to one's own address. Raises NotFound."""
    row = _invitation(conn, account_id, invitation_id)
    collections.lock(conn, row.collection_id)
    conn.execute("delete from collection_members where id = %s and account_id is null", [invitation_id])


def _invitation(conn: Connection[Any], account_id: UUID, invitation_id: UUID) -> InvitationRow:
    row = conn.execute(
        f"{_INVITATION} and m.id = %(id)s", {"email": _address(conn, account_id), "id": invitation_id}
    ).fetchone()
    if row is None:
        raise NotFound(f"no invitation {invitation_id}", param="invitation_id")
    return InvitationRow(*row)


def _address(conn: Connection[Any], account_id: UUID) -> str | None:
    row = conn.execute(
        "select lower(u.email) from accounts a join users u on u.id = a.user_id where a.id = %s", [account_id]
    ).fetchone()
    return row[0] if row else None
