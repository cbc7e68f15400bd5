"""Webhooks: whether one is from your Headrace.

event = verify_webhook(request.headers, request.body, secret="whsec_…")
if event.type == "job.succeeded":
    show(event.data["outputs"][0]["url"])
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from headrace_client._base import Shape
from headrace_client.errors import BadSignature

TOLERANCE_SECONDS = 300


class WebhookEvent(Shape):
    """What a webhook tells. `id` is the same in every attempt: ignore one that you have seen."""

    id: str = ""
    type: str
    timestamp: dt.datetime
    data: dict[str, Any]


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """Read a webhook, if it is signed with the secret (or one of several) and not too old. Raises BadSignature.

        event = verify_webhook(request.headers, await request.body(), os.environ["WEBHOOK_SECRET"])

    Args:
        headers: Of the request, as they came; the case of their names does not matter.
        body: Of the request, raw: JSON that was read and written again is signed no more.
        secret: `whsec_…`, as `client.webhooks.create` or `client.webhooks.get_default_secret` gives it.
        tolerance_seconds: How far the sender's clock may be off.
        now: The time in seconds, for tests.
    """
    given = {name.lower(): value for name, value in headers.items()}
    name, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    raw = body.encode() if isinstance(body, str) else body
    if not name or not (stamp.isascii() and stamp.isdigit()):
        raise BadSignature("webhook-id or webhook-timestamp is missing")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_seconds:
        raise BadSignature("the webhook was signed too long ago, or one of the clocks is wrong")
    signed = f"{name}.{stamp}.".encode() + raw
    secrets = [secret] if isinstance(secret, str) else list(secret)
    wanted = [hmac.digest(_key(each), signed, hashlib.sha256) for each in secrets]
    for said in given.get("webhook-signature", "").split():
        version, _, encoded = said.partition(",")
        found = _decoded(encoded) if version == "v1" else None
        if found is not None and any(hmac.compare_digest(found, each) for each in wanted):
            return _read(raw, name)
    raise BadSignature("no signature fits")


def _key(secret: str) -> bytes:
    found = _decoded(secret.removeprefix("whsec_"))
    if not found:
        raise ValueError("a webhook's secret is whsec_ and base64")  # not shown: it may be a secret of another kind
    return found


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _read(raw: bytes, name: str) -> WebhookEvent:
    try:
        event = WebhookEvent.model_validate_json(raw)
    except ValidationError:
        raise BadSignature("the webhook is signed, and is no event") from None
    event.id = name
    return event
