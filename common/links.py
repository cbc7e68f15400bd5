"""Permanent addresses of results: an asset's id with a signature. The API answers them, webhooks carry them."""

import base64
import hashlib
import hmac
from uuid import UUID

from common.settings import settings

SIGNATURE_BYTES = 16


def token_of(asset_id: UUID) -> str:
    """The unguessable name of a result, 43 characters."""
    return base64.urlsafe_b64encode(asset_id.bytes + signature_of(asset_id.bytes)).rstrip(b"=").decode()


def signature_of(asset_id: bytes) -> bytes:
    """What only we can have put behind an asset's id."""
    key = settings().secret_key.get_secret_value().encode()
    return hmac.digest(key, b"file:" + asset_id, hashlib.sha256)[:SIGNATURE_BYTES]


def url_of(asset_id: UUID, *, thumbnail: bool = False) -> str:
    """The permanent address of a result, or of its thumbnail."""
    return f"{settings().public_url}/files/{token_of(asset_id)}{'?thumbnail=1' if thumbnail else ''}"
