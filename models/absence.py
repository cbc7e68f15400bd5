"""Why a job is not to be had: it never was, it is somebody else's, or it was forgotten."""

from typing import Any, NoReturn
from uuid import UUID

from psycopg import Connection

from common.errors import JobForgotten, NotFound


def refuse_absent(
    conn: Connection[Any], job_id: UUID, account_id: UUID | None = None, *, param: str | None = "id"
) -> NoReturn:
    """Say why a job is not to be had. `account_id`: whose it would be; None: anybody's.

    Raises JobForgotten where it was theirs and is not kept any more, and NotFound otherwise, for somebody else's as well.
    """
    row = conn.execute(
        "select past_account_id, ended_at from jobs where id = %s and past_account_id is not null", [job_id]
    ).fetchone()
    if row is None or account_id not in (None, row[0]):
        raise NotFound(f"no job {job_id}", param=param)
    ended_at = row[1].isoformat(timespec="seconds")
    raise JobForgotten(
        f"job {job_id} ended at {ended_at} and is not kept any more; the ledger still has what it cost",
        param=param, reason="forgotten", ended_at=ended_at,
    )  # fmt: skip
