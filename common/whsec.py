"""Secrets of Standard Webhooks, as they are written: `whsec_` and base64."""

import base64


def key_of(secret: str, least_bytes: int = 1) -> bytes:
    """The bytes that sign. Raises ValueError for what is written otherwise, or has fewer bytes than that."""
    prefix, _, encoded = secret.partition("_")
    key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    if prefix != "whsec" or len(key) < least_bytes:
        raise ValueError("not a webhook secret")
    return key
