"""API keys: shown once, stored as a SHA-256 hash, with scopes, limits and an end.

A key is `hr_`, 32 letters and digits of randomness and 6 of a checksum over them: a typo, or a key that leaked into a
repository, can be told from any other text without asking anybody.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from models.access import SCOPES, Caller, Role, Scope
from models.base import counter, created_at, moment
from models.errors import InvalidInput, NotFound
from models.settings import settings

PREFIX = "hr_"
ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS, CHECK_CHARACTERS = 32, 6
SHOWN_CHARACTERS = 11  # of a key, to find it by
MAX_KEYS = 100  # per account
MAX_REVOKED = 1000  # per account, that are kept to be looked at
MAX_MODELS = 100
DEFAULT_SCOPES: tuple[Scope, ...] = ("generate", "read", "write", "delete")


class ApiKey(SQLModel, table=True):
    """A program's right to act for an account. A fast hash is right here: the key is 190 random bits."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("length(hash) = 32", name="hash"),
        Index("ix_api_keys_revoked_at", "revoked_at", postgresql_where=text("revoked_at is not null")),
        Index("ix_api_keys_expires_at", "expires_at", postgresql_where=text("expires_at is not null")),
        CheckConstraint("per_minute > 0 and monthly_credits >= 0 and uses >= 0", name="limits"),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False, index=True)
    name: str = Field(sa_type=Text, nullable=False)
    prefix: str = Field(sa_type=Text, nullable=False, index=True)
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    scopes: list[str] = Field(
        sa_column=Column(ARRAY(Text), nullable=False, server_default="{generate,read,write,delete}")
    )
    models: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    per_minute: int | None = Field(default=None, sa_type=Integer, nullable=True)
    monthly_credits: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    uses: int = counter()
    created_at: datetime = created_at()
    last_used_at: datetime | None = moment()
    expires_at: datetime | None = moment()
    revoked_at: datetime | None = moment()


class KeySpending(SQLModel, table=True):
    """What the jobs of a key with a budget have cost in a month: what is held, and once a job has ended, what it cost."""

    __tablename__ = "key_spending"
    __table_args__ = (PrimaryKeyConstraint("key_id", "month"), CheckConstraint("credits >= 0", name="credits"))

    key_id: UUID = Field(sa_column=Column(ForeignKey("api_keys.id"), nullable=False))
    month: Any = Field(sa_column=Column(Date, nullable=False))
    credits: int = Field(sa_type=BigInteger, nullable=False)


class NewKey(NamedTuple):
    """What a key may do. None: without limit."""

    name: str
    scopes: Collection[str] = DEFAULT_SCOPES
    models: Collection[str] | None = None
    per_minute: int | None = None
    monthly_credits: int | None = None
    expires_at: datetime | None = None


class ShownKey(NamedTuple):
    """A key as it is listed: never its secret."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    models: list[str] | None
    per_minute: int | None
    monthly_credits: int | None
    spent_this_month: int
    uses: int
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def make_secret() -> str:
    """A new key."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return PREFIX + body + checksum(body)


def checksum(body: str) -> str:
    """Six letters and digits that go with these."""
    number, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, rest = divmod(number, len(ALPHABET))
        found += ALPHABET[rest]
    return found


def looks_like_a_key(text: str) -> bool:
    """Whether this could be a key of ours. Says nothing on whether it is one."""
    body = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or len(body) != RANDOM_CHARACTERS + CHECK_CHARACTERS or not body.isascii():
        return False
    return checksum(body[:RANDOM_CHARACTERS]) == body[RANDOM_CHARACTERS:]


