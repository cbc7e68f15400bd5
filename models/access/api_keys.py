"""API keys: shown once, stored as a SHA-256 hash, with scopes, limits and an end.

A key is `hr_`, 32 letters and digits of randomness and 6 of a checksum over them: a typo, or a key that leaked into a
repository, can be told from any other text without asking anybody.

Keys that rotation has made of one another have one root, and one budget and one rate. What a key may spend and how
often it may ask is counted for its own root and for those of the keys that made it (`lineage`), so that nobody gets more by
making keys. Which keys may be made, and by whom, is decided in models.access.minting.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Collection, Mapping, Sequence
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
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.access.scopes import DEFAULT_SCOPES, SCOPES, Caller, Rate, Role
from models.columns import counter, created_at, moment
from models.locks import lock_account

PREFIX = "hr_"
ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS, CHECK_CHARACTERS = 32, 6
SHOWN_CHARACTERS = 11  # of a key, to find it by
MAX_KEYS = 100  # per account
MAX_REVOKED = 1000  # per account, that are kept to be looked at
MAX_MODELS = 100
MAX_LISTED = 1100  # as many as are kept, revoked ones included


class ApiKey(SQLModel, table=True):
    """A program's right to act for an account. A fast hash is right here: the key is 190 random bits."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("length(hash) = 32", name="hash"),
        Index("ix_api_keys_revoked_at", "revoked_at", postgresql_where=text("revoked_at is not null")),
        Index("ix_api_keys_expires_at", "expires_at", postgresql_where=text("expires_at is not null")),
        Index("ix_api_keys_retires_at", "retires_at", postgresql_where=text("retires_at is not null")),
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
    retires_at: datetime | None = (
        moment()
    )  # a rotated key's own end; `expires_at` is the one that all its successors keep
    revoked_at: datetime | None = moment()
    root_id: UUID | None = Field(default=None, nullable=True)  # the first key of its line; None: itself
    lineage: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False, server_default=text("'{}'::uuid[]")))
    makers: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False, server_default=text("'{}'::uuid[]")))


# Of a key `k`. Its line and those of the keys that made it, by their first keys; whether it works; why its row must stay.
LINE = "coalesce(k.root_id, k.id)"
LINES = f"(k.lineage || {LINE})"
LIVE = """(k.revoked_at is null and coalesce(least(k.expires_at, k.retires_at) > app_now(), true)
     and not exists (select 1 from api_keys m where m.id = any(k.makers)
                        and (m.revoked_at is not null or m.expires_at <= app_now())))"""
_NEEDED = f"""(exists (select 1 from key_spending s where s.key_id = any{LINES})
     or exists (select 1 from api_keys o where o.account_id = k.account_id and o.id <> k.id
                   and (o.root_id = k.id or k.id = any(o.lineage))))"""
_CALLERS = f"""select k.hash, k.account_id, u.id, k.id, k.scopes, u.role, k.models, l.rates,
       least(k.monthly_credits, l.monthly_credits), u.suspended_at is not null
  from api_keys k join accounts a on a.id = k.account_id join users u on u.id = a.user_id
  cross join lateral (
    select min(l.monthly_credits) as monthly_credits,
           array_agg(l.id::text || ' ' || l.per_minute) filter (where l.per_minute is not null) as rates
      from api_keys l where l.id = any{LINES}) l
 where {LIVE} and u.deleted_at is null and not u.banned"""
MONTH = "date_trunc('month', app_now() at time zone 'UTC')::date"


class KeySpending(SQLModel, table=True):
    """What the jobs of a line with a budget, and of the keys that it made, have cost in a month: what is held, and once a
    job has ended, what it cost. `key_id` is their root's.
    """

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


class Origin(NamedTuple):
    """Where a key comes from: the keys that made it, the first keys of their lines, and of its own (None: it is one)."""

    makers: Sequence[UUID] = ()
    lineage: Sequence[UUID] = ()
    root_id: UUID | None = None


OF_NOBODY = Origin()  # made by an operator, or by a person who has signed in


class Standing(NamedTuple):
    """A key that works, as it stands: what it may do, where it comes from, and its own end (`may` has that of its root)."""

    id: UUID
    may: NewKey
    origin: Origin
    ends_at: datetime | None

    def lines(self) -> list[UUID]:
        """Its line and those of the keys that made it, its own last."""
        return [*self.origin.lineage, self.origin.root_id or self.id]


