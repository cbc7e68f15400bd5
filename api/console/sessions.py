"""Who is signed in at the console: a cookie that only we can have made, which says who and until when and nothing that opens
anything else. Whether they may still come in is asked of the database at each request. Pure.

Every form carries a token that is bound to the session that it was shown to, or before there is one, to a cookie of its own.
"""

import hmac
import secrets
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from starlette.responses import Response

from common.settings import settings
from common.tokens import CONSOLE, CONSOLE_FORM, body_of, make_token

SESSION_COOKIE, VISIT_COOKIE, THEME_COOKIE = "headrace_console", "headrace_console_visit", "headrace_console_theme"
IDLE_SECONDS = 3600  # a session ends so long after the last page that somebody opened
LONGEST_SECONDS = 12 * 3600  # and so long after its beginning, whatever happens
RENEWED_AFTER_SECONDS = 300
VISIT_SECONDS = 3600
NUMBER_BYTES = 16
NO_KEY_ID = UUID(int=0)


class ConsoleSession(NamedTuple):
    """Somebody who has signed in. Times are seconds since 1970."""

    user_id: UUID
    key_id: UUID | None
    number: bytes
    began_at: int
    ends_at: int


def begin_session(user_id: UUID, key_id: UUID | None, now: float) -> ConsoleSession:
    """One that begins now."""
    return ConsoleSession(user_id, key_id, secrets.token_bytes(NUMBER_BYTES), int(now), int(now) + IDLE_SECONDS)


def renewed(session: ConsoleSession, now: float) -> ConsoleSession | None:
    """The session with more time, where it has used enough of what it had. Its number stays, and so do forms that are open."""
    ends_at = min(int(now) + IDLE_SECONDS, session.began_at + LONGEST_SECONDS)
    return session._replace(ends_at=ends_at) if ends_at - session.ends_at >= RENEWED_AFTER_SECONDS else None


def session_token(session: ConsoleSession) -> str:
    """What the cookie says."""
    times = session.began_at.to_bytes(8, "big") + session.ends_at.to_bytes(8, "big")
    return make_token(CONSOLE, session.user_id.bytes + (session.key_id or NO_KEY_ID).bytes + session.number + times)


def read_session(token: str, now: float) -> ConsoleSession | None:
    """Whose cookie this is. None: we did not make it, or it has ended."""
    body = body_of(CONSOLE, token)
    if body is None:
        return None
    key_id = UUID(bytes=body[16:32])
    found = ConsoleSession(
        UUID(bytes=body[:16]), None if key_id == NO_KEY_ID else key_id, body[32:48],
        int.from_bytes(body[48:56], "big"), int.from_bytes(body[56:], "big"),
    )  # fmt: skip
    return found if found.ends_at > now else None


def form_token(number: bytes) -> str:
    """What a form carries that is shown to whoever has this number."""
    return make_token(CONSOLE_FORM, number)


def is_form_of(number: bytes, token: str) -> bool:
    """Whether a form was shown to whoever has this number."""
    body = body_of(CONSOLE_FORM, token)
    return body is not None and hmac.compare_digest(body, number)


def visit_number(cookie: str | None) -> bytes | None:
    """The number of somebody who has not signed in, out of their cookie."""
    return body_of(CONSOLE_FORM, cookie or "")


def console_root() -> str:
    """The path of the console, under whatever a proxy puts before it."""
    return urlsplit(settings().public_url).path.rstrip("/") + "/console"


def set_cookie(answer: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """Give a cookie that no script reads and no other site sends. `seconds` None: until the browser is closed."""
    answer.set_cookie(
        name, value, max_age=seconds, path=console_root(), httponly=True, samesite="strict",
        secure=settings().environment != "development" or settings().public_url.startswith("https:"),
    )  # fmt: skip


def take_cookie(answer: Response, name: str) -> None:
    """Take a cookie back."""
    answer.delete_cookie(name, path=console_root(), httponly=True, samesite="strict")
