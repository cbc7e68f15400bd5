"""Whom a product's server acts for: an account that it names by our id, by an identity provider's, or by e-mail."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidParameter
from common.settings import settings
from models.access import audit_log
from models.access.audit_log import By
from models.access.scopes import Role
from models.identity.people import Identity, sign_up

HEADER, CREATE = "Headrace-Account", "Headrace-Create"
MAX_CHARACTERS, MAX_ADDRESS = 400, 320
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


class Named(NamedTuple):
    """An account as it was named: one of the three."""

    account_id: UUID | None = None
    identity: tuple[str, str] | None = None  # issuer and subject there
    email: str | None = None


class Stood(NamedTuple):
    """The account that was meant. `refused` says why nobody acts for it: banned, deleted, suspended."""

    account_id: UUID
    user_id: UUID
    role: Role
    refused: str | None


class ServerAct(NamedTuple):
    """What a server did for an account, for the audit log."""

    by: By
    account_id: UUID
    method: str
    path: str


def named(text: str) -> Named:
    """What a header names: an id, `email:…`, or `ISSUER:SUBJECT`, where `clerk` stands for Clerk's issuer. Raises
    InvalidParameter.
    """
    if not 0 < len(text) <= MAX_CHARACTERS or not text.isprintable():
        raise _unclear(f"it has {len(text)} characters, or some that cannot be printed")
    try:
        return Named(account_id=UUID(text))
    except ValueError:
        pass
    kind, _, rest = text.partition(":")
    if kind == "email" and rest:
        return Named(email=rest)
    issuer, subject = identity_of(text)
    if not issuer or not subject:
        raise _unclear("it is an account's id, email:ADDRESS, clerk:USER or ISSUER:SUBJECT")
    return Named(identity=(issuer, subject))


def identity_of(text: str) -> tuple[str | None, str]:
    """Issuer and subject of `ISSUER:SUBJECT`, where `clerk` stands for Clerk's issuer; no issuer of a subject alone."""
    issuer, colon, subject = text.rpartition(":")
    if issuer == "clerk":
        issuer = settings().issuer_of_clerk() or ""
    return (issuer if colon else None), subject


def _unclear(why: str) -> InvalidParameter:
    return InvalidParameter(f"{HEADER} does not name an account: {why}", param=HEADER)


_FOUND = """select a.id, u.id, u.role,
                   case when u.deleted_at is not null then 'deleted' when u.banned then 'banned'
                        when u.suspended_at is not null then 'suspended' end
              from users u join accounts a on a.user_id = u.id"""


def find(conn: Connection[Any], wanted: Sequence[Named]) -> list[Stood | InvalidParameter | None]:
    """Who these are, in order. None: nobody; an error where an address is that of several."""
    return [_find(conn, each) for each in wanted]


def _find(conn: Connection[Any], wanted: Named) -> Stood | InvalidParameter | None:
    if wanted.account_id is not None:
        rows = conn.execute(f"{_FOUND} where a.id = %s", [wanted.account_id]).fetchall()
    elif wanted.identity is not None:
        rows = conn.execute(f"{_FOUND} where u.issuer = %s and u.subject = %s", list(wanted.identity)).fetchall()
    else:
        spellings = list({wanted.email or "", (wanted.email or "").lower()})
        rows = conn.execute(
            f"{_FOUND} where u.email = any(%s) and u.deleted_at is null limit 2", [spellings]
        ).fetchall()
    if len(rows) > 1:
        return InvalidParameter("several users have this e-mail address; name the account by its id", param=HEADER)
    return Stood(*rows[0]) if rows else None


def create(conn: Connection[Any], wanted: Named) -> Stood:
    """Open an account for somebody who was named by their identity or address, once whatever races. Raises InvalidParameter
    for an id of ours, for an issuer that nobody vouches for here, and for what is no address.

    Who is named by address is a `local` user, whose id is a digest of it: a deleted user's row keeps no address.
    """
    if wanted.email is not None:
        address = wanted.email.lower()
        if not ADDRESS.fullmatch(address) or len(address) > MAX_ADDRESS:
            raise InvalidParameter(f"{wanted.email[:100]!r} is no e-mail address", param=HEADER)
        who = Identity("local", f"email:{sha256(address.encode()).hexdigest()}", address)
    elif wanted.identity is not None:
        who = Identity(*wanted.identity)
        if who.issuer not in {*settings().issuers(), settings().issuer_of_clerk(), "local"}:
            raise InvalidParameter(f"{who.issuer[:100]!r} is no issuer of this server", param=HEADER)
    else:
        raise InvalidParameter(f"{CREATE} opens no account of an id: ids are ours to give", param=HEADER)
    return Stood(*sign_up(conn, who, settings().default_plan))


def record_acts(conn: Connection[Any], acts: Sequence[ServerAct]) -> None:
    """Write down what servers did for accounts."""
    for act in acts:
        audit_log.record(conn, act.by, "account.act", str(act.account_id), method=act.method, path=act.path)
