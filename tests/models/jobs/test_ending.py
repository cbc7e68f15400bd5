"""An end writes down whatever was measured or reported: no header and no provider's answer can make it fail."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from models.db import single, transaction
from models.files import uploads
from models.files.uploads import NewUpload
from models.jobs import ending
from models.jobs.ending import AttemptEnd, Ending, NewAsset
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")

HUGE = [2**31 - 1, 2**31, 10**12, 2**63 - 1, 2**63, 10**30, 10**400]
NONSENSE: list[Any] = [-1, -(10**30), 0.5, 1e300, float("inf"), float("-inf"), float("nan")]


def asset(index: int = 0, **measured: Any) -> NewAsset:
    return NewAsset(uuid7(), index, f"k/{index}", "audio/wav", measured.pop("size_bytes", 10), b"x" * 32, **measured)


@pytest.mark.parametrize("value", [*HUGE, *NONSENSE], ids=str)
@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "transaction"])
def test_an_end_takes_any_measured_value(value: Any, alone: bool) -> None:
    who, offer = account(amount=9, plan="enterprise"), model(price={"credits": 4})
    job_id = placed(who, offer)
    claim = claimed(job_id)
    assert claim.live is not None
    what = Ending(
        "succeeded",
        cost_credits=value,
        assets=[
            asset(0, width=value, height=value, duration_ms=value, thumbnail_key="t", thumbnail_bytes=value),
            asset(1, size_bytes=value, duration_ms=7),
        ],
        attempt=AttemptEnd(
            claim.live.number, "done", charged=True, cost_usd_micros=value,
            usage={"tokens": value, "tokens_in": 3, "predict_ms": value},
        ),
    )  # fmt: skip
    with single() if alone else transaction() as conn:
        done = ending.end(conn, who, job_id, what, token=claim.token)
    assert done is not None
    assert done.ended == "succeeded"
    charged, reserved = one("select charged_credits, price_credits from jobs")
    assert 0 <= charged <= reserved == 4
    assert balance(who) == (9 - charged, 0)
    first, second = rows("select width, height, duration_ms from assets order by index")
    assert all(0 <= each < 2**31 for each in first)
    assert second == (None, None, 7)
    assert one("select usage->'tokens_in' from attempts") == (3,)
    assert_books_are_clean()


def test_sums_of_the_largest_values_can_still_be_reported() -> None:
    who, offer = account(amount=9), model(price={"credits": 1})
    for _ in range(3):
        job_id = placed(who, offer)
        claim = claimed(job_id)
        assert claim.live is not None
        attempt = AttemptEnd(claim.live.number, "done", charged=True, cost_usd_micros=2**63 - 1)
        with transaction() as conn:
            assert ending.end(
                conn, who, job_id, Ending("succeeded", cost_credits=2**63 - 1, attempt=attempt), token=claim.token
            )
    assert one("select sum(overrun_credits)::bigint > 0 from jobs") == (True,)
    assert one("select sum(cost_usd_micros)::bigint > 0 from attempts") == (True,)


@pytest.mark.parametrize("value", [*HUGE, -1], ids=str)
def test_a_failed_attempt_that_goes_back_into_line_takes_any_cost(value: int) -> None:
    who = account(amount=9)
    job_id = placed(who, model())
    claim = claimed(job_id)
    assert claim.live is not None
    with transaction() as conn:
        done = ending.put_back(
            conn, who, job_id, token=claim.token, after_seconds=0, reason="again", spends_attempt=True,
            attempt=AttemptEnd(claim.live.number, "failed", "x", charged=True, cost_usd_micros=value),
        )  # fmt: skip
    assert done is not None
    assert one("select phase, cost_usd_micros >= 0 from attempts") == ("failed", True)


@pytest.mark.parametrize("value", [*HUGE, -1], ids=str)
def test_an_upload_takes_any_measured_value(value: int) -> None:
    who = account()
    with transaction() as conn:
        made = uploads.create(
            conn, NewUpload(uuid7(), who, "k", "audio/wav", 10, b"x" * 32, value, value, value)
        )  # fmt: skip
    assert made.duration_ms is not None
    assert 0 <= made.duration_ms < 2**31
    assert_books_are_clean()


def test_a_job_and_its_event_tell_a_failure_in_our_words_and_the_attempt_in_the_providers() -> None:
    who, offer = account(amount=9), model(price={"credits": 1})
    job_id = placed(who, offer)
    claim = claimed(job_id)
    assert claim.live is not None
    said = "Incorrect API key provided: sk-ours at http://10.0.0.1"
    attempt = AttemptEnd(claim.live.number, "failed", "unauthorized", said)
    with transaction() as conn:
        ending.end(conn, who, job_id, Ending("failed", error_code="unauthorized", error_message=said, attempt=attempt), token=claim.token)  # fmt: skip
    told = "the provider did not accept the key that it was asked with"
    assert one("select error_code, error_message from jobs") == ("unauthorized", told)
    assert one("select data->'error' from events where type = 'job.failed'") == (
        {"code": "unauthorized", "message": told},
    )
    assert one("select error_code, error_message from attempts") == ("unauthorized", said)
