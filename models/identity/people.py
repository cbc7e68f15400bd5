"""People whom an issuer vouches for: signed in by a token, known by the issuer's webhooks, deleted once and for all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.access.api_keys import LIVE
from models.access.browser_tokens import LIVING
from models.access.scopes import ROLES, Reach, Role
from models.accounts.accounts import open_account


class Identity(NamedTuple):
    """Who somebody is to an issuer. `email` is what the issuer says now; only a first sight writes it."""

    issuer: str
    subject: str
    email: str | None = None


class Person(NamedTuple):
    """Who somebody is to us. `refused` says why they may do nothing: banned, deleted, suspended."""

    account_id: UUID
    user_id: UUID
    role: Role
    refused: str | None


class Visitor(NamedTuple):
    """Somebody who was let in, by which key (None: signed in), and as what; within what, if by a browser token."""

    account_id: UUID
    key_id: UUID | None
    role: Role
    reach: Reach | None = None


class Profile(NamedTuple):
    """What an issuer tells of a person, and when it changed, by the issuer's clock."""

    updated_at: datetime
    banned: bool
    email: str | None
    first_name: str | None
    last_name: str | None


def known(conn: Connection[Any], identities: Sequence[Identity]) -> list[Person | None]:
    """Who these are, in order; None for those never seen."""
    rows = conn.execute(
        """select w.n, a.id, u.id, u.role, case when u.deleted_at is not null then 'deleted' when u.banned then 'banned'
                  when u.suspended_at is not null then 'suspended' end
             from unnest(%s::text[], %s::text[]) with ordinality as w(issuer, subject, n)
             join users u on u.issuer = w.issuer and u.subject = w.subject join accounts a on a.user_id = u.id""",
        [[each.issuer for each in identities], [each.subject for each in identities]],
    ).fetchall()
    found = {row[0]: Person(*row[1:]) for row in rows}
    return [found.get(number) for number in range(1, len(identities) + 1)]


def still_let_in(conn: Connection[Any], visitors: Sequence[Visitor]) -> set[Visitor]:
    """Those who would be let in again as what they were: their key and their token work, and their user is not banned, nor
    deleted, nor less than then.
    """
    tokens = [each.reach and each.reach.token_id for each in visitors]
    rows = conn.execute(
        f"""select w.n from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[]) with ordinality as w(account_id, key_id, role, token_id, n)
              join accounts a on a.id = w.account_id join users u on u.id = a.user_id
              left join api_keys k on k.id = w.key_id and (k.account_id = a.id or 'act' = any(k.scopes)) and {LIVE}
              left join browser_tokens t on t.id = w.token_id and {LIVING}
             where u.deleted_at is null and not u.banned and u.suspended_at is null and (w.key_id is null or k.id is not null)
               and (w.token_id is null or t.id is not null)
               and array_position(%s::text[], u.role) >= array_position(%s::text[], w.role)""",
        [
            [v.account_id for v in visitors],
            [v.key_id for v in visitors],
            [v.role for v in visitors],
            tokens,
            list(ROLES),
            list(ROLES),
        ],
    ).fetchall()
    return {visitors[row[0] - 1] for row in rows}


def sign_up(conn: Connection[Any], identity: Identity, default_plan: str) -> Person:
    """First sight of somebody: a user, an account and the sign-up credits, once, whatever races."""
    open_account(
        conn, issuer=identity.issuer, subject=identity.subject, default_plan=default_plan, email=identity.email
    )
    person = known(conn, [identity])[0]  # a statement of its own: whoever came first may have banned them meanwhile
    assert person is not None  # noqa: S101 - users are never removed
    return person


def describe(conn: Connection[Any], identity: Identity, profile: Profile, default_plan: str) -> Person:
    """Take a profile over, unless a newer one is known or the person is deleted. Whatever the order, one end. Returns who
    they are now.

    Profiles of the same millisecond are compared by what they say, and a ban wins: any fixed order would do, an order of
    arrival would not.
    """
    sign_up(conn, identity, default_plan)
    conn.execute(
        """update users set updated_at_provider = %(at)s, banned = %(banned)s, email = %(email)s,
                  first_name = %(first)s, last_name = %(last)s
            where issuer = %(issuer)s and subject = %(subject)s and deleted_at is null
              and (updated_at_provider is null
                   or (updated_at_provider, banned, coalesce(email, ''), coalesce(first_name, ''), coalesce(last_name, ''))
                    < (%(at)s, %(banned)s, coalesce(%(email)s, ''), coalesce(%(first)s, ''), coalesce(%(last)s, '')))""",
        {
            "at": profile.updated_at, "banned": profile.banned, "email": profile.email, "first": profile.first_name,
            "last": profile.last_name, "issuer": identity.issuer, "subject": identity.subject,
        },
    )  # fmt: skip
    person = known(conn, [identity])[0]
    assert person is not None  # noqa: S101 - signed up above
    return person


def bury(conn: Connection[Any], identity: Identity, default_plan: str) -> UUID:
    """Make a person a tombstone. Returns the account.

    Somebody never seen is made first, account and sign-up grant included: events come in any order, and the end must be
    that of the right one. Nobody can spend that grant.
    """
    account_id = sign_up(conn, identity, default_plan).account_id
    conn.execute(
        """update users set deleted_at = app_now(), email = null, first_name = null, last_name = null, banned = false,
                  updated_at_provider = null where issuer = %s and subject = %s and deleted_at is null""",
        [identity.issuer, identity.subject],
    )
    return account_id


def is_deleted(conn: Connection[Any], identity: Identity) -> bool:
    """Whether this is a tombstone; read in a statement of its own, after whatever was waited for."""
    person = known(conn, [identity])[0]
    return person is not None and person.refused == "deleted"