def create(conn: Connection[Any], account_id: UUID, wanted: NewKey) -> tuple[UUID, str]:
    """Make a key. Returns its id and the secret, which is not kept and cannot be shown again.

    Raises NotFound, InvalidInput that names the field and the limit.
    """
    _check(wanted)
    if conn.execute("select 1 from accounts where id = %s for no key update", [account_id]).fetchone() is None:
        raise NotFound(f"no account {account_id}")
    row = conn.execute(
        "select count(*) from api_keys where account_id = %s and revoked_at is null", [account_id]
    ).fetchone()
    if row and row[0] >= MAX_KEYS:
        raise InvalidInput(f"the account has {row[0]} keys; the limit is {MAX_KEYS}", limit=MAX_KEYS, size=row[0])
    # Whoever makes and revokes keys without end keeps the newest; those with a budget are history, as its months are.
    conn.execute(
        f"""delete from api_keys where id in (
             select id from api_keys k where account_id = %s and revoked_at is not null
                and not exists (select 1 from key_spending s where s.key_id = k.id)
              order by revoked_at desc offset {MAX_REVOKED} limit 100)""",
        [account_id],
    )
    secret, key_id = make_secret(), uuid7()
    conn.execute(
        """insert into api_keys (id, account_id, name, prefix, hash, scopes, models, per_minute, monthly_credits, expires_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            key_id, account_id, wanted.name, secret[:SHOWN_CHARACTERS], hash_of(secret), sorted(set(wanted.scopes)),
            None if wanted.models is None else sorted(set(wanted.models)), wanted.per_minute, wanted.monthly_credits,
            wanted.expires_at,
        ],
    )  # fmt: skip
    return key_id, secret


def _check(wanted: NewKey) -> None:
    unknown = sorted(set(wanted.scopes) - set(SCOPES))
    if unknown or not wanted.scopes:
        what = f"{unknown[0]!r} is no scope" if unknown else "a key without scopes can do nothing"
        raise InvalidInput(f"scopes: {what}; there are {', '.join(SCOPES)}", param="scopes")
    if wanted.models is not None and not 0 < len(wanted.models) <= MAX_MODELS:
        size = len(wanted.models)
        raise InvalidInput(
            f"models has {size} items; it takes 1 to {MAX_MODELS}", param="models", limit=MAX_MODELS, size=size
        )


def callers(conn: Connection[Any], hashes: list[bytes]) -> list[Caller | None]:
    """Whom each hash speaks for, in order; None for unknown, revoked and expired keys, and those of banned users."""
    rows = conn.execute(
        """select k.hash, k.account_id, u.id, k.id, k.scopes, u.role, k.models, k.per_minute, k.monthly_credits
             from api_keys k join accounts a on a.id = k.account_id join users u on u.id = a.user_id
            where k.hash = any(%s) and k.revoked_at is null and (k.expires_at is null or k.expires_at > app_now())
              and u.deleted_at is null and not u.banned""",
        [hashes],
    ).fetchall()
    found = {bytes(row[0]): _caller(*row[1:]) for row in rows}
    return [found.get(each) for each in hashes]


def _caller(
    account_id: UUID, user_id: UUID, key_id: UUID, scopes: list[str], role: Role, models: list[str] | None,
    per_minute: int | None, monthly_credits: int | None,
) -> Caller:  # fmt: skip
    allowed = None if models is None else frozenset(models)
    return Caller(account_id, user_id, key_id, frozenset(scopes), role, allowed, per_minute, monthly_credits)


def listed(conn: Connection[Any], account_id: UUID) -> list[ShownKey]:
    """The account's keys, newest first, the revoked ones included."""
    rows = conn.execute(
        """select k.id, k.name, k.prefix, k.scopes, k.models, k.per_minute, k.monthly_credits, coalesce(s.credits, 0), k.uses,
                  k.created_at, k.last_used_at, k.expires_at, k.revoked_at
             from api_keys k left join key_spending s on s.key_id = k.id and s.month = date_trunc('month', app_now() at time zone 'UTC')::date
            where k.account_id = %s order by k.id desc limit 1000""",
        [account_id],
    ).fetchall()
    return [ShownKey(*row) for row in rows]


def rotate(conn: Connection[Any], account_id: UUID, key_id: UUID, overlap_hours: int) -> tuple[UUID, str]:
    """Make a key that may do the same, and end the old one after an overlap. Returns the new one's id and secret.

    Raises NotFound where there is no such live key.
    """
    row = conn.execute(
        """select name, scopes, models, per_minute, monthly_credits from api_keys
            where id = %s and account_id = %s and revoked_at is null and (expires_at is null or expires_at > app_now())
              for no key update""",  # not `for update`: a submit that holds the account refers to its key
        [key_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no key {key_id}", param="id")
    new = create(conn, account_id, NewKey(*row))
    conn.execute(
        "update api_keys set expires_at = least(expires_at, app_now() + make_interval(hours => %s)) where id = %s",
        [overlap_hours, key_id],
    )
    return new


def still_valid(conn: Connection[Any], key_ids: list[UUID]) -> set[UUID]:
    """Those of these keys that are neither revoked nor expired."""
    rows = conn.execute(
        """select id from api_keys where id = any(%s) and revoked_at is null
              and (expires_at is null or expires_at > app_now())""",
        [key_ids],
    ).fetchall()
    return {row[0] for row in rows}


def revoke(conn: Connection[Any], key_id: UUID, *, account_id: UUID | None = None) -> None:
    """Take a key out of use; every process refuses it within KEY_CACHE_SECONDS. Raises NotFound."""
    done = conn.execute(
        """update api_keys set revoked_at = coalesce(revoked_at, app_now())
            where id = %s and (%s::uuid is null or account_id = %s)""",
        [key_id, account_id, account_id],
    ).rowcount
    if not done:
        raise NotFound(f"no key {key_id}", param="id")


def used(conn: Connection[Any], uses: Mapping[UUID, int]) -> None:
    """Count the uses of keys, gathered by a process over a while: no write per request."""
    if uses:
        conn.execute(
            """update api_keys k set uses = k.uses + u.uses, last_used_at = app_now()
                 from unnest(%s::uuid[], %s::bigint[]) as u(id, uses) where k.id = u.id""",
            [list(uses), list(uses.values())],
        )


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete keys that were revoked, or expired, more than KEY_DAYS ago. Returns how many. Keys with a budget that was
    used stay, for their months are part of the books.
    """
    return sum(
        conn.execute(
            f"""delete from api_keys where id in (
                 select id from api_keys k where {since} < app_now() - make_interval(days => %s)
                    and not exists (select 1 from key_spending s where s.key_id = k.id)
                  order by {since} limit %s)""",
            [settings().key_days, limit],
        ).rowcount
        for since in ("revoked_at", "expires_at")
    )
