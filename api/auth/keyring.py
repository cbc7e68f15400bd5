"""Who asks, and whether they may: a bearer API key, a JWT or a browser token, looked up once every few seconds per process. Keys
and tokens are compared by their hash, never by their text.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.auth.acting import Acting
from api.auth.jwt import Tokens
from api.auth.reach import check_reach
from api.edge.addresses import address_of
from api.edge.grouping import Grouper
from api.edge.pace import know
from api.edge.rate_limits import Rates
from common.errors import NotAuthenticated, Suspended
from common.settings import settings
from models.access import api_keys, browser_tokens
from models.access.audit_log import By
from models.access.scopes import Caller, Scope, check, scopes_of
from models.db import CommitUnknown, certain, transaction
from models.identity.people import Visitor
from models.usage.usage import record_requests

log = logging.getLogger(__name__)

MAX_CACHED = 10_000
COUNT_SECONDS = 10.0
SCHEMES = ("bearer", "key", "token")  # the second is fal's, the third an older one of Replicate's
NO_KEY = "this API key is not valid, has expired, or was revoked"
ENDED = "this token is not valid, has expired, or was revoked"


Lookups = Grouper[bytes, Caller | None]


class KeyRing:
    """Answers whose key a request carries. What cannot be a key is refused without asking anybody, and once an address has
    failed too often, so is what this process has not known as a key: guessing costs no queries.
    """

    def __init__(self, rates: Rates | None = None) -> None:
        self._rates = rates or Rates()
        self._worked: dict[bytes, None] = {}  # keys that were good when they were last looked up, oldest first
        self._known: dict[bytes, tuple[float, Caller | None]] = {}
        self._lookups: Lookups = Grouper(_look_up, name="keys")
        self._narrow: Lookups = Grouper(_look_up_tokens, name="tokens")
        self._tokens = Tokens()
        self._acting = Acting()
        self._uses: Counter[UUID] = Counter()  # of keys
        self._requests: Counter[UUID] = Counter()  # of accounts
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write down how often keys are used, and how often accounts ask."""
        self._counting = asyncio.create_task(self._count())

    async def caller(self, request: Request) -> Caller:
        """The caller of a request. Raises NotAuthenticated, and RateLimited where too many were of this address."""
        secret = secret_of(request.headers.get("authorization", ""))
        if api_keys.looks_like_a_key(secret, browser_tokens.BEGINNING):
            return await self._caller_of(request, secret, self._narrow, ENDED)
        return await self.caller_with(request, secret)

    async def caller_with(self, request: Request, secret: str) -> Caller:
        """Whose key or JWT this is; a browser token is none of them, and signs nobody in. Raises as `caller`."""
        if secret.count(".") == 2:
            person = await self._tokens.person(secret)
            scopes = scopes_of(person.role)
            return Caller(person.account_id, person.user_id, None, scopes, person.role)
        if not secret or len(secret) > 200:
            raise NotAuthenticated("send an API key or a token: Authorization: Bearer hr_…")
        if not api_keys.looks_like_a_key(secret):
            raise NotAuthenticated(NO_KEY)
        return await self._caller_of(request, secret, self._lookups, NO_KEY)

    async def _caller_of(self, request: Request, secret: str, lookups: Lookups, refusal: str) -> Caller:
        who = await self._holder(request, api_keys.hash_of(secret), lookups)
        if who is None:
            raise NotAuthenticated(refusal)
        if who.suspended:
            know(request.scope)
            raise Suspended("this account is suspended")
        if who.key_id is not None:
            self._uses[who.key_id] += 1
        return who

    async def permitted(self, request: Request, scope: Scope, *, counted: bool = True) -> Caller:
        """The caller, who has this scope and has not asked too often. Raises NotAuthenticated, Forbidden, RateLimited.
        `counted` false: a look at what is in memory as a rule, which may be asked for often.
        """
        known = request.scope.get("headrace.caller")
        if known is not None and known[1] == scope:
            asked_before: Caller = known[0]
            return asked_before  # of the same request, which counts once
        return await self._let_in(request, await self.caller(request), scope, acts=True, counted=counted)

    async def let_in(self, request: Request, who: Caller, scope: Scope) -> Caller:
        """Somebody who has shown by a session who they are, for as long as this request. Raises Forbidden, RateLimited."""
        return await self._let_in(request, who, scope, acts=False)

    async def _let_in(self, request: Request, who: Caller, scope: Scope, *, acts: bool, counted: bool = True) -> Caller:
        know(request.scope)
        if counted:
            await self._rates.count_request(request, who)  # before anything is refused: a refusal counts as well
        if acts:
            who = await self._acting.acting_for(request, who)
        self._requests[who.account_id] += 1
        if who.reach is not None:
            check_reach(who.reach, request.method, request.scope["route"].path_format)
        check(who, scope)
        request.scope["headrace.caller"] = (who, scope)
        return who

    async def _holder(self, request: Request, hashed: bytes, lookups: Lookups) -> Caller | None:
        known = self._known.get(hashed)
        if known is not None and known[0] >= time.monotonic():
            return known[1]
        if hashed in self._worked:  # who has a key is not locked out by others who guess from the same address
            return await self._looked_up(hashed, lookups)
        async with self._rates.may_fail(request):
            who = await self._looked_up(hashed, lookups)
            if who is None:
                await self._rates.count_failure(request)
            return who

    async def _looked_up(self, hashed: bytes, lookups: Lookups) -> Caller | None:
        begun = time.monotonic()  # what was read then is known for so long, however long the reading took
        found = await lookups.ask(hashed)
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[hashed] = (begun + settings().key_cache_seconds, found)
        self._worked.pop(hashed, None)
        if found is not None:
            self._worked[hashed] = None
            if len(self._worked) > MAX_CACHED:
                del self._worked[next(iter(self._worked))]
        return found

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await self._write_counts()

    async def _write_counts(self) -> None:
        counted = self._uses, self._requests
        self._uses, self._requests = Counter(), Counter()
        if not await run_in_threadpool(_wrote_counts, *counted):
            for now, before in zip((self._uses, self._requests), counted, strict=True):
                now.update(before)

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting
        await self._write_counts()
        self._lookups.close()
        self._narrow.close()
        self._tokens.close()
        self._acting.close()


