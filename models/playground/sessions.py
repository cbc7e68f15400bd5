"""Playground sessions: text generations that somebody saved. A session refers to its job, which has prompt, model, credits
and what became of it; the response is kept beside (`models.playground.kept`), since results expire.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Boolean, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, JobNotEnded, NotFound, ResultGone
from models.absence import refuse_absent
from models.columns import created_at
from models.locks import lock_account
from models.playground import kept

TITLE_CHARACTERS = 200
EXPLANATION_CHARACTERS = 10_000
MADE_TITLE_CHARACTERS = 80  # of a title that is made of the prompt
UNTITLED = "Untitled"


class PlaygroundSession(SQLModel, table=True):
    """One saved generation; a job is saved once."""

    __tablename__ = "playground_sessions"
    __table_args__ = (
        UniqueConstraint("job_id"),
        CheckConstraint(f"length(title) between 1 and {TITLE_CHARACTERS}", name="title"),
        CheckConstraint(f"length(explanation) <= {EXPLANATION_CHARACTERS}", name="explanation"),
        Index(None, "account_id", text("id desc")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    job_id: UUID = Field(foreign_key="jobs.id", nullable=False)
    title: str = Field(sa_type=Text, nullable=False)
    explanation: str | None = Field(default=None, sa_type=Text, nullable=True)
    is_public: bool = Field(sa_type=Boolean, nullable=False)
    updated_at: datetime = created_at()
    created_at: datetime = created_at()


class NewSession(NamedTuple):
    """What a client says of a session."""

    title: str | None = None  # None: made of the prompt
    explanation: str | None = None
    is_public: bool = False


class SessionRow(NamedTuple):
    """A session with what its job has. In a list prompt, explanation and response are left out: they may be long."""

    id: UUID
    account_id: UUID
    job_id: UUID
    title: str
    is_public: bool
    created_at: datetime
    updated_at: datetime
    model_id: str
    ended: str | None
    run_status: str | None
    charged_credits: int | None
    error_code: str | None
    error_message: str | None
    usage: dict[str, Any] | None
    text_state: str
    explanation: str | None = None
    prompt: str | None = None
    response: str | None = None
    truncated: bool = False

    @property
    def awaits_text(self) -> bool:
        """Its job has ended, and its text was not fetched yet."""
        return self.ended is not None and self.text_state == "waiting"


# Of chat the last message is what was asked.
PROMPT = "coalesce(j.input->>'prompt', j.input->'messages'->-1->>'content')"
_SHOWN = """s.id, s.account_id, s.job_id, s.title, s.is_public, s.created_at, s.updated_at, j.model_id, j.ended, r.status,
 j.charged_credits, j.error_code, j.error_message,
 (select t.usage from attempts t where t.job_id = j.id and t.usage is not null order by t.number desc limit 1), k.state"""
_FROM = """playground_sessions s join jobs j on j.id = s.job_id join kept_texts k on k.job_id = s.job_id
 left join job_runs r on r.job_id = j.live_id"""
_WHOLE = f"select {_SHOWN}, s.explanation, {PROMPT}, k.text, k.truncated from {_FROM}"


def title_of(prompt: str | None) -> str:
    """The beginning of a prompt's first line, whole words, as a title."""
    words = re.sub(r"\s+", " ", next((line for line in (prompt or "").splitlines() if line.strip()), "")).strip()
    if len(words) <= MADE_TITLE_CHARACTERS:
        return words or UNTITLED
    head = words[: MADE_TITLE_CHARACTERS - 1]
    whole = head.rpartition(" ")[0]
    return (whole or head) + "…"


def create(
    conn: Connection[Any], account_id: UUID, job_id: UUID, prompt: str | None, new: NewSession
) -> tuple[UUID, bool]:
    """Save a job of this account as a session. A job that is saved already keeps its session: False then."""
    kept.want(conn, [job_id])
    made = conn.execute(
        """insert into playground_sessions (id, account_id, job_id, title, explanation, is_public)
           values (%s, %s, %s, %s, %s, %s) on conflict (job_id) do nothing""",
        [uuid7(), account_id, job_id, new.title or title_of(prompt), new.explanation, new.is_public],
    ).rowcount
    session_id = of_job(conn, job_id)
    assert session_id is not None  # noqa: S101 - it was there, or was made
    return session_id, bool(made)


