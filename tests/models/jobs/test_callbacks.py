"""What providers call back with: from whom it is taken, and how often."""

import base64
from uuid import UUID, uuid4

import pytest

from common.errors import NotFound
from common.tokens import CALLBACK
from models.db import transaction
from models.jobs import callbacks, facts
from models.jobs.callbacks import attempt_of, token_of
from models.jobs.dispatch import Ring
from tests.support import account, claimed, model, one, placed

pytestmark = pytest.mark.usefixtures("database")


def test_an_address_that_we_did_not_make_names_no_attempt() -> None:
    job_id = uuid4()
    good = token_of(job_id, 3)
    assert attempt_of(good) == (job_id, 3)
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    plain = raw[: -CALLBACK.signature_bytes]
    for wrong in (
        plain, plain + bytes(CALLBACK.signature_bytes), raw + b"x", raw[:-1] + bytes([raw[-1] ^ 1]),
        uuid4().bytes + raw[16:], raw[:16] + b"\0\4" + raw[18:], b"",
    ):  # fmt: skip
        with pytest.raises(NotFound):
            attempt_of(base64.urlsafe_b64encode(wrong).rstrip(b"=").decode())


def polled() -> tuple[UUID, int]:
    """A job that waits for its provider, and the number of its attempt."""
    claim = claimed(placed(account(amount=5), model()))
    assert claim.live is not None
    with transaction() as conn:
        facts.accept(conn, claim, claim.live.number, provider_job_id="p", after_seconds=3600, progress=None)
    return claim.job_id, claim.live.number


def store(job_id: UUID, number: int, body: bytes) -> Ring | None:
    with transaction() as conn:
        return callbacks.store(conn, job_id, number, {"x-from": "provider"}, body)


def test_the_same_call_is_kept_once_and_rings_once() -> None:
    job_id, number = polled()
    assert store(job_id, number, b"half") == Ring(job_id, "interactive")
    assert store(job_id, number, b"half") is None
    assert store(job_id, number, b"done") == Ring(job_id, "interactive")
    assert one("select count(*) from provider_callbacks") == (2,)
    with transaction() as conn:
        assert [call.body for call in callbacks.calls(conn, job_id, number)] == [b"half", b"done"]


def test_a_call_for_another_attempt_or_another_job_is_not_kept() -> None:
    job_id, number = polled()
    assert store(job_id, number + 1, b"done") is None
    assert store(uuid4(), number, b"done") is None
    assert one("select count(*) from provider_callbacks") == (0,)
