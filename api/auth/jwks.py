"""An issuer's public keys, fetched when they are needed and kept while the issuer is away.

Old keys are fetched again behind the requests' backs; only a key that we do not know makes a request wait, and at most
one fetch in ten seconds comes of that, however many tokens name keys that nobody has.
"""

import asyncio
import json
import logging
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from common.addresses import place_of
from common.errors import NotAuthenticated, Unavailable
from common.guard import AddressRefused, open_url
from common.settings import settings

log = logging.getLogger(__name__)

REFRESH_SECONDS = 10.0  # between fetches, while there are keys
COLD_SECONDS = 1.0  # between fetches, while there are none
FETCH_SECONDS = 5.0  # for the whole of one answer
MAX_BYTES = 256 * 1024
MAX_KEYS = 50
MIN_RSA_BITS = 2048


class SigningKey(NamedTuple):
    """A public key and the one algorithm that it is used with."""

    algorithm: str
    public: RSAPublicKey | EllipticCurvePublicKey


class Keys:
    """The keys of one issuer, for one event loop; fetches run in a thread of `pool`."""

    def __init__(self, issuer: str, url: str | None, pool: ThreadPoolExecutor) -> None:
        self._issuer = issuer
        self._url = url
        self._pool = pool
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched = self._tried = float("-inf")
        self._failed = False
        self._fetching: asyncio.Future[None] | None = None

    async def key(self, kid: str) -> SigningKey:
        """The key of this id. Raises NotAuthenticated where there is none, Unavailable where the issuer is away."""
        age = time.monotonic() - self._fetched
        if age > settings().oidc_jwks_seconds or kid not in self._keys:
            self._refresh()
        # Keys that nobody asked about for long are waited for: they may have been withdrawn meanwhile.
        forgotten = age > 2 * settings().oidc_jwks_seconds and not self._failed
        if self._fetching is not None and (forgotten or kid not in self._keys):
            await asyncio.shield(self._fetching)
        found = self._keys.get(kid)
        if found is not None:
            return found
        if self._failed:
            raise Unavailable("the keys of the token's issuer cannot be had now; try again soon")
        raise NotAuthenticated("the token is signed with a key that its issuer does not publish")

    def _refresh(self) -> None:
        pause = REFRESH_SECONDS if self._keys else COLD_SECONDS
        if self._fetching is None and time.monotonic() - self._tried >= pause:
            self._tried = time.monotonic()
            self._fetching = asyncio.ensure_future(self._fetch())

    async def _fetch(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            self._keys = await loop.run_in_executor(self._pool, fetch, self._issuer, self._url)
            self._fetched, self._failed = time.monotonic(), False
        except Exception as error:  # noqa: BLE001 - an issuer can be wrong in any way; its last keys stay
            self._failed = True
            log.warning("the keys of %s cannot be had, the last ones stay: %s", self._issuer, error)
        finally:
            self._fetching = None


def fetch(issuer: str, url: str | None) -> dict[str, SigningKey]:
    """The keys that an issuer publishes now, by id. Raises AddressRefused or ValueError.

    An issuer is the operator's word, and may be in our own network; where its discovery document leads to is not.
    """
    own = {place for each in (issuer, url or issuer) if (place := place_of(each)) is not None}
    found = usable(_document(url or _address(issuer, own), own))
    if not found:
        raise ValueError("it publishes no key that can be used")
    return found


def _address(issuer: str, own: Collection[str]) -> str:
    """Where an issuer's keys are: as its discovery document says, or where Clerk has them if it has no such document."""
    base = issuer.rstrip("/")
    try:
        document = _document(f"{base}/.well-known/openid-configuration", own)
    except AddressRefused as error:
        if error.status != 404:
            raise
        return f"{base}/.well-known/jwks.json"
    address = document.get("jwks_uri")
    if document.get("issuer") != issuer or not isinstance(address, str):
        raise ValueError("its discovery document is of another issuer, or names no keys")
    if urlsplit(address).scheme != "https" and urlsplit(issuer).scheme == "https":
        raise ValueError("its keys are not behind https")
    return address


def _document(url: str, own: Collection[str]) -> dict[str, Any]:
    """A JSON object of limited size, had within a limited time. No redirect is followed."""
    with open_url(
        url, max_bytes=MAX_BYTES, seconds=FETCH_SECONDS, headers={"accept": "application/json"}, allow=own,
        max_redirects=0, tls=httpx.create_ssl_context(),
    ) as answer:  # fmt: skip
        document = json.loads(b"".join(answer.content()))
    if not isinstance(document, dict):
        raise ValueError("its answer is no JSON object")  # noqa: TRY004 - the far side's fault, not a caller's type
    return document


def usable(document: Mapping[str, Any]) -> dict[str, SigningKey]:
    """The keys of a JWKS that can verify RS256 or ES256; others, and what cannot be read, are passed over."""
    found: dict[str, SigningKey] = {}
    entries = document.get("keys")
    for entry in (entries if isinstance(entries, list) else [])[:MAX_KEYS]:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is not None and isinstance(entry.get("kid"), str):
            found[entry["kid"]] = key
    return found


def _key(entry: dict[str, Any]) -> SigningKey | None:
    """The algorithm follows from the kind of key, never from the token. A secret in a JWKS (`oct`) is no key to us."""
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        public = PyJWK(entry, algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size >= MIN_RSA_BITS:
        return SigningKey(algorithm, public)
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name == "secp256r1":
        return SigningKey(algorithm, public)
    return None