class KeyRow(NamedTuple):
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
    root_id: UUID
    made_by: UUID | None


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def make_secret(prefix: str = PREFIX) -> str:
    """A new key, or what begins otherwise and is made as one."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return prefix + body + checksum(body)


def checksum(body: str) -> str:
    """Six letters and digits that go with these."""
    number, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, rest = divmod(number, len(ALPHABET))
        found += ALPHABET[rest]
    return found


def looks_like_a_key(text: str, prefix: str = PREFIX) -> bool:
    """Whether this could be a key of ours. Says nothing on whether it is one."""
    body = text.removeprefix(prefix)
    if not text.startswith(prefix) or len(body) != RANDOM_CHARACTERS + CHECK_CHARACTERS or not body.isascii():
        return False
    return checksum(body[:RANDOM_CHARACTERS]) == body[RANDOM_CHARACTERS:]


def _hold(conn: Connection[Any], account_id: UUID) -> None:
    """An account's keys change under its lock. Raises NotFound."""
    if not lock_account(conn, account_id):
        raise NotFound(f"no account {account_id}")


def create(conn: Connection[Any], account_id: UUID, wanted: NewKey, *, origin: Origin = OF_NOBODY) -> tuple[UUID, str]:
    """Make a key, for an operator: whoever else asks goes through models.access.minting. Returns its id and the secret, which is
    not kept and cannot be shown again.

    Raises NotFound, InvalidInput that names the field and the limit.
    """
    _check(wanted)
    _hold(conn, account_id)
    row = conn.execute(
        "select count(*) from api_keys where account_id = %s and revoked_at is null", [account_id]
    ).fetchone()
    if row and row[0] >= MAX_KEYS:
        raise InvalidInput(f"the account has {row[0]} keys; the limit is {MAX_KEYS}", limit=MAX_KEYS, size=row[0])
    # Whoever makes and revokes keys without end keeps the newest; those with a budget are history, as its months are.
    conn.execute(
        f"""delete from api_keys where id in (
             select id from api_keys k where account_id = %s and revoked_at is not null and not {_NEEDED}
              order by revoked_at desc offset {MAX_REVOKED} limit 100)""",
        [account_id],
    )
    secret, key_id = make_secret(), uuid7()
    conn.execute(
        """insert into api_keys (id, account_id, name, prefix, hash, scopes, models, per_minute, monthly_credits, expires_at,
                                 makers, lineage, root_id)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            key_id, account_id, wanted.name, secret[:SHOWN_CHARACTERS], hash_of(secret), sorted(set(wanted.scopes)),
            None if wanted.models is None else sorted(set(wanted.models)), wanted.per_minute, wanted.monthly_credits,
            wanted.expires_at, list(origin.makers), list(origin.lineage), origin.root_id,
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
    rows = conn.execute(f"{_CALLERS} and k.hash = any(%s)", [hashes]).fetchall()
    found = {bytes(row[0]): _caller(*row[1:]) for row in rows}
    return [found.get(each) for each in hashes]


def caller_by_id(conn: Connection[Any], key_id: UUID) -> Caller | None:
    """Whom a key speaks for that was shown before; None as above."""
    return callers_by_id(conn, [key_id]).get(key_id)


def callers_by_id(conn: Connection[Any], key_ids: Collection[UUID]) -> dict[UUID, Caller]:
    """The same of several, by id, without those that speak for nobody."""
    if not key_ids:
        return {}
    rows = conn.execute(f"{_CALLERS} and k.id = any(%s)", [list(key_ids)]).fetchall()
    return {row[3]: _caller(*row[1:]) for row in rows}


def _caller(
    account_id: UUID, user_id: UUID, key_id: UUID, scopes: list[str], role: Role, models: list[str] | None,
    rates: list[str] | None, monthly_credits: int | None, suspended: bool,
) -> Caller:  # fmt: skip
    allowed = None if models is None else frozenset(models)
    counted = tuple(Rate(UUID(line), int(per_minute)) for line, per_minute in (each.split(" ") for each in rates or ()))
    return Caller(account_id, user_id, key_id, frozenset(scopes), role, allowed, counted, monthly_credits, suspended)


def list_keys(
    conn: Connection[Any], account_id: UUID, *, after: tuple[bool, UUID] | None = None, limit: int = MAX_LISTED
) -> list[KeyRow]:
    """The account's keys: all that are not revoked before those that are, newest first, from the one after `after` (whether
    that is revoked, and its id). For looking at: a check reads the one row that it is about.
    """
    revoked, id_ = after or (None, None)
    rows = conn.execute(
        f"""select k.id, k.name, k.prefix, k.scopes, k.models, k.per_minute, k.monthly_credits, coalesce(s.credits, 0),
                   k.uses, k.created_at, k.last_used_at, least(k.expires_at, k.retires_at), k.revoked_at, {LINE},
                   k.makers[cardinality(k.makers)]
              from api_keys k left join key_spending s on s.key_id = {LINE} and s.month = {MONTH}
             where k.account_id = %(account)s and (%(id)s::uuid is null
                   or (k.revoked_at is not null) = %(revoked)s::boolean and k.id < %(id)s
                   or (k.revoked_at is not null) > %(revoked)s::boolean)
             order by k.revoked_at is not null, k.id desc limit %(limit)s""",
        {"account": account_id, "revoked": revoked, "id": id_, "limit": limit},
    ).fetchall()
    return [KeyRow(*row) for row in rows]


def standing(conn: Connection[Any], account_id: UUID, key_id: UUID) -> Standing | None:
    """A key of the account that works, locked; the caller holds the account's lock. None: there is none."""
    row = conn.execute(
        f"""select k.name, k.scopes, k.models, k.per_minute, k.monthly_credits, k.expires_at, k.makers, k.lineage,
                   k.root_id, least(k.expires_at, k.retires_at)
              from api_keys k where k.id = %s and k.account_id = %s and {LIVE}
               for no key update""",  # not `for update`: a submit that holds the account refers to its key
        [key_id, account_id],
    ).fetchone()
    return None if row is None else Standing(key_id, NewKey(*row[:6]), Origin(*row[6:9]), row[9])


