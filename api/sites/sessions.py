"""Who is signed in at one of our sites, the console or an account's own pages: a cookie that only we can have made, which says who
and until when, and nothing that opens anything else. Whether they may still come in is asked of the database at each request. Pure.
A site's cookie opens no other site: each is signed for a purpose of its own.

Every form carries a token that is bound to the session that it was shown to, or before there is one, to a cookie of its own.
"""

import hmac
import secrets
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from starlette.responses import Response

from common.settings import settings
from common.tokens import Purpose, body_of, make_token
from models.access.scopes import Scope

IDLE_SECONDS = 3600  # a session ends so long after the last page that somebody opened
LONGEST_SECONDS = 12 * 3600  # and so long after its beginning, whatever happens
RENEWED_AFTER_SECONDS = 300
VISIT_SECONDS = 3600
NUMBER_BYTES = 16
NO_KEY_ID = UUID(int=0)


class Site(NamedTuple):
    """Pages for one kind of people, under one path."""

    name: str  # its path, and what its cookies begin with
    title: str  # what it is called on its pages
    need: Scope  # what whoever signs in has
    session: Purpose
    form: Purpose
    folder: Path  # of its templates
    form_bytes: int  # of the largest form
    said_after: dict[str, str]  # what is said after an act, by the word in the address that the act leads to

    @property
    def for_operators(self) -> bool:
        """Their requests have a place of their own, and their comings and goings are in the audit log."""
        return self.need == "admin"

    @property
    def root(self) -> str:
        """Its path, under whatever a proxy puts before it."""
        return f"{urlsplit(settings().public_url).path.rstrip('/')}/{self.name}"

    @property
    def session_cookie(self) -> str:
        """The cookie of somebody who has signed in."""
        return f"headrace_{self.name}"

    @property
    def visit_cookie(self) -> str:
        """The cookie of somebody who has not."""
        return f"headrace_{self.name}_visit"

    @property
    def theme_cookie(self) -> str:
        """Light or dark."""
        return f"headrace_{self.name}_theme"

    def link(self, path: str, **query: Any) -> str:
        """An address on the site; what is None is left out of the query."""
        given = {name: value for name, value in query.items() if value is not None and value != ""}
        return self.root + quote(path) + (f"?{urlencode(given)}" if given else "")


class SiteSession(NamedTuple):
    """Somebody who has signed in. Times are seconds since 1970."""

    user_id: UUID
    key_id: UUID | None
    number: bytes
    began_at: int
    ends_at: int


def begin_session(user_id: UUID, key_id: UUID | None, now: float) -> SiteSession:
    """One that begins now."""
    return SiteSession(user_id, key_id, secrets.token_bytes(NUMBER_BYTES), int(now), int(now) + IDLE_SECONDS)


def renewed(session: SiteSession, now: float) -> SiteSession | None:
    """The session with more time, where it has used enough of what it had. Its number stays, and so do forms that are open."""
    ends_at = min(int(now) + IDLE_SECONDS, session.began_at + LONGEST_SECONDS)
    return session._replace(ends_at=ends_at) if ends_at - session.ends_at >= RENEWED_AFTER_SECONDS else None


def session_token(site: Site, session: SiteSession) -> str:
    """What the cookie says."""
    times = session.began_at.to_bytes(8, "big") + session.ends_at.to_bytes(8, "big")
    return make_token(
        site.session, session.user_id.bytes + (session.key_id or NO_KEY_ID).bytes + session.number + times
    )


def read_session(site: Site, token: str, now: float) -> SiteSession | None:
    """Whose cookie this is. None: we did not make it, or it has ended."""
    body = body_of(site.session, token)
    if body is None:
        return None
    key_id = UUID(bytes=body[16:32])
    found = SiteSession(
        UUID(bytes=body[:16]), None if key_id == NO_KEY_ID else key_id, body[32:48],
        int.from_bytes(body[48:56], "big"), int.from_bytes(body[56:], "big"),
    )  # fmt: skip
    return found if found.ends_at > now else None


def form_token(site: Site, number: bytes) -> str:
    """What a form carries that is shown to whoever has this number."""
    return make_token(site.form, number)


def is_form_of(site: Site, number: bytes, token: str) -> bool:
    """Whether a form was shown to whoever has this number."""
    body = body_of(site.form, token)
    return body is not None and hmac.compare_digest(body, number)


def visit_number(site: Site, cookie: str | None) -> bytes | None:
    """The number of somebody who has not signed in, out of their cookie."""
    return body_of(site.form, cookie or "")


def set_cookie(site: Site, answer: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """Give a cookie that no script reads and no other site sends. `seconds` None: until the browser is closed."""
    answer.set_cookie(
        name, value, max_age=seconds, path=site.root, httponly=True, samesite="strict",
        secure=settings().environment != "development" or settings().public_url.startswith("https:"),
    )  # fmt: skip


def take_cookie(site: Site, answer: Response, name: str) -> None:
    """Take a cookie back."""
    answer.delete_cookie(name, path=site.root, httponly=True, samesite="strict")
