"""Standard Webhooks: what we sign, and whose calls back are believed."""

import hmac
import re
from base64 import b64encode
from hashlib import sha256

from workers.providers.base import Callback

TOLERANCE_SECONDS = 300


def sign(secret: bytes, message_id: str, now: float, body: bytes) -> dict[str, str]:
    """The three headers."""
    sent = str(int(now))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{_signature(secret, message_id, sent, body)}",
    }


def is_signed(secret: bytes, call: Callback) -> bool:
    """Whether one of the signatures is right, and the call was of those minutes when it came: it may have waited since."""
    message_id, sent = call.headers.get("webhook-id", ""), call.headers.get("webhook-timestamp", "")
    if not message_id or not is_fresh(sent, call):
        return False
    right = f"v1,{_signature(secret, message_id, sent, call.body)}".encode()
    offered = [each.encode(errors="replace") for each in call.headers.get("webhook-signature", "").split(" ")]
    return any([hmac.compare_digest(right, each) for each in offered])  # noqa: C419 - all, in constant time


def is_fresh(sent: str, call: Callback) -> bool:
    """Whether a time in seconds since 1970 is that of the call's arrival, more or less."""
    return bool(re.fullmatch(r"\d{1,12}", sent, re.ASCII)) and abs(call.received_at - int(sent)) <= TOLERANCE_SECONDS


def _signature(secret: bytes, message_id: str, sent: str, body: bytes) -> str:
    signed = f"{message_id}.{sent}.".encode(errors="replace") + body
    return b64encode(hmac.digest(secret, signed, sha256)).decode()
