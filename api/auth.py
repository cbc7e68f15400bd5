"""Who asks: a bearer API key or a JWT, looked up once every few seconds per process. A key is compared by its hash, never
by its text.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from starlette.requests import Request

from api.grouping import Grouper
from api.jwt import Tokens
from models import keys
from models.db import transaction
from models.errors import NotAuthenticated
from models.settings import settings

MAX_CACHED = 10_000

# What somebody signed in may do; only an admin's token is good for what only admins do.
USER_SCOPES = frozenset({"generate", "read", "write", "delete"})
ADMIN_SCOPES = USER_SCOPES | {"admin"}


class Caller(NamedTuple):
    """Whom this request acts for. A token's caller has no key."""

    account_id: UUID
    key_id: UUID | None
    scopes: frozenset[str]
    role: str


class KeyRing:
    """Answers whose key a request carries. Unknown keys are remembered too, so that guessing costs no queries."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, Caller | None]] = {}
        self._lookups: Grouper[bytes, Caller | None] = Grouper(_look_up, name="keys")
        self._tokens = Tokens()

    async def caller(self, request: Request) -> Caller:
        """The caller of a request. Raises NotAuthenticated."""
        header = request.headers.get("authorization", "")
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        if scheme.lower() == "bearer" and secret.count(".") == 2:
            person = await self._tokens.person(secret)
            scopes = ADMIN_SCOPES if person.role == "admin" else USER_SCOPES
            return Caller(person.account_id, None, scopes, person.role)
        if scheme.lower() != "bearer" or not secret or len(secret) > 200:
            raise NotAuthenticated("send an API key or a token: Authorization: Bearer hr_…")
        hashed = keys.hash_of(secret)
        known = self._known.get(hashed)
        if known is None or known[0] < time.monotonic():
            found = await self._lookups.ask(hashed)
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            known = (time.monotonic() + settings().key_cache_seconds, found)
            self._known[hashed] = known
        if known[1] is None:
            raise NotAuthenticated("this API key is not valid, or was revoked")
        return known[1]

    def close(self) -> None:
        self._lookups.close()
        self._tokens.close()


def _look_up(hashes: Sequence[bytes]) -> list[Caller | None]:
    with transaction() as conn:
        owners = keys.owners(conn, list(hashes))
    return [Caller(owner.account_id, owner.key_id, USER_SCOPES, "user") if owner else None for owner in owners]


async def caller(request: Request) -> Caller:
    """FastAPI dependency. Async on purpose: a synchronous one would hop to the thread pool."""
    ring: KeyRing = request.app.state.keys
    return await ring.caller(request)
