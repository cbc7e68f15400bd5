"""What providers call back with: stored raw by the API, once, and read by the worker that polls the job.

A callback's address names its attempt and carries a signature, so that nobody else can call, and nothing secret is kept.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common import tokens
from common.errors import NotFound, TooManyCalls
from common.settings import settings
from models.columns import created_at
from models.jobs.dispatch import Ring

MAX_BYTES = 256 * 1024
MAX_PER_ATTEMPT = 100  # that a worker has not read yet: a provider that calls without end fills no table


class ProviderCallback(SQLModel, table=True):
    """One call, as it came. The same body for the same attempt is stored once."""

    __tablename__ = "provider_callbacks"
    __table_args__ = (
        ForeignKeyConstraint(["job_id", "number"], ["attempts.job_id", "attempts.number"]),
        UniqueConstraint("job_id", "number", "sha256"),
        CheckConstraint(f"length(body) <= {MAX_BYTES} and length(sha256) = 32", name="bytes"),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    job_id: UUID = Field(nullable=False)
    number: int = Field(sa_type=SmallInteger, nullable=False)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    headers: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = created_at()


class ReceivedCall(NamedTuple):
    """A stored callback: header names in lower case, the raw body, and when it came, in seconds since 1970."""

    id: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float


def token_of(job_id: UUID, number: int) -> str:
    """The unguessable name of an attempt, for its callback address."""
    return tokens.make_token(tokens.CALLBACK, job_id.bytes + number.to_bytes(2, "big"))


def attempt_of(token: str) -> tuple[UUID, int]:
    """The job and the number of the attempt that a token names. Raises NotFound for a token that we did not make."""
    body = tokens.body_of(tokens.CALLBACK, token)
    if body is None:
        raise NotFound("there is no such callback")
    return UUID(bytes=body[:16]), int.from_bytes(body[16:], "big")


def store(conn: Connection[Any], job_id: UUID, number: int, headers: Mapping[str, str], body: bytes) -> Ring | None:
    """Keep a call and make its job due. None: the job has ended, the attempt is over, or a worker is at it just now.

    A worker that holds the job finds `called_back` when it lets go, so a call that comes before the provider's own
    answer to the start is not forgotten. Raises TooManyCalls where too many lie unread: it is to be made again, since it
    may be the one that counts.
    """
    run = conn.execute("select 1 from job_runs where job_id = %s for update", [job_id]).fetchone()
    live = conn.execute(
        """select (select count(*) from provider_callbacks c where c.job_id = a.job_id and c.number = a.number)
             from attempts a where a.job_id = %s and a.number = %s and a.ended_at is null""",
        [job_id, number],
    ).fetchone()
    if run is None or live is None:
        return None
    if live[0] >= MAX_PER_ATTEMPT:
        raise TooManyCalls(f"{MAX_PER_ATTEMPT} calls of this attempt lie unread; call again soon")
    new = conn.execute(
        """insert into provider_callbacks (job_id, number, sha256, headers, body) values (%s, %s, %s, %s::jsonb, %s)
           on conflict do nothing returning id""",
        [job_id, number, hashlib.sha256(body).digest(), orjson.dumps(dict(headers)).decode(), body],
    ).fetchone()
    if new is None:
        return None
    row = conn.execute(
        """update job_runs set called_back = true,
                  rings = case when lease_owner is null then rings + 1 else rings end,
                  wake_at = case when lease_owner is null then app_now() + make_interval(secs => %s) else wake_at end
            where job_id = %s returning queue, lease_owner is null and dispatched""",
        [settings().ring_again_seconds, job_id],
    ).fetchone()
    return Ring(job_id, row[0]) if row and row[1] else None


def calls(conn: Connection[Any], job_id: UUID, number: int) -> list[ReceivedCall]:
    """What has been called back for an attempt, oldest first."""
    rows = conn.execute(
        "select id, headers, body, extract(epoch from created_at)::float from provider_callbacks "
        "where job_id = %s and number = %s order by id",
        [job_id, number],
    ).fetchall()
    return [ReceivedCall(row[0], row[1], bytes(row[2]), row[3]) for row in rows]


def forget_calls(conn: Connection[Any], ids: Sequence[int]) -> None:
    """Delete calls that a worker has read and that say nothing: not to be believed, or superseded."""
    conn.execute("delete from provider_callbacks where id = any(%s)", [list(ids)])


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete the calls of jobs that have ended. Returns how many."""
    return conn.execute(
        """delete from provider_callbacks where id in (
             select c.id from provider_callbacks c where not exists (select 1 from job_runs r where r.job_id = c.job_id)
              order by c.id limit %s)""",
        [limit],
    ).rowcount
