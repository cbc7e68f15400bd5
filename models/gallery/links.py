"""Share links: addresses under which a collection is seen without a key, until they expire or are revoked."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, LinkGone, NotFound
from models.gallery import collections
from models.gallery.rights import Deed

MAX_LINKS = 100  # of one collection, revoked ones included
MAX_PASSWORD = 200
TOKEN_BYTES = 24
TOKEN_CHARACTERS = 32
SALT_BYTES = 16
# About 50 ms and 16 MiB: a guess costs as much.
_COST, _BLOCK, _LANES = 2**14, 8, 1


class LinkRow(NamedTuple):
    """A share link, without its token, which is shown once."""

    id: UUID
    collection_id: UUID
    has_password: bool
    views: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class OpenLink(NamedTuple):
    """A link that works, as the page behind it needs it."""

    id: UUID
    collection_id: UUID
    salt: bytes | None
    hashed: bytes | None
    expires_at: datetime | None

    def opens(self, password: str) -> bool:
        """Whether this is the link's password. Slow on purpose."""
        if self.salt is None or self.hashed is None:
            return True
        return hmac.compare_digest(self.hashed, slow_hash(password, self.salt))


_SHOWN = "id, collection_id, password_hash is not null, views, created_at, expires_at, revoked_at"


def slow_hash(password: str, salt: bytes) -> bytes:
    """What is kept of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=64 * 2**20, dklen=32)


def hash_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(
    conn: Connection[Any],
    account_id: UUID,
    collection_id: UUID,
    *,
    password: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[LinkRow, str]:
    """Make a link. Returns it and its token, which is kept nowhere. Raises NotFound, Forbidden, InvalidInput."""
    collections.find(conn, account_id, collection_id, Deed.SHARE, locked=True)
    if password is not None and not 1 <= len(password) <= MAX_PASSWORD:
        raise InvalidInput(f"password has {len(password)} characters; 1 to {MAX_PASSWORD} will do", param="password")
    row = conn.execute("select count(*) from share_links where collection_id = %s", [collection_id]).fetchone()
    if row is not None and row[0] >= MAX_LINKS:
        raise InvalidInput(f"a collection has at most {MAX_LINKS} links, revoked ones included", param="id")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    salt = secrets.token_bytes(SALT_BYTES) if password is not None else None
    row = conn.execute(
        f"""insert into share_links (id, collection_id, hash, password_salt, password_hash, expires_at)
            select %(id)s, %(collection)s, %(hash)s, %(salt)s, %(password)s, %(expires)s
             where %(expires)s::timestamptz is null or %(expires)s > app_now() returning {_SHOWN}""",
        {
            "id": uuid7(), "collection": collection_id, "hash": hash_of(token), "salt": salt, "expires": expires_at,
            "password": slow_hash(password, salt) if password is not None and salt is not None else None,
        },
    ).fetchone()  # fmt: skip
    if row is None:
        raise InvalidInput("expires_at has passed", param="expires_at")
    return LinkRow(*row), token


def list_links(
    conn: Connection[Any], account_id: UUID, collection_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[LinkRow]:
    """A collection's links, the newest first: for its owner alone. Raises NotFound, Forbidden."""
    collections.find(conn, account_id, collection_id, Deed.SHARE)
    rows = conn.execute(
        f"""select {_SHOWN} from share_links where collection_id = %s and (%s::uuid is null or id < %s)
             order by id desc limit %s""",
        [collection_id, before, before, limit],
    ).fetchall()
    return [LinkRow(*row) for row in rows]


def revoke(conn: Connection[Any], account_id: UUID, collection_id: UUID, link_id: UUID) -> None:
    """Let nobody in by a link any more; again changes nothing. Raises NotFound, Forbidden."""
    collections.find(conn, account_id, collection_id, Deed.SHARE, locked=True)
    if not conn.execute(
        "update share_links set revoked_at = coalesce(revoked_at, app_now()) where id = %s and collection_id = %s",
        [link_id, collection_id],
    ).rowcount:
        raise NotFound(f"no link {link_id}", param="link_id")


def opened(conn: Connection[Any], token: str) -> OpenLink:
    """The link that a token opens. Raises NotFound for one that there never was, and LinkGone for one that has ended."""
    row = None
    if len(token) == TOKEN_CHARACTERS:
        row = conn.execute(
            """select id, collection_id, password_salt, password_hash, expires_at, revoked_at is not null,
                      coalesce(expires_at <= app_now(), false) from share_links where hash = %s""",
            [hash_of(token)],
        ).fetchone()
    if row is None:
        raise NotFound("there is nothing shared here")
    if row[5]:
        raise LinkGone("this link was revoked", reason="revoked")
    if row[6]:
        raise LinkGone("this link has expired", reason="expired")
    return OpenLink(*row[:5])


def record_views(conn: Connection[Any], views: Mapping[UUID, int]) -> None:
    """Count views that a process has seen since it last did so."""
    conn.execute(
        """with seen as materialized (
             select l.id, v.views from unnest(%s::uuid[], %s::bigint[]) as v(id, views) join share_links l on l.id = v.id
              order by l.id for no key update of l)
           update share_links l set views = l.views + seen.views from seen where l.id = seen.id""",
        [list(views), list(views.values())],
    )
