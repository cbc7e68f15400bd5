"""The key with which fal's webhooks of ours are signed: Ed25519, made of SECRET_KEY, published as a JWKS. Receivers check
request id, user id, time and the body's SHA-256, each on a line of its own.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from common.settings import settings

WORD = b"fal webhooks, ed25519"  # so that no other use of the secret comes to the same key


def webhook_keys() -> dict[str, Any]:
    """The public key, as receivers fetch it."""
    raw = _key(_secret()).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = urlsafe_b64encode(raw).rstrip(b"=").decode()
    kid = hashlib.sha256(raw).hexdigest()[:16]
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}]}


def signed_headers(request_id: str, user_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that say who sent a webhook, and when."""
    lines = (request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest())
    return {
        "x-fal-webhook-request-id": request_id,
        "x-fal-webhook-user-id": user_id,
        "x-fal-webhook-timestamp": str(timestamp),
        "x-fal-webhook-signature": _key(_secret()).sign("\n".join(lines).encode()).hex(),
    }


def _secret() -> bytes:
    return hmac.digest(settings().secret_key.get_secret_value().encode(), WORD, hashlib.sha256)


@lru_cache(maxsize=2)
def _key(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)
