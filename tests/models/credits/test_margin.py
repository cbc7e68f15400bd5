"""Revenue against cost, with numbers computed by hand."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from common.errors import InvalidInput
from models.catalogue.entries import Offer
from models.credits.margin import MAX_SPAN, MarginRow, margin
from models.db import transaction
from models.jobs import ending, steps, submit
from models.jobs.admission import Accepted, Order
from models.jobs.ending import AttemptEnd, Ending
from tests.support import account, claimed, model

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
FREE, PRO = 125_000, 58_000  # what a credit is worth, in micro-dollars


def ordered(account_id: UUID, offer: Offer, at: datetime) -> UUID:
    """A job that was ordered at a moment."""
    late = UUID(int=int(at.timestamp() * 1000) << 80 | (uuid7().int & ((1 << 80) - 1)))
    with transaction() as conn:
        answer = submit.submit(conn, [Order(late, account_id, offer, offer.checked({}))], wait=True)[0]
    assert isinstance(answer, Accepted)
    return answer.job_id


def tried(job_id: UUID, last: Ending | None, *ends: AttemptEnd) -> None:
    """Try a job: each attempt but the last is put back; the last ends the job, or stays under way."""
    for end in ends:
        held = claimed(job_id)
        assert held.live is not None
        assert held.live.number == end.number
        with transaction() as conn:
            if end is ends[-1]:
                if last:
                    final = Ending(last.ended, cost_credits=last.cost_credits, error_code=last.error_code, attempt=end)
                    assert ending.end(conn, held.account_id, job_id, final, token=held.token)
            else:
                assert ending.put_back(
                    conn, held.account_id, job_id, token=held.token, after_seconds=0, reason="r", attempt=end,
                    spends_attempt=True,
                )  # fmt: skip
                steps.requeue_due(conn, held.account_id)
                ending.dispatch(conn, held.account_id)


def done(number: int, cost: int | None) -> AttemptEnd:
    return AttemptEnd(number, "done", charged=bool(cost), cost_usd_micros=cost)


def a_month() -> None:
    """On the free plan 5 jobs of two models on two days, on the pro plan one."""
    free, pro = account(amount=100), account(amount=100, plan="pro")
    cheap, dear = model("cheap", price={"credits": 2}), model("dear", price={"credits": 7})
    first = datetime(2026, 3, 5, 23, 59, 59, 999_000, tzinfo=UTC)
    second = first + timedelta(milliseconds=1)
    # 2 credits; 1,000 and 4,000 for a failed attempt that was charged
    tried(
        ordered(free, cheap, first),
        Ending("succeeded", cost_credits=2),
        AttemptEnd(1, "failed", "bad", charged=True, cost_usd_micros=4_000),
        done(2, 1_000),
    )
    tried(ordered(free, cheap, second), Ending("succeeded", cost_credits=2), done(1, None))  # cost unknown
    # Refunded: an attempt that cost nothing, then one that was given up and cost 9,000
    tried(
        ordered(free, dear, second),
        Ending("failed", error_code="x"),
        AttemptEnd(1, "failed", "http_500", charged=False),
        AttemptEnd(2, "abandoned", "outcome_unknown", cost_usd_micros=9_000),
    )
    tried(ordered(free, dear, second), Ending("failed", error_code="x"), AttemptEnd(1, "abandoned", "outcome_unknown"))
    living = ordered(free, dear, second)
    tried(living, None, done(1, None))  # still under way: its cost is not yet unknown
    tried(ordered(pro, dear, second), Ending("succeeded", cost_credits=9), done(1, 300_000))  # 7 of 9; the rest is ours
    tried(ordered(free, cheap, SINCE - timedelta(milliseconds=1)), Ending("succeeded", cost_credits=2), done(1, 5))
    tried(ordered(free, cheap, UNTIL), Ending("succeeded", cost_credits=2), done(1, 5))


@pytest.mark.usefixtures("database")
def test_margins_are_those_computed_by_hand() -> None:
    a_month()
    fifth, sixth = date(2026, 3, 5), date(2026, 3, 6)
    by_all = [
        #         model    plan    day    jobs ok tries credits overrun revenue cost unknown
        MarginRow("cheap", "free", fifth, 1, 1, 2, 2, 0, 2 * FREE, 5_000, 0),
        MarginRow("cheap", "free", sixth, 1, 1, 1, 2, 0, 2 * FREE, 0, 1),
        MarginRow("dear", "free", sixth, 3, 0, 4, 0, 0, 0, 9_000, 1),
        MarginRow("dear", "pro", sixth, 1, 1, 1, 7, 2, 7 * PRO, 300_000, 0),
    ]
    with transaction() as conn:
        assert margin(conn, since=SINCE, until=UNTIL) == by_all
        assert margin(conn, since=SINCE, until=UNTIL, by=["plan"]) == [
            MarginRow(None, "free", None, 5, 2, 7, 4, 0, 500_000, 14_000, 2),
            MarginRow(None, "pro", None, 1, 1, 1, 7, 2, 406_000, 300_000, 0),
        ]
        assert [row[:4] for row in margin(conn, since=SINCE, until=UNTIL, by=["day", "model"])] == [
            ("cheap", None, fifth, 1), ("cheap", None, sixth, 1), ("dear", None, sixth, 4),
        ]  # fmt: skip
        total = margin(conn, since=SINCE, until=UNTIL, by=())
        assert total == [MarginRow(None, None, None, 6, 3, 8, 11, 2, 906_000, 314_000, 2)]
        assert total[0].margin_usd_micros == 592_000
        assert round(total[0].margin_percent or 0, 3) == 65.342
        assert by_all[2].margin_percent is None
        assert margin(conn, since=UNTIL + timedelta(days=1), until=UNTIL + timedelta(days=2)) == []


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("since", "until", "by", "param"), [
    (SINCE, SINCE, (), "since"),
    (SINCE, SINCE + MAX_SPAN + timedelta(seconds=1), (), "since"),
    (SINCE, UNTIL, ("model", "account; drop"), "by"),
])  # fmt: skip
def test_what_cannot_be_reported_is_refused(since: datetime, until: datetime, by: tuple[str, ...], param: str) -> None:
    with transaction() as conn, pytest.raises(InvalidInput) as caught:
        margin(conn, since=since, until=until, by=by)
    assert caught.value.param == param
