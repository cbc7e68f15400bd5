"""Telling a receiver: one signed POST through the address guard, or one mail. No database here.

What an answer means is decided in pure functions: what arrived, what is tried again and when, what is over.
"""

import base64
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, NamedTuple

import orjson

from common.guard import AddressRefused, FarAnswer, open_url
from common.retry_after import seconds_asked
from common.settings import settings
from common.whsec import key_of
from models.events.sending import Parcel, SendResult
from workers.deliver import mail

log = logging.getLogger(__name__)

MINUTE, HOUR = 60, 3600
KEY_BYTES = 16  # of a secret, at least; ours have 32
# Pauses after the first, second … failed attempt: the Standard Webhooks sample schedule, 3 days and 3.6 hours in all.
SCHEDULE = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
JITTER = 0.1  # each pause is up to so much shorter or longer, so that receivers that come back are not hit at once
MAX_QUEUE_PAUSE = 60.0  # between attempts at a receiver that fails, however much waits for it
ANSWER_BYTES = 64 * 1024  # read of an answer
EXCERPT_CHARACTERS = 1024  # kept of it


class Letter(NamedTuple):
    """What is posted, and headers besides those that every delivery has."""

    body: bytes
    headers: Mapping[str, str]


LetterWriter = Callable[[Parcel, int], Letter]  # of a delivery and the attempt's time


def own_letter(parcel: Parcel, _timestamp: int) -> Letter:
    """A delivery in our own words."""
    return Letter(body_of(parcel), {})


def deliver(parcel: Parcel, failures: int, write: LetterWriter = own_letter) -> SendResult:
    """Send one delivery and say what became of it. `failures`: attempts on its queue that failed since one arrived.

    Never raises: whatever goes wrong, ours or theirs, is an attempt that failed, with the pause that follows.
    """
    began = time.monotonic()
    try:
        return _by_mail(parcel, failures) if parcel.channel == "email" else _by_post(parcel, failures, write)
    except Exception:
        log.exception("delivery %s could not be tried", parcel.id)
        entry = _entry(parcel, began, None, "internal_error: an unexpected fault of ours; it is tried again", None)
        return SendResult(False, pause_after(parcel.attempts), queue_pause(failures + 1, None), entry)


def _by_mail(parcel: Parcel, failures: int) -> SendResult:
    began = time.monotonic()
    problem, permanent = mail.send(parcel)
    entry = _entry(parcel, began, None, problem, None)
    again = None if permanent else pause_after(parcel.attempts)
    return SendResult(problem is None, again, 0.0 if problem is None else queue_pause(failures + 1, None), entry)


def _by_post(parcel: Parcel, failures: int, write: LetterWriter) -> SendResult:
    began = time.monotonic()
    status, error, excerpt, retry_after = _post(parcel, write)
    entry = _entry(parcel, began, status, error, excerpt)
    if status is not None and 200 <= status <= 299:
        return SendResult(True, None, 0.0, entry)
    pause = queue_pause(failures + 1, retry_after)
    if status == 410:
        return SendResult(False, None, pause, entry, gone=True)
    return SendResult(False, pause_after(parcel.attempts, retry_after), pause, entry)


def _entry(parcel: Parcel, began: float, status: int | None, error: str | None, response: str | None) -> dict[str, Any]:
    """What the log says of an attempt. People's own addresses stay out of it."""
    place = {"url": parcel.address} if parcel.channel == "webhook" else {}
    return {
        **place, "milliseconds": round((time.monotonic() - began) * 1000), "status": status, "error": error,
        "response": response,
    }  # fmt: skip


def pause_after(attempts: int, retry_after: float | None = None) -> float | None:
    """Seconds to the next attempt when `attempts` came before the one that has just failed. None: that was the last."""
    if attempts >= len(SCHEDULE):
        return None
    pause = SCHEDULE[attempts] * settings().webhook_retry_scale * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - it spreads load and keeps no secret
    return max(pause, retry_after or 0.0)


def queue_pause(failures: int, retry_after: float | None) -> float:
    """Seconds in which nothing more is sent to a receiver that has failed so often in a row."""
    pause = min(MAX_QUEUE_PAUSE, 0.5 * 2 ** min(failures, 10)) * settings().webhook_retry_scale
    return float(max(pause, retry_after or 0.0))


def retry_after_seconds(status: int, headers: Mapping[str, str]) -> float | None:
    """What a receiver that is busy (429, 503) asks for, within a day."""
    return seconds_asked(headers) if status in {429, 503} else None


def body_of(parcel: Parcel) -> bytes:
    """What is posted. The same bytes in every attempt, as far as the event's own data is the same."""
    at = parcel.event_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    data = {**parcel.data}
    if parcel.job_id is not None:
        data["job_id"] = str(parcel.job_id)
    if parcel.event_number is not None:
        data["number"] = parcel.event_number
    return orjson.dumps({"type": parcel.event_type, "timestamp": at, "data": data})


def headers_of(parcel: Parcel, body: bytes, timestamp: int) -> dict[str, str]:
    """Standard Webhooks: the id is the same in every attempt, the time is this attempt's, one signature per secret."""
    signed = f"{parcel.id}.{timestamp}.".encode() + body
    signatures = [f"v1,{_signature(secret, signed)}" for secret in parcel.secrets]
    return {
        "content-type": "application/json",
        "user-agent": "Headrace-Webhooks/1",
        "webhook-id": str(parcel.id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key_of(secret, KEY_BYTES), signed, hashlib.sha256)).decode()


def _post(parcel: Parcel, write: LetterWriter) -> tuple[int | None, str | None, str | None, float | None]:
    """Status, error, the answer's beginning, and how long it asks us to stay away."""
    if parcel.address is None or not parcel.secrets:
        return None, "its signing secret cannot be read: rotate it", None, None
    now = int(time.time())
    body, more = write(parcel, now)
    headers = {**headers_of(parcel, body, now), **more}
    status, excerpt, retry_after, problem = None, None, None, None
    try:
        with open_url(
            parcel.address, method="POST", headers=headers, body=body, max_bytes=ANSWER_BYTES, max_redirects=0,
            any_status=True, seconds=settings().webhook_timeout_seconds, allow=settings().allow_private_addresses,
        ) as answer:  # fmt: skip
            status = answer.status
            retry_after = retry_after_seconds(status, answer.headers)
            excerpt, problem = _excerpt(answer)
    except Exception as error:
        if status is None:  # otherwise it has answered, and what goes wrong after that does not undo it
            if not isinstance(error, AddressRefused):
                raise
            return None, f"{error.code}: {error.message}", None, None
    if status is not None and 300 <= status <= 399:
        problem = "redirects are not followed"
    return status, problem, excerpt, retry_after


def _excerpt(answer: FarAnswer) -> tuple[str, str | None]:
    """The beginning of an answer. Its status has arrived, so what goes wrong with its body does not undo that."""
    read, problem = bytearray(), None
    try:
        for chunk in answer.chunks():
            read += chunk
    except AddressRefused as error:
        problem = f"{error.code}: {error.message}"
    return bytes(read).decode("utf-8", "replace").replace("\0", "\ufffd")[:EXCERPT_CHARACTERS], problem
