"""What jobs are called, and whose they are, for lists that people read."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

TITLE_CHARACTERS = 200


class JobTitle(NamedTuple):
    """The beginning of the text in a job's input, and who ordered it."""

    text: str | None
    owner: str | None


def job_titles(conn: Connection[Any], job_ids: Sequence[UUID]) -> dict[UUID, JobTitle]:
    """Of these jobs. Of an input that may be large only the beginning of a text is read out."""
    rows = conn.execute(
        f"""select j.id, left(coalesce(j.input->>'prompt', j.input->>'text', j.input->>'title', j.input->>'query'), {TITLE_CHARACTERS}),
                   coalesce(u.email, u.subject)
              from jobs j join accounts a on a.id = j.account_id left join users u on u.id = a.user_id where j.id = any(%s)""",
        [list(job_ids)],
    ).fetchall()
    return {row[0]: JobTitle(row[1], row[2]) for row in rows}


def account_names(conn: Connection[Any], account_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What these accounts are called: by their user's address, or id at the identity provider."""
    rows = conn.execute(
        "select a.id, coalesce(u.email, u.subject) from accounts a join users u on u.id = a.user_id where a.id = any(%s)",
        [list(account_ids)],
    ).fetchall()
    return dict(rows)


def user_names(conn: Connection[Any], user_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What these users are called."""
    rows = conn.execute(
        "select id, coalesce(email, subject) from users where id = any(%s)", [list(user_ids)]
    ).fetchall()
    return dict(rows)
