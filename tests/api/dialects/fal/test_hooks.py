"""`fal_webhook`: what a request's own address is told at its end, and who has signed it."""

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from common.dialects.fal_signing import webhook_keys
from models.db import transaction
from models.events import endpoints
from models.jobs import cancel
from tests.receivers import Receiver, receivers, sending
from tests.support import account, eventually, model, placed


@pytest.fixture
def open_house(database: str) -> Iterator[Receiver]:
    """A customer's server on loopback, and a sender that may post there."""
    with receivers(1) as made, sending():
        yield made[0]


def test_the_end_of_a_request_is_told_in_fals_words_under_its_signature(open_house: Receiver) -> None:
    who = account(amount=5)
    hook = endpoints.for_job(who, open_house.url, None, dialect="fal")
    job_id = placed(who, model(), webhook=hook)
    with transaction() as conn:
        cancel.cancel(conn, job_id)
    eventually(lambda: open_house.got != [])
    (got,) = open_house.got
    told = json.loads(got.body)
    assert (told["request_id"], told["status"], told["error"]) == (str(job_id), "ERROR", "the request was canceled")
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, at, signature = (got.headers[f"x-fal-webhook-{name}"] for name in names)
    assert (request_id, user_id) == (str(job_id), str(who))
    key = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(webhook_keys()["keys"][0]["x"] + "="))
    signed = "\n".join((request_id, user_id, at, hashlib.sha256(got.body).hexdigest()))
    key.verify(bytes.fromhex(signature), signed.encode())
