"""Who asks with a JWT of an OIDC issuer. First sight of somebody opens an account, exactly once.

A verified token is remembered for a minute at most, which saves its signature check; who its user is, for as long as an
API key is (KEY_CACHE_SECONDS), so that the banned and the deleted are refused as soon as a revoked key.
"""

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jwt

from api.auth.jwks import Keys
from api.edge.grouping import Grouper
from common.errors import NotAuthenticated, NotFound, Suspended, Unavailable
from common.settings import settings
from models.db import certain, transaction
from models.identity import people
from models.identity.people import Identity, Person

ALGORITHMS = ["RS256", "ES256"]
MAX_CHARACTERS = 8192
MAX_SUBJECT = 255
MAX_EMAIL = 320
SKEW_SECONDS = 30
REMEMBERED_SECONDS = 60.0
MAX_REMEMBERED = 10_000


class _Seen(NamedTuple):
    until: float  # by the monotonic clock
    identity: Identity


class Tokens:
    """Answers whose token a request carries, for one event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="jwks")
        urls = settings().jwks_urls()
        self._keys = {issuer: Keys(issuer, urls.get(issuer), self._pool) for issuer in settings().issuers()}
        self._seen: dict[bytes, _Seen] = {}
        self._people: dict[tuple[str, str], tuple[float, Person]] = {}
        self._sign_in: Grouper[Identity, Person] = Grouper(sign_in, name="sign-in")

    async def person(self, token: str) -> Person:
        """Whom a token is about. Raises NotAuthenticated, and Unavailable where the issuer's keys cannot be had."""
        if len(token) > MAX_CHARACTERS:
            raise NotAuthenticated(f"the token is longer than {MAX_CHARACTERS} characters")
        digest = hashlib.sha256(token.encode()).digest()
        seen = self._seen.get(digest)
        if seen is None or seen.until < time.monotonic():
            seen = await self._verified(token)
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen.clear()
            self._seen[digest] = seen
        person = await self._person(seen.identity)
        if person.refused == "suspended":
            raise Suspended("this account is suspended")
        if person.refused:
            raise NotAuthenticated(f"this user is {person.refused}")
        return person

    async def _person(self, identity: Identity) -> Person:
        name = (identity.issuer, identity.subject)
        known = self._people.get(name)
        if known is None or known[0] < time.monotonic():
            person = await self._sign_in.ask(identity)
            if len(self._people) >= MAX_REMEMBERED:
                self._people.clear()
            known = self._people[name] = (time.monotonic() + settings().key_cache_seconds, person)
        return known[1]

    async def _verified(self, token: str) -> _Seen:
        issuer, kid, algorithm = _claimed(token)
        keys = self._keys.get(issuer)
        if keys is None:
            raise NotAuthenticated("the token is not of an issuer that this server accepts (OIDC_ISSUERS)")
        key = await keys.key(kid)
        if key.algorithm != algorithm:
            raise NotAuthenticated(f"the token says {algorithm}, and its key is not for that")
        try:
            claims = jwt.decode(
                token, key.public, algorithms=[key.algorithm], issuer=issuer, leeway=SKEW_SECONDS,
                audience=settings().audiences() or None, options={"require": ["exp", "iat", "iss", "sub"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise NotAuthenticated(f"the token is refused: {error}") from None
        identity = _identity(issuer, claims)
        left = int(claims["exp"]) + SKEW_SECONDS - time.time()
        return _Seen(time.monotonic() + min(left, REMEMBERED_SECONDS), identity)

    def close(self) -> None:
        self._sign_in.close()
        self._pool.shutdown(wait=True)


def _claimed(token: str) -> tuple[str, str, str]:
    """Issuer, key id and algorithm as a token says, before anything is believed: they only choose what it must fit."""
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise NotAuthenticated("this is neither an API key nor a JWT") from None
    header, claims = whole["header"], whole["payload"]
    issuer, kid, algorithm = claims.get("iss"), header.get("kid"), header.get("alg")
    if algorithm not in ALGORITHMS or "crit" in header:
        raise NotAuthenticated(f"tokens are signed with {' or '.join(ALGORITHMS)}, without extensions")
    if not isinstance(issuer, str) or not isinstance(kid, str):
        raise NotAuthenticated("the token names no issuer (iss) or no key (kid)")
    return issuer, kid, algorithm


def _identity(issuer: str, claims: dict[str, Any]) -> Identity:
    """Who the claims are about, after the checks that are ours. PostgreSQL keeps no NUL and no half of a character."""
    subject, party, email = claims["sub"], claims.get("azp"), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise NotAuthenticated("the token's subject cannot be used")
    if claims.get("sts", "active") != "active":
        # Clerk's: a session that still has something to do, such as to choose an organization, is not signed in.
        raise NotAuthenticated("the token's session is not active yet (sts)")
    allowed = settings().authorized_parties()
    if allowed and party not in allowed:
        raise NotAuthenticated("the token was made for another application (azp)")
    # Who invites by an address means whoever has it: one that the issuer itself has not verified is none.
    verified = claims.get("email_verified", True) is True
    usable = verified and isinstance(email, str) and 0 < len(email) <= MAX_EMAIL and email.isprintable()
    return Identity(issuer, subject, email if usable else None)


def sign_in(identities: Sequence[Identity]) -> list[Person | Exception]:
    """Who these are to us; whoever is new gets an account, each in a transaction of its own."""
    with transaction() as conn:
        found = people.known(conn, identities)
    new: dict[tuple[str, str], Person | Exception] = {}
    answers: list[Person | Exception] = []
    for identity, person in zip(identities, found, strict=True):
        name = (identity.issuer, identity.subject)
        if person is None and name not in new:
            new[name] = _sign_up(identity)
        answers.append(person or new[name])
    return answers


def _sign_up(identity: Identity) -> Person | Exception:
    try:
        with certain() as conn:
            return people.sign_up(conn, identity, settings().default_plan)
    except NotFound as error:  # the default plan: our fault, not a thing that the client looked for
        return Unavailable(f"no account can be opened: {error.detail}")
    except Exception as error:  # noqa: BLE001 - one that fails must not fail the others of its group
        return error
