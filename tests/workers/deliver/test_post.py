"""One delivery to one receiver: signed so that other people's libraries verify it, bounded, and judged rightly."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import pytest
import standardwebhooks
import svix.webhooks

from models.events.endpoints import new_secret
from models.events.sending import Parcel
from tests.receivers import receivers
from workers.deliver.post import EXCERPT_CHARACTERS, SCHEDULE, deliver, pause_after, queue_pause, retry_after_seconds


def parcel(address: str, *secrets: str, attempts: int = 0) -> Parcel:
    return Parcel(
        uuid4(), datetime.now(UTC), uuid4(), "webhook", uuid4(), "job.succeeded", datetime.now(UTC), 7, uuid4(),
        {"credits": 3, "text": "Zürich ✓"}, attempts, address, list(secrets) or [new_secret()],
    )  # fmt: skip


def test_a_delivery_verifies_with_other_peoples_libraries_under_the_new_and_the_old_secret() -> None:
    new, old = new_secret(), new_secret()
    with receivers(1) as [there]:
        outcome = deliver(parcel(there.url, new, old), 0)
    assert outcome.delivered
    assert (outcome.entry["status"], outcome.entry["response"]) == (200, "ok")
    got = there.got[0]
    for secret in (new, old):
        told = standardwebhooks.Webhook(secret).verify(got.body, got.headers)
        svix.webhooks.Webhook(secret).verify(got.body, got.headers)  # raises where it does not fit
    assert (told["type"], told["data"]["number"], told["data"]["text"]) == ("job.succeeded", 7, "Zürich ✓")
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new_secret()).verify(got.body, got.headers)


@pytest.mark.parametrize(("behaviour", "error"), [
    ("close", "unreachable"), ("hang", "too_slow"), ((302, {"location": "http://127.0.0.1/"}), "redirects"),
])  # fmt: skip
def test_a_receiver_that_closes_early_hangs_or_redirects_has_failed(behaviour: object, error: str) -> None:
    with receivers(1) as [there]:
        there.behave = lambda _: behaviour
        outcome = deliver(parcel(there.url), 0)
    assert not outcome.delivered
    assert outcome.again_after is not None
    assert error in outcome.entry["error"]
    assert outcome.entry["milliseconds"] < 2000
    assert len(there.got) == 1


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:9/", "http://localhost/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1/",
])  # fmt: skip
def test_a_private_address_is_refused_when_it_is_sent_to(url: str) -> None:
    outcome = deliver(parcel(url), 0)
    assert not outcome.delivered
    assert outcome.entry["error"].startswith("refused_address")


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_any_length_is_read_no_further_than_64_kib(status: int) -> None:
    """Its status counts all the same: that has arrived."""
    body = b"y" * 200_000_000
    with receivers(1, WEBHOOK_TIMEOUT_SECONDS="20") as [there]:
        there.behave = lambda _: (status, {}, body)
        outcome = deliver(parcel(there.url), 0)
    assert outcome.delivered is (status == 200)
    assert outcome.entry["status"] == status
    assert there.sent < 20_000_000, "more was read than the systems between keep by themselves"
    assert outcome.entry["response"] in {"", "y" * EXCERPT_CHARACTERS}
    assert "too_large" in (outcome.entry["error"] or "")


def test_the_beginning_of_an_answer_is_kept_and_no_more_of_it() -> None:
    with receivers(1) as [there]:
        there.behave = lambda _: (500, {}, b"z" * 60_000)
        outcome = deliver(parcel(there.url), 0)
    assert (outcome.entry["response"], outcome.entry["error"]) == ("z" * EXCERPT_CHARACTERS, None)


def test_headers_of_any_length_end_at_a_limit_as_well() -> None:
    with receivers(1) as [there]:
        there.behave = lambda _: (200, {"x": "y" * 1_000_000})
        outcome = deliver(parcel(there.url), 0)
    assert not outcome.delivered
    assert outcome.entry["status"] is None


def test_the_schedule_reaches_over_three_days_with_jitter_and_then_ends() -> None:
    pauses = [pause_after(attempts) for attempts in range(len(SCHEDULE))]
    assert all(p is not None and abs(p - s) <= 0.1 * s + 1e-6 for p, s in zip(pauses, SCHEDULE, strict=True))
    assert 3 * 86400 < sum(SCHEDULE) < 3.3 * 86400
    assert len({pause_after(8) for _ in range(20)}) > 1
    assert pause_after(len(SCHEDULE)) is None
    assert [queue_pause(n, None) for n in (1, 3, 50)] == [1.0, 4.0, 60.0]


def test_a_busy_receiver_says_when_to_come_again_and_only_within_a_day() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after_seconds(429, {"retry-after": "7"}) == 7
    assert retry_after_seconds(503, {"retry-after": later}) == pytest.approx(90, abs=3)
    assert retry_after_seconds(503, {"retry-after": "9" * 30}) == 86400
    assert retry_after_seconds(500, {"retry-after": "7"}) is None
    assert retry_after_seconds(429, {"retry-after": "soon"}) is None
    assert pause_after(0, 600.0) == 600
