"""Facts need no lease and make void what was decided without them; decisions name their token (DESIGN section 12)."""

import pytest

from models.db import transaction
from models.jobs import ending, facts, steps
from models.jobs.ending import AttemptEnd, Ending, Unread
from models.jobs.facts import NOWHERE, FactResult
from models.jobs.steps import Claim
from scheduler.duties import jobs
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed

pytestmark = pytest.mark.usefixtures("database")

ADDRESSES = {"outputs": [{"address": "http://far/1.png", "media_type": None}], "usage": {}, "cost_usd_micros": 7}


def lose(claim: Claim) -> Claim:
    """The claim's lease lapses, and another worker takes the job over."""
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() - interval '1 s'")
    assert jobs.rescue(10)
    return claimed(claim.job_id, "another")


def begun() -> Claim:
    return claimed(placed(account(amount=9), model()))


def tell(what: str, claim: Claim) -> FactResult:
    with transaction() as conn:
        match what:
            case "accepted":
                return facts.accept(conn, claim, 1, provider_job_id="p", after_seconds=60, progress=None)
            case "delivered":
                return facts.deliver(conn, claim, 1, delivered=ADDRESSES, usage={"tokens": 3}, cost_usd_micros=7)
            case "failed":
                end = AttemptEnd(1, "failed", "broken", "it broke", charged=True, cost_usd_micros=7)
                return facts.fail(conn, claim, end, next_route=0, spends_attempt=True)
    raise ValueError(what)


FACTS = ("accepted", "delivered", "failed")


@pytest.mark.parametrize("what", FACTS)
def test_a_late_fact_takes_the_job_from_whoever_decides_on_less(what: str) -> None:
    first = begun()
    holder = lose(first)
    with transaction() as conn:
        conn.execute("update job_runs set rescues = 4")
    assert tell(what, first) is FactResult.LATE
    row = one("select token, lease_owner, rescues, wake_at <= app_now(), status from job_runs")
    assert row == (holder.token + 1, None, 0, True, "running")
    assert one("select phase from attempts") == (what,)
    with transaction() as conn:
        assert not steps.wait_unknown(conn, holder, 1, after_seconds=1, reason="no answer")
        assert not steps.wait(conn, holder, after_seconds=1, reason=None)
        given_up = Ending("failed", error_code="outcome_unknown", attempt=AttemptEnd(1, "abandoned"))
        assert ending.end_blindly(conn, holder.account_id, holder.job_id, given_up, token=holder.token) is None
    assert one("select phase from attempts") == (what,)
    assert_books_are_clean()


@pytest.mark.parametrize("what", FACTS)
def test_a_fact_may_be_written_again_by_whoever_did_not_hear_that_it_was(what: str) -> None:
    first = begun()
    assert tell(what, first) is FactResult.MINE
    token = one("select token from job_runs")
    assert tell(what, first) is (FactResult.MINE if what == "delivered" else FactResult.OLD)
    assert one("select token from job_runs") == token
    assert one("select phase from attempts") == (what,)


@pytest.mark.parametrize("what", FACTS)
def test_a_word_on_an_attempt_that_is_over_only_books_its_cost(what: str) -> None:
    first = begun()
    with transaction() as conn:
        put_back = AttemptEnd(1, "failed", "limited", "no room")
        ending.put_back(
            conn, first.account_id, first.job_id, token=first.token, after_seconds=0, reason="x", attempt=put_back,
            spends_attempt=False,
        )  # fmt: skip
    assert jobs.retry_due(10)
    second = claimed(first.job_id)
    assert second.live is not None
    assert second.live.number == 2
    assert tell(what, first) is FactResult.OLD
    with transaction() as conn:
        assert steps.extend(conn, [(second.job_id, second.token, second.owner)]) != {}, (
            "the second attempt's claim holds"
        )
    cost = 7 if what == "delivered" else None
    assert one("select phase, cost_usd_micros from attempts where number = 1") == ("failed", cost)


def test_what_is_known_is_never_overwritten_by_what_is_not() -> None:
    claim = begun()
    assert tell("delivered", claim) is FactResult.MINE
    with transaction() as conn:
        steps.wait_unknown(conn, claim, 1, after_seconds=1, reason="no answer")
    assert one("select phase, delivered is not null from attempts") == ("delivered", True)


def test_an_id_that_cannot_be_asked_about_just_now_is_still_known() -> None:
    first = begun()
    assert tell("accepted", first) is FactResult.MINE
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now()")
    again = claimed(first.job_id)
    with transaction() as conn:
        steps.wait_unknown(conn, again, 1, after_seconds=1, reason="no answer")
    assert one("select phase, provider_job_id from attempts") == ("accepted", "p")


@pytest.mark.parametrize("late", [False, True])
def test_a_result_is_not_made_an_id_again_by_what_was_heard_before_it(late: bool) -> None:
    first = begun()
    assert tell("delivered", first) is FactResult.MINE
    if late:
        lose(first)
    before = one("select token, lease_owner from job_runs")
    assert tell("accepted", first) is FactResult.OLD
    assert one("select phase, provider_job_id, delivered is not null from attempts") == ("delivered", None, True)
    assert one("select token, lease_owner from job_runs") == before


@pytest.mark.parametrize("known", ["called back", "delivered"])
def test_a_job_does_not_end_for_want_of_an_answer_that_lies_there(known: str) -> None:
    claim = begun()
    with transaction() as conn:
        if known == "delivered":
            conn.execute("update attempts set phase = 'delivered', delivered = '{}', delivered_at = app_now()")
        else:
            conn.execute("update job_runs set called_back = true")
    given_up = Ending("failed", error_code="outcome_unknown", attempt=AttemptEnd(1, "abandoned"))
    with transaction() as conn:
        done = ending.end_blindly(conn, claim.account_id, claim.job_id, given_up, token=claim.token)
    assert isinstance(done, Unread)
    assert one("select lease_owner, wake_at <= app_now() from job_runs") == (None, True)
    assert_books_are_clean()


