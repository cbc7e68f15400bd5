"""A user's own page: who they are, what they are on, and what they prefer."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from common.errors import NotFound
from common.settings import settings
from common.time_zones import TimeZone

LANGUAGE = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"  # BCP 47, without what nobody uses


class Preferences(BaseModel):
    """What a user prefers; what they never chose is as the deployment says. `mail`: notices go by mail too; `time_zone`: in
    which their days of usage begin.
    """

    model_config = ConfigDict(extra="forbid")

    language: str = Field(pattern=LANGUAGE, max_length=35)
    notifications: bool
    theme: Literal["light", "dark", "system"]
    mail: bool
    time_zone: TimeZone


class ProfileRow(NamedTuple):
    """What the page is made of."""

    account_id: UUID
    user_id: UUID
    issuer: str
    subject: str
    email: str | None
    first_name: str | None
    last_name: str | None
    role: str
    chosen: dict[str, Any]


def profile(conn: Connection[Any], account_id: UUID) -> ProfileRow:
    """A user's own. Raises NotFound."""
    row = conn.execute(
        """select a.id, u.id, u.issuer, u.subject, u.email, u.first_name, u.last_name, u.role, u.preferences
             from accounts a join users u on u.id = a.user_id where a.id = %s""",
        [account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no account {account_id}")
    return ProfileRow(*row)


def preferences_of(chosen: dict[str, Any]) -> Preferences:
    """What was chosen, and for the rest what the deployment says."""
    config = settings()
    usual = {
        "language": config.preferred_language, "notifications": config.preferred_notifications,
        "theme": config.preferred_theme, "mail": True, "time_zone": config.preferred_time_zone,
    }  # fmt: skip
    return Preferences.model_validate({**usual, **chosen})


def choose(conn: Connection[Any], account_id: UUID, chosen: dict[str, Any]) -> None:
    """Keep what a user chose; what they did not name stays."""
    conn.execute(
        """update users u set preferences = u.preferences || %s::jsonb from accounts a
            where a.id = %s and u.id = a.user_id""",
        [orjson.dumps(chosen).decode(), account_id],
    )


def time_zone_of(conn: Connection[Any], account_id: UUID) -> str:
    """The time zone in which an account's days begin."""
    row = conn.execute(
        "select u.preferences->>'time_zone' from accounts a join users u on u.id = a.user_id where a.id = %s",
        [account_id],
    ).fetchone()
    return (row and row[0]) or settings().preferred_time_zone
