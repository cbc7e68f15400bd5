"""The web client's credentials at providers: saved once under an id of its own, found while they hold, revoked, rotated."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from common.errors import CredentialEnded, IdTaken, NotFound
from models.provisioning.tables import ACTIVE, REVOKED


class NewCredential(NamedTuple):
    """A credential as it is saved."""

    id: str
    user_id: str
    provider: str
    token_hash: str
    salt: str
    scopes: list[str]
    plan: str
    issued_at: datetime
    expires_at: datetime
    status: str
    provider_reference: str | None
    metadata: dict[str, Any] | None
    last_rotated_at: datetime | None


class Credential(NamedTuple):
    """A credential as it is now; `row_id` is its place among those issued at the same moment."""

    row_id: UUID
    wanted: NewCredential


_COLUMNS = ", ".join(NewCredential._fields)
_HOLDS = "status = %s and expires_at > app_now()"


def save(conn: Connection[Any], new: NewCredential, as_saved: bytes) -> None:
    """Keep a credential. `as_saved`: the hash of all that was said of it. One that was saved before is left as it has become
    since. Raises IdTaken where its id is that of another one.
    """
    marks = ", ".join(["%s"] * (len(new) + 2))
    values = new._replace(metadata=None if new.metadata is None else Jsonb(new.metadata))  # type: ignore[arg-type]  # as psycopg takes it
    made = conn.execute(
        f"""insert into web_credentials (row_id, as_saved, {_COLUMNS}) values ({marks})
            on conflict (id) do nothing returning 1""",
        [uuid7(), as_saved, *values],
    ).fetchone()
    if made is not None:
        return
    same = conn.execute("select 1 from web_credentials where id = %s and as_saved = %s", [new.id, as_saved]).fetchone()
    if same is None:
        raise IdTaken("there is another credential with this id; a new one needs a new id", param="record.id")


def find_active(conn: Connection[Any], user_id: str, provider: str) -> Credential | None:
    """The newest of a user's credentials at a provider that is active and has not expired."""
    row = conn.execute(
        f"""select row_id, {_COLUMNS} from web_credentials where user_id = %s and provider = %s and {_HOLDS}
            order by issued_at desc, row_id desc limit %s""",
        [user_id, provider, ACTIVE, 1],
    ).fetchone()
    return None if row is None else _of(row)


def revoke(conn: Connection[Any], credential_id: str) -> bool:
    """Revoke a credential, for good. False: there is none with this id."""
    done = conn.execute("update web_credentials set status = %s where id = %s", [REVOKED, credential_id])
    return bool(done.rowcount)


def rotate(
    conn: Connection[Any], credential_id: str, token_hash: str, salt: str, expires_at: datetime | None = None
) -> Credential:
    """Give a credential that holds another token; the one before is good no longer. `expires_at`: its new end, if it has one.
    The same again changes nothing. Raises NotFound, CredentialEnded.
    """
    row = conn.execute(
        f"""select row_id, {_COLUMNS}, {_HOLDS} from web_credentials where id = %s for no key update""",
        [ACTIVE, credential_id],
    ).fetchone()
    if row is None:
        raise NotFound("there is no credential with this id", param="credentialId")
    found, holds = _of(row[:-1]), row[-1]
    if not holds:
        raise CredentialEnded("this credential is revoked, or has expired: save a new one", param="credentialId")
    now = found.wanted
    if (now.token_hash, now.salt) == (token_hash, salt) and expires_at in {None, now.expires_at}:
        return found
    changed = conn.execute(
        f"""update web_credentials set token_hash = %s, salt = %s, expires_at = coalesce(%s, expires_at),
                   last_rotated_at = app_now() where id = %s returning row_id, {_COLUMNS}""",
        [token_hash, salt, expires_at, credential_id],
    ).fetchone()
    assert changed is not None  # noqa: S101 - its row is locked
    return _of(changed)


def list_credentials(conn: Connection[Any], limit: int, after: tuple[datetime, UUID] | None = None) -> list[Credential]:
    """All credentials, the newest first. `after`: when the last one of the page before was issued, and its row."""
    at, row_id = after or (None, None)
    rows = conn.execute(
        f"""select row_id, {_COLUMNS} from web_credentials
             where %s::uuid is null or (issued_at, row_id) < (%s::timestamptz, %s::uuid)
             order by issued_at desc, row_id desc limit %s""",
        [row_id, at, row_id, limit],
    ).fetchall()
    return [_of(row) for row in rows]


def _of(row: tuple[Any, ...]) -> Credential:
    return Credential(row[0], NewCredential(*row[1:]))
