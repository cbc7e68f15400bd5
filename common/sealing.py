"""Secrets that must be usable again, encrypted at rest under SECRET_KEY. Each purpose has a key of its own."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from common.settings import settings


def seal(purpose: str, text: str) -> bytes:
    """Encrypt."""
    return _box(purpose).encrypt(text.encode())


def unseal(purpose: str, sealed: bytes) -> str | None:
    """Decrypt. None: SECRET_KEY has changed since it was sealed."""
    try:
        return _box(purpose).decrypt(bytes(sealed)).decode()
    except InvalidToken:
        return None


def _box(purpose: str) -> Fernet:
    secret = settings().secret_key.get_secret_value().encode()
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(purpose.encode() + b":" + secret).digest()))
