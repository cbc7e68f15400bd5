"""The keys with which fal signs its calls back, fetched from where fal publishes them."""

import hashlib
import re
import threading
import time
from base64 import urlsafe_b64decode
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from common.addresses import place_of
from workers.providers import fetching, signatures, wire
from workers.providers.base import Callback, OutcomeUnknown, ProviderError, Unjudged

KEYS_SECONDS, KEYS_AGAIN_SECONDS = 24 * 3600.0, 60.0  # kept; and fetched again at most, when none of them fits
KEYS_RETRY_SECONDS = 5.0  # after they could not be had
KEYS_FETCH_SECONDS, KEYS_BYTES = 10.0, 256 * 1024


class SigningKeys:
    """The keys with which fal signs. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: list[Ed25519PublicKey] = []
        self._good_until = self._not_again_before = 0.0

    def is_signed(self, call: Callback) -> bool:
        """Whether fal sent this, minutes before it came: Ed25519 over request id, user id, time and the body's SHA-256.

        No is only said by keys that are fetched now; raises Unjudged where none of the kept ones fits and no others can be
        had, or not yet.
        """
        names = ("request-id", "user-id", "timestamp", "signature")
        request_id, user_id, sent, signature = (call.headers.get(f"x-fal-webhook-{name}", "") for name in names)
        if not signatures.is_fresh(sent, call) or not re.fullmatch(r"[0-9a-fA-F]{128}", signature, re.ASCII):
            return False
        signed = "\n".join((request_id, user_id, sent, hashlib.sha256(call.body).hexdigest()))
        message = signed.encode(errors="replace")
        fits = [bytes.fromhex(signature), message]
        is_new = time.monotonic() >= self._good_until and self._fetch()
        if any(_verified(key, *fits) for key in self._keys):
            return True
        # fal may have a new key; but nobody can make us ask for it at every forged call.
        is_new = is_new or self._fetch()
        if any(_verified(key, *fits) for key in self._keys):  # also where another thread has fetched them meanwhile
            return True
        if not is_new:
            raise Unjudged("fal's keys cannot be had just now")
        return False

    def _fetch(self) -> bool:
        """Fetch the keys, unless that was done just now. Returns whether they are new; old ones are better than none."""
        with self._lock:
            if time.monotonic() < self._not_again_before:
                return False
            pause = KEYS_RETRY_SECONDS
            try:
                if (keys := self._published()) is None:
                    return False
                self._keys, self._good_until = keys, time.monotonic() + KEYS_SECONDS
                pause = KEYS_AGAIN_SECONDS
                return True
            finally:  # from its end on: an attempt may take longer than the pause
                self._not_again_before = time.monotonic() + pause

    def _published(self) -> list[Ed25519PublicKey] | None:
        """The keys as fal lists them. None: they cannot be had, or there are none."""
        try:
            own = {place} if (place := place_of(self._url)) else ()  # the operator's word; whereto it redirects is not
            fetched = fetching.fetch(self._url, own=own, seconds=KEYS_FETCH_SECONDS, tries=1, most=KEYS_BYTES)
            document = wire.parsed(b"".join(fetched))
        except (OutcomeUnknown, ProviderError, ValueError):
            return None
        listed = wire.mapping(document).get("keys")
        return [key for each in (listed if isinstance(listed, list) else []) if (key := _public(each))] or None


def _public(jwk: Any) -> Ed25519PublicKey | None:
    text = wire.mapping(jwk).get("x")
    if not isinstance(text, str):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return None


def _verified(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
