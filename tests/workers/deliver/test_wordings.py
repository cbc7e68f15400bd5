"""Deliveries in the words of a dialect: what a job's own address is told, as it was at the event, and what proves it."""

import time
from typing import Any
from uuid import UUID

import orjson
import pytest
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from common.dialects.told import ToldJob
from models.accounts import accounts
from models.db import transaction
from models.events import endpoints
from models.events.kinds import JOB_EVENTS
from models.events.sending import Parcel
from models.jobs import cancel
from tests.receivers import Got, Receiver, receivers, sending
from tests.support import account, eventually, model, one, order, place
from workers.deliver import wordings
from workers.deliver.wordings import DialectWording

pytestmark = pytest.mark.usefixtures("database")


def ordered(who: UUID, there: Receiver, dialect: str | None, events: tuple[str, ...] = JOB_EVENTS) -> UUID:
    """A job whose address is there, and which was called off."""
    kept = endpoints.for_job(who, there.url, events, dialect=dialect)
    made = order(who, model(), {"prompt": "a harbour"}, webhook=kept)
    place(made)
    with transaction() as conn:
        cancel.cancel(conn, made.job_id)
    return made.job_id


def told(there: Receiver, count: int) -> list[Got]:
    with sending():
        eventually(lambda: len(there.got) >= count, what="the deliveries")
    return there.got


def test_a_prediction_is_told_whole_as_it_was_and_proved_as_its_library_asks() -> None:
    with receivers(1) as [there]:
        who = account(amount=5)
        job_id = ordered(who, there, "replicate")
        start, over = told(there, 2)
        with transaction() as conn:
            secret = WebhookSigningSecret(key=endpoints.default_secrets(conn, who)[0])
    for each in (start, over):
        assert {each.told["id"], each.told["input"]["prompt"]} == {str(job_id), "a harbour"}
        Webhooks.validate(headers=each.headers, body=each.body.decode(), secret=secret, tolerance=300)
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(headers=each.headers, body=each.body.decode() + " ", secret=secret)
    assert [each.told["status"] for each in (start, over)] == ["starting", "canceled"]
    assert (start.told["completed_at"], over.told["completed_at"] is None) == (None, False)


def test_it_says_the_same_in_each_attempt() -> None:
    with receivers(1) as [there]:
        there.behave = lambda got: 500 if len(there.got) < 3 else 200
        ordered(account(amount=5), there, "replicate", ("job.canceled",))
        got = told(there, 3)
    assert len({each.body for each in got}) == len({each.id for each in got}) == 1


def test_other_addresses_and_jobs_are_told_in_our_own_words() -> None:
    with receivers(2) as [own, endpoint]:
        who = account(amount=5)
        with transaction() as conn:
            endpoints.create(conn, who, endpoint.url, ["job.canceled"])
        ordered(who, own, None, ("job.canceled",))
        ordered(who, own, "replicate", ("job.canceled",))
        ordered(who, own, "a dialect of the release after", ("job.canceled",))
        told(own, 3)
        told(endpoint, 3)
    assert {each.told["type"] for each in endpoint.got} == {"job.canceled"}
    assert sorted(each.told.get("type", "") for each in own.got) == ["", "job.canceled", "job.canceled"]


def test_a_dialect_may_have_headers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(job: ToldJob, event: str) -> Any:
        return {"job": str(job.id), "event": event}

    def signed(parcel: Parcel, body: bytes, timestamp: int) -> dict[str, str]:
        return {"x-its-own": f"{parcel.account_id} {len(body)} {abs(timestamp - time.time()) < 60}"}

    monkeypatch.setitem(wordings.WORDINGS, "other", DialectWording(said, signed))
    with receivers(1) as [there]:
        who = account(amount=5)
        job_id = ordered(who, there, "other", ("job.canceled",))
        [got] = told(there, 1)
    assert got.told == {"job": str(job_id), "event": "job.canceled"}
    assert got.headers["x-its-own"] == f"{who} {len(got.body)} True"
    assert got.headers["webhook-signature"].startswith("v1,")


def test_what_a_dialect_cannot_say_counts_as_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_job: ToldJob, _event: str) -> Any:
        raise ValueError("a fault of ours")

    monkeypatch.setitem(wordings.WORDINGS, "broken", DialectWording(broken))
    with receivers(1, WEBHOOK_RETRY_SCALE="0.0000001") as [there]:
        ordered(account(amount=5), there, "broken", ("job.canceled",))
        with sending():
            eventually(lambda: one("select status from deliveries") == ("failed",), what="the end of its attempts")
    assert there.got == []
    assert orjson.dumps(one("select log from deliveries")[0]).count(b"internal_error") >= 10


def test_an_address_is_kept_as_before_where_no_dialect_is_meant() -> None:
    with transaction() as conn:
        who, _ = accounts.open_account(conn, issuer="t", subject="s", default_plan="starter")
    kept = endpoints.for_job(who, "https://example.com/x", None)
    assert "dialect" not in kept
    assert endpoints.for_job_again(who, kept) == kept
    assert endpoints.for_job_again(who, None) is None
    in_words = endpoints.for_job(who, "https://example.com/x", None, dialect="replicate")
    assert endpoints.for_job_again(who, in_words) == in_words