def rotate(
    conn: Connection[Any], account_id: UUID, key_id: UUID, overlap_hours: int, *, ends_by: datetime | None = None
) -> tuple[UUID, str]:
    """Make a key of the same line, that may do the same until the same end (or `ends_by`), and end the old one after an
    overlap. For an operator, as `create`. Returns the new one's id and secret.

    What the old key has made lives on, with its successor. Raises NotFound where there is no such live key.
    """
    _hold(conn, account_id)
    old = standing(conn, account_id, key_id)
    if old is None:
        raise NotFound(f"no key {key_id}", param="id")
    ends = [each for each in (old.may.expires_at, ends_by) if each is not None]
    may = old.may._replace(expires_at=min(ends, default=None))
    new = create(conn, account_id, may, origin=old.origin._replace(root_id=old.origin.root_id or key_id))
    conn.execute(
        "update api_keys set retires_at = least(retires_at, app_now() + make_interval(hours => %s)) where id = %s",
        [overlap_hours, key_id],
    )
    return new


def revoke(conn: Connection[Any], key_id: UUID, *, account_id: UUID | None = None) -> None:
    """Take a key out of use, and what it has made, and so on; every process refuses them within KEY_CACHE_SECONDS.
    Raises NotFound.
    """
    row = conn.execute(
        "select account_id from api_keys where id = %s and (%s::uuid is null or account_id = %s)",
        [key_id, account_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no key {key_id}", param="id")
    _hold(conn, row[0])  # or one of them might make another meanwhile
    conn.execute(
        """update api_keys set revoked_at = app_now() where id = any(array(
             select id from api_keys where account_id = %s and revoked_at is null and (id = %s or %s = any(makers))
              order by id for no key update))""",  # as `record_uses` locks them, which holds no account
        [row[0], key_id, key_id],
    )


def revoke_beyond(conn: Connection[Any], account_id: UUID, scopes: Collection[str]) -> None:
    """Take those keys of an account out of use that may more than this, and what they have made. The caller holds the
    account's lock.
    """
    rows = conn.execute(
        "select id from api_keys where account_id = %s and revoked_at is null and not scopes <@ %s::text[]",
        [account_id, list(scopes)],
    ).fetchall()
    for (key_id,) in rows:
        revoke(conn, key_id, account_id=account_id)


def record_uses(conn: Connection[Any], uses: Mapping[UUID, int]) -> None:
    """Count the uses of keys, gathered by a process over a while: no write per request."""
    if uses:
        conn.execute(
            """with u as materialized (
                 select u.* from unnest(%s::uuid[], %s::bigint[]) as u(id, uses) join api_keys k on k.id = u.id
                  order by k.id for no key update of k
               )
               update api_keys k set uses = k.uses + u.uses, last_used_at = app_now() from u where k.id = u.id""",
            [list(uses), list(uses.values())],
        )


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete keys that were revoked, or ended, more than KEY_DAYS ago. Returns how many. Keys whose budget was used stay,
    for their months are part of the books, and so does a root as long as its successors or what they made.
    """
    return sum(
        conn.execute(
            f"""delete from api_keys where id in (
                 select id from api_keys k where {since} < app_now() - make_interval(days => %s) and not {_NEEDED}
                  order by {since} limit %s)""",
            [settings().key_days, limit],
        ).rowcount
        for since in ("revoked_at", "expires_at", "retires_at")
    )
