"""Tokens that only we can have made: a few bytes with a signature that is bound to one purpose, so that no token passes for
one of another. Nothing is kept of them, and what they say is no secret.
"""

import base64
import hashlib
import hmac
from typing import NamedTuple

from common.settings import settings


class Purpose(NamedTuple):
    """What a token is for. `word` goes before the body into what is signed; none is the beginning of another."""

    word: bytes
    body_bytes: int
    signature_bytes: int


FILE = Purpose(b"file:", 16, 16)  # a result's permanent address: its id
CALLBACK = Purpose(b"callback:", 18, 16)  # where a provider calls back: the job's id, the attempt's number
PREDICTION_STREAM = Purpose(b"prediction stream:", 16, 16)  # where a text is read as it is written: its job's id
CERTIFICATE = Purpose(b"certificate:", 16, 16)  # that a course was completed: the enrolment's id
SHARED = Purpose(b"shared page:", 24, 32)  # who has given a share link's password: the link's id, until when
STREAM = Purpose(b"headrace stream token\n", 41, 32)  # who may listen: account, key, role, until when
CONSOLE = Purpose(
    b"console session:", 64, 32
)  # who is signed in there: user, key, a number of its own, since when, until when
CONSOLE_FORM = Purpose(b"console form:", 16, 32)  # that a form was ours: the number of the session that it was shown to
ACCOUNT = Purpose(b"account session:", 64, 32)  # the same of an account's own pages
ACCOUNT_FORM = Purpose(b"account form:", 16, 32)


def make_token(purpose: Purpose, body: bytes) -> str:
    """The token for a body of the purpose's size, fit for addresses."""
    return base64.urlsafe_b64encode(body + signature_of(purpose, body)).rstrip(b"=").decode()


def body_of(purpose: Purpose, token: str) -> bytes | None:
    """What a token says; None: we did not make it, or not for this purpose."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    if (
        base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token
    ):  # one thing has one address: a CDN forgets no other
        return None
    body, given = raw[: purpose.body_bytes], raw[purpose.body_bytes :]
    right = len(body) == purpose.body_bytes and hmac.compare_digest(given, signature_of(purpose, body))
    return body if right else None


def signature_of(purpose: Purpose, body: bytes) -> bytes:
    """What only we can have put behind a body."""
    key = settings().secret_key.get_secret_value().encode()
    return hmac.digest(key, purpose.word + body, hashlib.sha256)[: purpose.signature_bytes]
