"""Answers to requests that made something and came with an Idempotency-Key: the same request again gets the same answer.

An answer may hold a secret that is shown once (a key, what signs webhooks), so answers are encrypted at rest, and kept no
longer than the keys of jobs, which have a table of their own.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from common.errors import IdempotencyMismatch
from common.sealing import seal, unseal
from common.settings import settings
from models.columns import created_at
from models.locks import lock_account

PURPOSE = "answers"


class AnsweredRequest(SQLModel, table=True):
    """One request of an account. Committed only with its answer, in the transaction that did it."""

    __tablename__ = "answered_requests"
    __table_args__ = (Index(None, "created_at"), CheckConstraint("length(body_hash) = 32", name="hash"))

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    key: str = Field(primary_key=True, sa_type=Text)
    body_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    answer: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = created_at()


def begin(conn: Connection[Any], account_id: UUID, key: str, body_hash: bytes) -> dict[str, Any] | None:
    """`find`, under the account's lock. None: the request is new, and `keep` must follow in this transaction. Two at once:
    the second waits here for the first.
    """
    # The account first, as in every order of locks; whatever makes something locks it in any case. A statement of its own.
    lock_account(conn, account_id)
    return find(conn, account_id, key, body_hash)


def find(conn: Connection[Any], account_id: UUID, key: str, body_hash: bytes) -> dict[str, Any] | None:
    """The answer that this request had before. Raises IdempotencyMismatch."""
    row = conn.execute(
        """select body_hash, answer from answered_requests
            where account_id = %s and key = %s and created_at > app_now() - make_interval(hours => %s)""",
        [account_id, key, settings().idempotency_key_hours],
    ).fetchone()
    if row is None:
        return None
    if bytes(row[0]) != body_hash:
        raise IdempotencyMismatch(
            "this Idempotency-Key came with another request before; send a new key for a new request",
            param="Idempotency-Key",
        )
    plain = unseal(PURPOSE, row[1])
    if plain is None:
        raise IdempotencyMismatch(
            "this request was answered before, and the answer cannot be read any more (SECRET_KEY has changed)",
            param="Idempotency-Key",
        )
    found: dict[str, Any] = orjson.loads(plain)
    return found


def knows(conn: Connection[Any], account_id: UUID, key: str) -> bool:
    """Whether some request was answered under this key before, this one or another."""
    row = conn.execute(
        "select 1 from answered_requests where account_id = %s and key = %s", [account_id, key]
    ).fetchone()
    return row is not None


def keep(conn: Connection[Any], account_id: UUID, key: str, body_hash: bytes, answer: dict[str, Any]) -> None:
    """Keep an answer for IDEMPOTENCY_KEY_HOURS from now."""
    conn.execute(
        """insert into answered_requests (account_id, key, body_hash, answer) values (%s, %s, %s, %s)
           on conflict (account_id, key) do update
              set body_hash = excluded.body_hash, answer = excluded.answer, created_at = excluded.created_at""",
        [account_id, key, body_hash, seal(PURPOSE, orjson.dumps(answer).decode())],
    )


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete answers that are older than they are kept. Returns how many."""
    return conn.execute(
        """delete from answered_requests a using (
             select account_id, key from answered_requests where created_at <= app_now() - make_interval(hours => %(hours)s)
              limit %(limit)s) old
            where a.account_id = old.account_id and a.key = old.key
              and a.created_at <= app_now() - make_interval(hours => %(hours)s)""",
        {"hours": settings().idempotency_key_hours, "limit": limit},
    ).rowcount
