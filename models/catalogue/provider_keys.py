"""Users' own keys at providers: used instead of the deployment's for their jobs. Encrypted under SECRET_KEY at rest."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from pydantic import SecretStr
from sqlalchemy import Column, LargeBinary, Text
from sqlmodel import Field, SQLModel

from common.errors import InvalidInput, NotFound
from common.sealing import seal, unseal
from models.access import holders
from models.columns import created_at

MAX_CHARACTERS = 4096
PURPOSE = "provider keys"


class ProviderKey(SQLModel, table=True):
    """One account's key at one provider."""

    __tablename__ = "provider_keys"

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    provider: str = Field(primary_key=True, sa_type=Text)
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hint: str = Field(sa_type=Text, nullable=False)  # its last four characters, to tell keys apart
    created_at: datetime = created_at()


class ProviderKeyRow(NamedTuple):
    """What may be shown of a key."""

    provider: str
    hint: str
    created_at: datetime


def save(conn: Connection[Any], account_id: UUID, provider: str, secret: SecretStr) -> None:
    """Set or replace the account's key at a provider. Raises InvalidInput, NotFound for a provider that is not there,
    NotAuthenticated where the user was banned or deleted a moment ago.
    """
    value = secret.get_secret_value()
    if not 8 <= len(value) <= MAX_CHARACTERS or not value.isprintable():
        raise InvalidInput(
            f"key must be 8 to {MAX_CHARACTERS} printable characters; it has {len(value)}", param="key", size=len(value)
        )
    if conn.execute("select 1 from providers where name = %s", [provider]).fetchone() is None:
        raise NotFound(f"there is no provider {provider[:50]!r}", param="provider")
    holders.find_current_role(conn, account_id)
    conn.execute(
        """insert into provider_keys (account_id, provider, secret, hint) values (%s, %s, %s, %s)
           on conflict (account_id, provider) do update
             set secret = excluded.secret, hint = excluded.hint, created_at = app_now()""",
        [account_id, provider, seal(PURPOSE, value), value[-4:]],
    )


def providers_of(conn: Connection[Any], account_id: UUID) -> set[str]:
    """The providers at which the account has a key of its own."""
    rows = conn.execute("select provider from provider_keys where account_id = %s", [account_id]).fetchall()
    return {row[0] for row in rows}


def begin_with(
    conn: Connection[Any], account_id: UUID, provider: str, *, job_id: UUID, number: int, token: int
) -> bytes | None:
    """Write down that an attempt begins with the account's own key: it is asked for with the same one, whatever is saved
    or removed meanwhile. Returns the key, sealed; None: the account has none there, or the claim of this token is lost.
    """
    row = conn.execute(
        """update attempts a set own_key = k.secret from provider_keys k, job_runs r
            where k.account_id = %s and k.provider = %s and r.job_id = %s and r.token = %s
              and a.job_id = r.job_id and a.number = %s and a.ended_at is null returning a.own_key""",
        [account_id, provider, job_id, token, number],
    ).fetchone()
    return bytes(row[0]) if row else None


def begin_without(conn: Connection[Any], job_id: UUID, number: int) -> None:
    """Take back what `begin_with` has written down."""
    conn.execute("update attempts set own_key = null where job_id = %s and number = %s", [job_id, number])


def unsealed(sealed: bytes) -> SecretStr | None:
    """A key of an attempt. None: SECRET_KEY has changed since it was saved."""
    secret = unseal(PURPOSE, sealed)
    return SecretStr(secret) if secret is not None else None


def credential(provider: str, account_id: UUID, *, own: bool) -> str:
    """Under which name a provider's limits are counted: an account's own key has its own, which no other's use fills."""
    return f"{provider}@{account_id}" if own else provider


def shown(
    conn: Connection[Any], account_id: UUID, *, after: str | None = None, limit: int = 100
) -> list[ProviderKeyRow]:
    """The account's keys, without their secrets, by the provider's name, from the one after `after`."""
    rows = conn.execute(
        """select provider, hint, created_at from provider_keys
            where account_id = %s and (%s::text is null or provider > %s) order by provider limit %s""",
        [account_id, after, after, limit],
    ).fetchall()
    return [ProviderKeyRow(*row) for row in rows]


def remove(conn: Connection[Any], account_id: UUID, provider: str) -> None:
    """Forget a key. Raises NotFound."""
    if not conn.execute(
        "delete from provider_keys where account_id = %s and provider = %s", [account_id, provider]
    ).rowcount:
        raise NotFound(f"there is no key of yours at {provider[:50]!r}", param="provider")