def _wrote_counts(uses: Counter[UUID], requests: Counter[UUID]) -> bool:
    """False: nothing was counted, and may be later. What nobody knows the outcome of is taken as done."""
    if not uses and not requests:
        return True
    try:
        with certain() as conn:
            api_keys.record_uses(conn, uses)
            record_requests(conn, requests)
    except CommitUnknown:
        log.warning("it is not known whether the uses of keys and the requests of accounts were counted")
    except Exception as error:  # noqa: BLE001 - a count that is late harms nobody
        log.warning("could not count the uses of keys and the requests of accounts yet: %s", error)
        return False
    return True


def _look_up(hashes: Sequence[bytes]) -> list[Caller | None]:
    with transaction() as conn:
        return api_keys.callers(conn, list(hashes))


def _look_up_tokens(hashes: Sequence[bytes]) -> list[Caller | None]:
    with transaction() as conn:
        return browser_tokens.token_callers(conn, hashes)


def secret_of(header: str) -> str:
    """What an Authorization header has to show. Libraries of others call the scheme by names of their own, and one writes a key
    of two parts, of which ours is the second.
    """
    scheme, _, secret = header.partition(" ")
    if scheme.lower() == "key":
        secret = secret.rpartition(":")[2]
    return secret.strip() if scheme.lower() in SCHEMES else ""


def need_of(calls: Iterable[Any]) -> Scope | None:
    """The scope that one of a route's functions says it needs. None: none of them says."""
    return next((call.need for call in calls if hasattr(call, "need")), None)


def visitor_of(who: Caller) -> Visitor:
    """A caller, as who stays for longer than a request."""
    return Visitor(who.account_id, who.key_id or who.acting_key, who.role, who.reach)


def by(who: Caller, request: Request) -> By:
    """Who acts, for the audit log."""
    return By(str(who.user_id), who.key_id or who.acting_key, address_of(request.scope))
