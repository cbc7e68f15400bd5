"""What people wrote goes PROMPT_DAYS after a job's end, and what they see of it JOB_DAYS after; the books stay exact."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from common.errors import InputErased, JobForgotten, NotFound
from models.access.audit_log import By
from models.credits import ledger, margin, revoking
from models.db import snapshot, transaction
from models.events import endpoints, events
from models.files import keeping
from models.gallery import items
from models.gallery.items import WantedItems
from models.jobs import batch_rows, batches, reads
from models.jobs.batches import Line
from models.jobs.cancel import cancel
from models.jobs.ending import AttemptEnd, Ending, end
from models.operations import finding, forgetting
from models.operations.finding import JobFilter
from models.operations.job_acts import Why, retry_job
from models.operations.story import story
from models.playground import sessions
from models.playground.sessions import NewSession
from models.usage.entries import add_up
from scheduler.duties import results, retention
from tests.conftest import environment
from tests.models.gallery.things import indexed, result
from tests.models.hands import change, later
from tests.models.jobs.standing import begun, parked_job
from tests.support import (
    account,
    assert_books_are_clean,
    balance,
    claimed,
    model,
    one,
    order,
    place,
    placed,
    rows,
)

pytestmark = pytest.mark.usefixtures("database")

SECRET = "a heron that nobody else may read of"
DAYS = {"PROMPT_DAYS": "7", "JOB_DAYS": "31"}


@contextmanager
def days_later(days: float) -> Iterator[None]:
    with later(days * 24), environment(DAYS):
        yield


@pytest.fixture(autouse=True)
def turns(database: str) -> None:
    """The rows of the duties, which a turn makes."""
    with transaction() as conn:
        conn.execute(
            "insert into duties (name, next_at) values ('erase_prompts', app_now()), ('forget_jobs', app_now()), ('index_results', app_now())"
        )


def of_result(item_id: UUID) -> UUID:
    found: UUID = one("select job_id from assets where id = %s", item_id)[0]
    return found


def failed(who: UUID, **fields: Any) -> UUID:
    """A job whose failure quotes what was asked."""
    job_id = placed(who, model(price={"credits": 3}), {"prompt": SECRET}, **fields)
    claim = claimed(job_id)
    words = f"cannot draw {SECRET!r}"
    with transaction() as conn:
        attempt = AttemptEnd(1, "failed", "bad_input", words, charged=True, cost_usd_micros=12, usage={"tokens_in": 5})
        assert end(
            conn, who, job_id, Ending("failed", error_code="invalid_input", error_message=words, attempt=attempt), token=claim.token
        )  # fmt: skip
    return job_id


def everything() -> str:
    """All that the tables of jobs and of what is told of them hold, as text."""
    tables = ("jobs", "attempts", "events", "deliveries", "kept_texts", "gallery_items", "provider_callbacks")
    return "\n".join(str(row) for table in tables for row in rows(f"select to_jsonb(t)::text from {table} t"))


def purged() -> None:
    """Results whose time has passed are swept, and their objects gone."""
    while results.expire_results(100):
        pass
    change("update assets set purged_at = app_now() where status <> 'stored'")


def erase() -> int:
    return sum(iter(lambda: retention.erase_prompts(10), 0))


def forget() -> int:
    with transaction() as conn:
        while add_up(conn, 1000):
            pass
    return sum(iter(lambda: retention.forget_jobs(10), 0))


def test_nothing_is_forgotten_unless_it_is_asked_for() -> None:
    failed(account(amount=9))
    with later(24 * 4000):
        assert (retention.erase_prompts(10), retention.forget_jobs(10)) == (0, 0)
    assert SECRET in everything()


def test_what_people_wrote_goes_with_the_errors_that_quote_it_and_the_job_stays_and_says_so() -> None:
    who = account(amount=9)
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", [])
    job_id = failed(who, labels={"customer": "acme"}, webhook=endpoints.for_job(who, "https://example.com/own", None))
    assert everything().count("cannot draw") == 5  # the job, its attempt, an event and two deliveries
    with days_later(6.9):
        assert erase() == 0
    with days_later(7.1):
        assert erase() == 1
        assert erase() == 0
        assert SECRET not in everything()
        with transaction() as conn:
            row = reads.jobs_by_id(conn, [job_id])[job_id]
            listed = reads.list_jobs(conn, who)
        assert [each.id for each in listed] == [job_id]
        assert (row.input, row.error_code, row.error_message, row.labels) == (
            {}, "invalid_input", None, {"customer": "acme"},
        )  # fmt: skip
        assert row.input_erased_at is not None
        with snapshot() as conn:
            told = story(conn, job_id)
        assert (told.job.error_code, told.attempts[0].error_code, len(told.deliveries)) == (
            "invalid_input",
            "bad_input",
            3,
        )
        with pytest.raises(InputErased), transaction() as conn:
            retry_job(conn, Why(By("tester"), "because"), job_id)
        assert_books_are_clean()


def test_texts_that_nobody_keeps_expire_with_their_prompts_and_pictures_do_not() -> None:
    who = account(amount=9)
    text, picture, kept = (result(who, SECRET, media=media) for media in ("text/plain", "image/png", "text/plain"))
    change("update assets set expires_at = expires_at + interval '900 days'")
    with transaction() as conn:
        keeping.keep(conn, who, of_result(kept), 0)
    with days_later(8):
        assert erase() == 3
        assert rows("select id from assets where expires_at <= app_now()") == [(text,)]
        assert [row[0] for row in rows("select id from jobs where input_erased_at is null")] == [of_result(kept)]
        results.expire_results(10)
        assert_books_are_clean()
    with transaction() as conn:
        keeping.let_go(conn, who, of_result(kept), 0)
    with days_later(8):
        assert erase() == 0  # it is looked at again a day later
    with days_later(9.1):
        assert erase() == 1
    assert SECRET not in everything()
    assert one("select status from assets where id = %s", picture) == ("stored",)


def test_a_job_that_lives_is_passed_over_and_found_again_once_it_has_ended() -> None:
    queued, parked = placed(account(amount=5), model(), {"prompt": SECRET}), parked_job(begun()).job_id
    with days_later(40):
        assert (erase(), forget()) == (2, 2)
        assert rows("select 1 from jobs where input_erased_at is not null or past_account_id is not null") == []
        with transaction() as conn:
            assert cancel(conn, queued).ended
    with days_later(47.5):  # its end, and not its beginning, is what counts
        assert (erase(), forget()) == (2, 2)
        assert rows("select id from jobs where input_erased_at is not null") == [(queued,)]
    with days_later(80):
        assert (erase(), forget()) == (1, 2)
        assert rows("select id from jobs where past_account_id is not null") == [(queued,)]
        assert one("select status from job_runs where job_id = %s", parked) == ("reconciling",)
        assert_books_are_clean()


def test_an_item_of_the_gallery_stays_and_nobody_finds_it_by_its_prompt_any_more() -> None:
    who = account(amount=9)
    item = result(who, SECRET)
    change("update assets set expires_at = expires_at + interval '900 days'")
    indexed(item)
    with transaction() as conn:
        items.change(conn, who, item, "image", {"title": "Mine", "public": True})
    with days_later(8):
        assert erase() == 1
        with transaction() as conn:
            found = items.list_items(conn, who, WantedItems("image"))
        assert [(each.id, each.title, each.prompt, each.public) for each in found] == [(item, "Mine", None, True)]
        assert one("select words::text from gallery_items") == (f"'={who.hex}'",)
        assert forget() == 0


def test_a_saved_session_keeps_its_prompt_until_it_is_deleted() -> None:
    who = account(amount=9)
    job_id = of_result(result(who, SECRET, media="text/plain"))
    with transaction() as conn:
        session, _ = sessions.create(conn, who, job_id, SECRET, NewSession())
    with days_later(40):
        purged()
        assert (erase(), forget()) == (1, 1)
        assert one("select input->>'prompt', past_account_id from jobs") == (SECRET, None)
        with transaction() as conn:
            sessions.delete(conn, who, session)
    with days_later(42):
        assert (erase(), forget()) == (1, 1)
        assert SECRET not in everything()
        assert one("select past_account_id from jobs") == (who,)


def forgotten_things(who: UUID) -> tuple[UUID, UUID]:
    """A job that failed and one that brought two pictures."""
    return failed(who), of_result(result(who, SECRET, count=2))


def test_a_forgotten_job_is_nobodys_and_the_books_and_reports_say_what_they_said() -> None:
    who, other = account(amount=50), account(amount=50)
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", [])
    lost, made = forgotten_things(who)
    theirs = failed(other)
    since, until = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    with transaction() as conn:
        before = margin.margin(conn, since=since, until=until)
    change("update deliveries set status = 'delivered', next_at = null, delivered_at = app_now()")
    with days_later(32):
        purged()
        assert forget() == 3
        assert_books_are_clean()
        assert (
            rows("select 1 from attempts")
            == rows("select 1 from assets")
            == rows("select 1 from deliveries where job_id is not null")
            == []
        )
        assert SECRET not in everything()
        with transaction() as conn:
            assert reads.jobs_by_id(conn, [lost, made]) == {}
            assert reads.list_jobs(conn, who) == reads.list_jobs(conn, None) == []
            assert (
                finding.find_jobs(conn, JobFilter())[0] == finding.find_jobs(conn, JobFilter(account_id=who))[0] == []
            )
            page = events.after(conn, [(who, 0)], 100)[0]
        assert [(each.job_id, each.data) for each in page.events if each.type.startswith("job.")] == [(None, {})] * 6
        for act in (
            lambda conn: cancel(conn, made, account_id=who),
            lambda conn: cancel(conn, made),
            lambda conn: keeping.delete(conn, who, made),
            lambda conn: keeping.owner(conn, made),
            lambda conn: story(conn, made),
            lambda conn: retry_job(conn, Why(By("tester"), "because"), lost),
        ):
            with pytest.raises(JobForgotten, match="not kept any more"), transaction() as conn:
                act(conn)
        for act in (lambda conn: cancel(conn, made, account_id=other), lambda conn: keeping.delete(conn, other, made)):
            with pytest.raises(NotFound), transaction() as conn:
                act(conn)
        with transaction() as conn:
            assert margin.margin(conn, since=since, until=until) == before
    assert set(rows("select id, past_account_id from jobs where account_id is null")) == {
        (lost, who),
        (made, who),
        (theirs, other),
    }


def test_what_a_forgotten_job_spent_of_a_grant_is_still_owed_when_that_is_taken_back() -> None:
    who = account()
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=10, ref="lent")
    job_id = placed(who, model(price={"credits": 4}))
    claim = claimed(job_id)
    with transaction() as conn:
        end(conn, who, job_id, Ending("succeeded", cost_credits=4), token=claim.token)
    with days_later(32):
        assert forget() == 1
        with transaction() as conn:
            assert revoking.revoke(conn, one("select id from grants")[0]) == 4
        assert_books_are_clean()
    assert balance(who) == (0, 0)


def test_a_job_with_a_result_in_the_bucket_or_an_unread_usage_entry_is_not_forgotten() -> None:
    who = account(amount=9)
    job_id = of_result(result(who))
    with days_later(32):
        assert forget() == 1
        assert one("select account_id from jobs where id = %s", job_id) == (who,)
        purged()
        change("insert into usage_entries (account_id, job_id) values (%s, %s)", who, job_id)
        change("update passed_over set look_again_at = app_now()")
        assert retention.forget_jobs(10) == 1
        assert one("select account_id from jobs where id = %s", job_id) == (who,)
        change("delete from usage_entries")
        change("update passed_over set look_again_at = app_now()")
        assert retention.forget_jobs(10) == 1
        assert one("select account_id from jobs where id = %s", job_id) == (None,)
        assert rows("select 1 from passed_over") == []


def test_a_batchs_lines_still_say_what_became_of_forgotten_jobs() -> None:
    who, offer = account(amount=9), model()
    lines = [Line(number, f"c{number}", order(who, offer)) for number in (1, 2)]
    with transaction() as conn:
        batches.place(conn, who, lines, all_or_none=True)
    for (job_id,) in rows("select job_id from batch_orders order by number"):
        claim = claimed(job_id)
        with transaction() as conn:
            end(conn, who, job_id, Ending("succeeded", cost_credits=1), token=claim.token)
    with days_later(32):
        assert forget() == 2
        (batch_id,) = one("select id from batches")
        with transaction() as conn:
            found = batch_rows.lines_after(conn, batch_id, 0, 10)
        assert [(each.custom_id, each.ended, each.charged_credits, each.assets) for each in found] == [
            ("c1", "succeeded", 1, []), ("c2", "succeeded", 1, []),
        ]  # fmt: skip
        assert_books_are_clean()


def test_a_retried_job_is_forgotten_and_what_was_ordered_anew_still_names_it() -> None:
    who = account(amount=9)
    first = failed(who)
    with days_later(31.5):
        again = place(order(who, model(price={"credits": 3}), retry_of=first))[0]
        assert forget() == 2  # what was ordered anew lives
        with transaction() as conn:
            assert [(each.id, each.retry_of) for each in reads.list_jobs(conn, who)] == [(again.job_id, first)]
        assert_books_are_clean()


def test_turns_are_bounded_and_a_kill_undoes_a_whole_batch() -> None:
    who = account(amount=50)
    for _ in range(5):
        failed(who)
    with days_later(40):
        with pytest.raises(KeyboardInterrupt), transaction() as conn:
            assert forgetting.erase_prompts(conn, 7, 3) == 3
            raise KeyboardInterrupt
        assert rows("select 1 from jobs where input_erased_at is not null") == []
        assert [retention.erase_prompts(3) for _ in range(3)] == [3, 2, 0]
        assert rows("select 1 from jobs where input_erased_at is null") == []


@pytest.mark.parametrize(
    "change_it",
    [
        "update jobs set charged_credits = 1",
        "update jobs set input = '{}'",
        "update jobs set input_erased_at = app_now()",
        "update jobs set input = '{}', error_message = null, input_erased_at = app_now(), ended = 'canceled', error_code = null",
        "update jobs set account_id = null, past_account_id = account_id",
        "update jobs set input = '{}', error_message = null, webhook = null, input_erased_at = app_now(), account_id = null, remains = '{}', past_account_id = gen_random_uuid()",
    ],
)
def test_an_ended_job_changes_in_no_other_way(change_it: str) -> None:
    failed(account(amount=9))
    with pytest.raises(psycopg.errors.RestrictViolation), transaction() as conn:
        conn.execute(change_it)


def test_a_forgotten_job_never_comes_back() -> None:
    failed(account(amount=9))
    with days_later(40):
        assert forget() == 1
        with pytest.raises(psycopg.errors.RestrictViolation), transaction() as conn:
            conn.execute("update jobs set account_id = past_account_id, past_account_id = null, remains = null")
