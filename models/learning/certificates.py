"""Certificates: that somebody has completed a course, at an address that only we can have made. Nothing of it is kept but the
enrolment; whoever has the address sees the name as it is now, and none once its owner is deleted.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import NotFound
from common.settings import settings
from common.tokens import CERTIFICATE, body_of, make_token


class Certificate(NamedTuple):
    """What a certificate says. `name` null: its owner has given none."""

    name: str | None
    course: str
    level: str
    completed_at: datetime


def certificate_token(enrolment_id: UUID) -> str:
    """The unguessable name of a certificate."""
    return make_token(CERTIFICATE, enrolment_id.bytes)


def certificate_url(enrolment_id: UUID) -> str:
    """Where anybody can see that it is true."""
    return f"{settings().public_url}/certificates/{certificate_token(enrolment_id)}"


def find_certificate(conn: Connection[Any], token: str) -> Certificate:
    """Raises NotFound for a token that we did not make, and for a user who is deleted."""
    body = body_of(CERTIFICATE, token)
    row = (
        body
        and conn.execute(
            """select nullif(trim(concat_ws(' ', u.first_name, u.last_name)), ''), e.course_title, coalesce(e.course_level, c.level), e.completed_at
             from enrolments e join courses c on c.id = e.course_id join accounts a on a.id = e.account_id
             join users u on u.id = a.user_id
            where e.id = %s and e.completed_at is not null and u.deleted_at is null""",
            [UUID(bytes=body)],
        ).fetchone()
    )
    if not row:
        raise NotFound("there is no such certificate", param="token")
    return Certificate(*row)
