"""API keys: shown once, stored as a SHA-256 hash."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, LargeBinary, Text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from models.base import created_at, moment
from models.errors import NotFound

PREFIX = "hr_"


class ApiKey(SQLModel, table=True):
    """A program's right to act for an account. A fast hash is right here: the key is 192 random bits."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("length(hash) = 32", name="hash"),)

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False, index=True)
    name: str = Field(sa_type=Text, nullable=False)
    prefix: str = Field(sa_type=Text, nullable=False, index=True)
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    created_at: datetime = created_at()
    revoked_at: datetime | None = moment()


class KeyOwner(NamedTuple):
    """Whom a key speaks for."""

    key_id: UUID
    account_id: UUID


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def create(conn: Connection[Any], account_id: UUID, name: str) -> tuple[UUID, str]:
    """Make a key. Returns its id and the secret, which is not kept and cannot be shown again."""
    secret = PREFIX + secrets.token_urlsafe(24)
    key_id = uuid7()
    if conn.execute("select 1 from accounts where id = %s", [account_id]).fetchone() is None:
        raise NotFound(f"no account {account_id}")
    conn.execute(
        "insert into api_keys (id, account_id, name, prefix, hash) values (%s, %s, %s, %s, %s)",
        [key_id, account_id, name, secret[:11], hash_of(secret)],
    )
    return key_id, secret


def owners(conn: Connection[Any], hashes: list[bytes]) -> list[KeyOwner | None]:
    """Whom each hash belongs to, in order; None for unknown and revoked keys."""
    rows = conn.execute(
        "select hash, id, account_id from api_keys where hash = any(%s) and revoked_at is null", [hashes]
    ).fetchall()
    found = {bytes(row[0]): KeyOwner(row[1], row[2]) for row in rows}
    return [found.get(each) for each in hashes]


def still_valid(conn: Connection[Any], key_ids: list[UUID]) -> set[UUID]:
    """Those of these keys that are not revoked."""
    rows = conn.execute("select id from api_keys where id = any(%s) and revoked_at is null", [key_ids]).fetchall()
    return {row[0] for row in rows}


def revoke(conn: Connection[Any], key_id: UUID) -> None:
    """Take a key out of use; every process refuses it within KEY_CACHE_SECONDS."""
    done = conn.execute(
        "update api_keys set revoked_at = coalesce(revoked_at, app_now()) where id = %s", [key_id]
    ).rowcount
    if not done:
        raise NotFound(f"no key {key_id}")