def test_a_late_failure_that_nothing_would_mend_ends_the_job_with_its_words() -> None:
    first = begun()
    lose(first)
    end = AttemptEnd(1, "failed", "moderated", "not this", charged=False)
    with transaction() as conn:
        assert facts.fail(conn, first, end, next_route=NOWHERE, spends_attempt=True) is FactResult.LATE
    third = claimed(first.job_id)
    assert (third.begins, third.live) == (False, None)
    with transaction() as conn:
        assert steps.last_error(conn, first.job_id) == ("moderated", "not this")


def test_no_attempt_begins_past_the_last_one() -> None:
    first = claimed(placed(account(amount=9), model(max_attempts=1)))
    lose(first)
    assert tell("failed", first) is FactResult.LATE
    assert not claimed(first.job_id).begins


def test_a_call_that_was_not_made_after_the_lease_was_lost_is_told_apart_from_one_that_was() -> None:
    first = begun()
    holder = lose(first)
    assert holder.live is not None
    assert not holder.begins, "the other worker must ask what became of the call"
    with transaction() as conn:
        assert facts.never_called(conn, first, 1, 0) is FactResult.LATE
    again = claimed(first.job_id)
    assert (again.begins, again.attempts_spent) == (True, 1)


def test_a_claim_is_given_back_by_its_own_name_only_and_its_attempt_was_none() -> None:
    who = account(amount=9)
    job_id = placed(who, model())
    claimed(job_id, "worker#1")
    with transaction() as conn:
        assert steps.give_back(conn, job_id, "worker#2") is None
        ring = steps.give_back(conn, job_id, "worker#1")
    assert ring is not None
    assert one("select attempts, attempts_spent, deadline_at, lease_owner from job_runs") == (0, 0, None, None)
    assert one("select count(*) from attempts") == (0,)
    again = claimed(job_id, "worker#3")
    assert again.live is not None
    assert again.live.number == 1
    assert_books_are_clean()


def test_the_time_limit_begins_with_the_first_call_and_not_in_front_of_a_full_provider() -> None:
    job_id = placed(account(amount=9), model(timeout_seconds=60))
    claim = claimed(job_id)
    with transaction() as conn:
        ending.put_back(
            conn, claim.account_id, job_id, token=claim.token, after_seconds=0, reason="full", attempt=None,
            spends_attempt=False, held_back=True,
        )  # fmt: skip
    assert one("select deadline_at from job_runs") == (None,)
    with transaction() as conn:
        conn.execute("update job_runs set created_at = created_at - interval '1 day'")
    assert jobs.retry_due(10)
    assert claimed(job_id).begins


@pytest.mark.parametrize("way", ["put back", "wait", "accepted"])
def test_no_pause_goes_past_the_time_limit(way: str) -> None:
    claim = claimed(placed(account(amount=9), model(timeout_seconds=60)))
    day = 86_400.0
    with transaction() as conn:
        if way == "put back":
            ending.put_back(
                conn, claim.account_id, claim.job_id, token=claim.token, after_seconds=day, reason="limited",
                attempt=AttemptEnd(1, "failed", "limited"), spends_attempt=False,
            )  # fmt: skip
        elif way == "wait":
            steps.wait(conn, claim, after_seconds=day, reason=None)
        else:
            facts.accept(conn, claim, 1, provider_job_id="p", after_seconds=day, progress=None)
    assert one("select wake_at <= deadline_at, wake_at > app_now() from job_runs") == (True, True)


def test_new_jobs_are_not_fed_one_by_one_into_a_provider_that_has_no_room() -> None:
    who, offer, other = account(amount=9), model(), model("another")
    with transaction() as conn:
        conn.execute("update plans set slots = 1")
    first, second = placed(who, offer), placed(who, offer)
    elsewhere = placed(who, other)
    claim = claimed(first)
    with transaction() as conn:
        done = ending.put_back(
            conn, who, first, token=claim.token, after_seconds=60, reason="full", attempt=None, spends_attempt=False,
            held_back=True,
        )  # fmt: skip
    assert done is not None
    assert [ring.job_id for ring in done.rings] == [elsewhere], "the second would only meet the same wall"
    another = claimed(elsewhere)
    with transaction() as conn:
        ended = ending.end(
            conn, who, elsewhere, Ending("succeeded", attempt=AttemptEnd(1, "done")), token=another.token
        )
    assert ended is not None
    assert ended.rings == []
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() where job_id = %s", [first])
    assert jobs.retry_due(10)
    claim = claimed(first)
    with transaction() as conn:
        ended = ending.end(conn, who, first, Ending("succeeded", attempt=AttemptEnd(1, "done")), token=claim.token)
    assert ended is not None
    assert [ring.job_id for ring in ended.rings] == [second]
    assert balance(who)[1] == 1
    assert_books_are_clean()


def test_an_attempt_forgets_its_key_and_where_its_result_was_when_it_is_over() -> None:
    claim = begun()
    assert tell("delivered", claim) is FactResult.MINE
    with transaction() as conn:
        conn.execute("update attempts set own_key = 'sealed'")
        ending.end(
            conn, claim.account_id, claim.job_id, Ending("succeeded", attempt=AttemptEnd(1, "done")), token=claim.token
        )
    assert one("select phase, delivered, own_key, cost_usd_micros from attempts") == ("done", None, None, 7)
