"""Users' own keys at providers: used instead of the deployment's for their jobs. Encrypted under SECRET_KEY at rest."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from pydantic import SecretStr
from sqlalchemy import Column, LargeBinary, Text
from sqlmodel import Field, SQLModel

from models.base import created_at
from models.errors import InvalidInput, NotFound
from models.sealing import seal, unseal

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


class Shown(NamedTuple):
    """What may be shown of a key."""

    provider: str
    hint: str
    created_at: datetime


def save(conn: Connection[Any], account_id: UUID, provider: str, secret: SecretStr) -> None:
    """Set or replace the account's key at a provider. Raises InvalidInput, NotFound for a provider that is not there."""
    value = secret.get_secret_value()
    if not 8 <= len(value) <= MAX_CHARACTERS or not value.isprintable():
        raise InvalidInput(
            f"key must be 8 to {MAX_CHARACTERS} printable characters; it has {len(value)}", param="key", size=len(value)
        )
    if conn.execute("select 1 from providers where name = %s", [provider]).fetchone() is None:
        raise NotFound(f"there is no provider {provider!r}", param="provider")
    conn.execute(
        """insert into provider_keys (account_id, provider, secret, hint) values (%s, %s, %s, %s)
           on conflict (account_id, provider) do update
             set secret = excluded.secret, hint = excluded.hint, created_at = app_now()""",
        [account_id, provider, seal(PURPOSE, value), value[-4:]],
    )


def find(conn: Connection[Any], account_id: UUID, provider: str) -> SecretStr | None:
    """The account's own key at a provider. None: it has none, or SECRET_KEY has changed since it was saved."""
    row = conn.execute(
        "select secret from provider_keys where account_id = %s and provider = %s", [account_id, provider]
    ).fetchone()
    if row is None:
        return None
    secret = unseal(PURPOSE, row[0])
    return SecretStr(secret) if secret is not None else None


def shown(conn: Connection[Any], account_id: UUID) -> list[Shown]:
    """The account's keys, without their secrets."""
    rows = conn.execute(
        "select provider, hint, created_at from provider_keys where account_id = %s order by provider", [account_id]
    ).fetchall()
    return [Shown(*row) for row in rows]


def remove(conn: Connection[Any], account_id: UUID, provider: str) -> None:
    """Forget a key. Raises NotFound."""
    if not conn.execute(
        "delete from provider_keys where account_id = %s and provider = %s", [account_id, provider]
    ).rowcount:
        raise NotFound(f"there is no key of yours at {provider!r}", param="provider")
