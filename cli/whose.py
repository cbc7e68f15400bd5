"""Whose account a command means: it is named by our id, by e-mail, or by an identity provider's id."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer

from common.errors import InvalidParameter
from models import db
from models.accounts import accounts
from models.identity import acting

if TYPE_CHECKING:
    from psycopg import Connection

WAYS = "an account's id, an e-mail address, clerk:USER, ISSUER:SUBJECT, or the user's id there alone"


def account_named(text: str) -> UUID:
    """The account that is meant. Raises typer.BadParameter where nobody, or more than one, is known by this."""
    try:
        return UUID(text)  # whether there is one, its command says
    except ValueError:
        pass
    with db.transaction() as conn:
        found = _known_as(conn, text)
    if len(found) > 1:
        raise typer.BadParameter(f"several accounts are known by {text[:100]!r}: {_ids(found)}")
    if not found:
        raise typer.BadParameter(f"no account is known by {text[:100]!r}; give {WAYS}")
    return found[0]


def refuse_second(issuer: str, subject: str, email: str | None) -> None:
    """Raises typer.BadParameter where this would open another account for an address that has one."""
    address = email or (subject if acting.ADDRESS.fullmatch(subject) else None)
    if address is None:
        return
    with db.transaction() as conn:
        if accounts.users(conn, issuer=issuer, subject=subject, limit=1):
            return
        found = _of_address(conn, address)
    if found:
        raise typer.BadParameter(
            f"{address[:100]!r} has an account already: {_ids(found)}; --another opens one more, apart from it"
        )


def _known_as(conn: "Connection[Any]", text: str) -> list[UUID]:
    address = text.removeprefix("email:")
    if acting.ADDRESS.fullmatch(address) and (":" not in address):
        return _of_address(conn, address)
    issuer, subject = acting.identity_of(text)
    if "\0" in text:
        raise typer.BadParameter(f"no account has such a name; give {WAYS}")
    return [each.account_id for each in accounts.users(conn, issuer=issuer, subject=subject, limit=2)]


def _of_address(conn: "Connection[Any]", address: str) -> list[UUID]:
    met = acting.find(conn, [acting.Named(email=address)])[0]
    if isinstance(met, InvalidParameter):  # several users
        spellings = {address, address.lower()}
        return [each.account_id for spelling in spellings for each in accounts.users(conn, email=spelling, limit=5)]
    return [met.account_id] if met else []


def _ids(found: list[UUID]) -> str:
    return ", ".join(map(str, found))