def of_job(conn: Connection[Any], job_id: UUID) -> UUID | None:
    """The session that a job is saved as; None: it is not, or not any more."""
    row = conn.execute("select id from playground_sessions where job_id = %s", [job_id]).fetchone()
    return row[0] if row else None


def save(conn: Connection[Any], account_id: UUID, job_id: UUID, new: NewSession) -> tuple[UUID, bool]:
    """Save a text that was made. Raises NotFound, JobNotEnded, InvalidInput for a job that made no text, and ResultGone where it is
    kept nowhere any more.
    """
    lock_account(conn, account_id)  # two at once are one session, and no erasure passes between
    row = conn.execute(
        f"""select j.ended, m.kind, {PROMPT},
                   exists (select 1 from assets a where a.job_id = j.id and a.status = 'stored')
                   or exists (select 1 from kept_texts k where k.job_id = j.id and k.state = 'kept')
                   or exists (select 1 from playground_sessions s where s.job_id = j.id)
              from jobs j join models m on m.id = j.model_id and m.version = j.model_version
             where j.id = %s and j.account_id = %s""",
        [job_id, account_id],
    ).fetchone()
    if row is None:
        refuse_absent(conn, job_id, account_id, param="job")
    ended, kind, prompt, is_there = row
    if kind != "text":
        raise InvalidInput(f"a session is a text; this job makes {kind}", param="job")
    if ended is None:
        raise JobNotEnded("only a text that was made can be saved: wait for the job's end", param="job")
    if ended != "succeeded":
        raise InvalidInput(f"there is no text to save: the job has {ended}", param="job")
    if not is_there:
        raise ResultGone("the text of this job is not kept any more", param="job")
    return create(conn, account_id, job_id, prompt, new)


def find(conn: Connection[Any], session_id: UUID, *, reader: UUID) -> SessionRow:
    """A session of this account, or a public one of somebody who is still with us. Raises NotFound."""
    row = conn.execute(
        f"""{_WHOLE} join accounts a on a.id = s.account_id join users u on u.id = a.user_id
             where s.id = %s and (s.account_id = %s or s.is_public and u.deleted_at is null and not u.banned)""",
        [session_id, reader],
    ).fetchone()
    if row is None:
        raise _no_session(session_id)
    return SessionRow(*row)


def list_sessions(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, limit: int = 20
) -> list[SessionRow]:
    """An account's sessions, newest first, from the one before `before`."""
    rows = conn.execute(
        f"""select {_SHOWN} from {_FROM} where s.account_id = %s and (%s::uuid is null or s.id < %s)
             order by s.id desc limit %s""",
        [account_id, before, before, limit],
    ).fetchall()
    return [SessionRow(*row) for row in rows]


def change(conn: Connection[Any], account_id: UUID, session_id: UUID, fields: dict[str, Any]) -> SessionRow:
    """Change title, explanation or is_public of a session of this account. Raises NotFound."""
    lock_account(conn, account_id)
    names = [name for name in ("title", "explanation", "is_public") if name in fields]
    sets = ", ".join([*(f"{name} = %s" for name in names), "updated_at = app_now()"])
    done = conn.execute(
        f"update playground_sessions set {sets} where id = %s and account_id = %s",
        [*(fields[name] for name in names), session_id, account_id],
    ).rowcount
    if not done:
        raise _no_session(session_id)
    return find(conn, session_id, reader=account_id)


def delete(conn: Connection[Any], account_id: UUID, session_id: UUID) -> None:
    """Delete a session and its response; its job stays, as every job does. Raises NotFound."""
    lock_account(conn, account_id)
    row = conn.execute(
        "delete from playground_sessions where id = %s and account_id = %s returning job_id", [session_id, account_id]
    ).fetchone()
    if row is None:
        raise _no_session(session_id)
    conn.execute(
        """delete from kept_texts k where job_id = %s and not exists (
             select 1 from summaries where paragraph_job = k.job_id or implications_job = k.job_id)""",
        [row[0]],
    )


def _no_session(session_id: UUID) -> NotFound:
    return NotFound(f"no session {session_id}", param="id")
