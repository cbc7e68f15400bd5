"""What becomes of the things of a user who is deleted: a bounded number at a time, until nothing is left."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from models.catalogue import provider_keys
from models.db import transaction
from models.events import endpoints, events
from models.files import uploads
from models.files.uploads import NewUpload
from models.identity import erasure
from models.identity.erasure import GRACE_SECONDS, PendingErasure
from models.jobs import answered
from models.jobs.dispatch import Ring
from models.jobs.ending import Ending, NewAsset, end
from models.playground import sessions
from models.playground.sessions import NewSession
from tests.conftest import environment
from tests.models.hands import change
from tests.models.jobs.standing import accepted, begun
from tests.support import account, assert_books_are_clean, balance, claimed, key_of, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def left(who: UUID) -> list[Ring]:
    with transaction() as conn:
        return erasure.erase_account(conn, who)


def user_of(who: UUID) -> UUID:
    found: UUID = one("select user_id from accounts where id = %s", who)[0]
    return found


def deleted(who: UUID, seconds_ago: float = GRACE_SECONDS + 60) -> None:
    change(
        "update users set deleted_at = app_now() - make_interval(secs => %s) where id = %s", seconds_ago, user_of(who)
    )


def confirmed(who: UUID) -> bool:
    with transaction() as conn:
        return erasure.confirm_erased(conn, user_of(who), who)


def result(who: UUID) -> None:
    """A job that succeeded with one result, which is stored for a day."""
    claim = claimed(placed(who, model()))
    asset = NewAsset(uuid7(), 0, f"results/{claim.job_id}", "text/plain", 6, b"0" * 32)
    with transaction() as conn:
        end(conn, who, claim.job_id, Ending("succeeded", assets=[asset], result_hours=24), token=claim.token)


def upload(who: UUID) -> None:
    digest = uuid7().bytes * 2
    with transaction() as conn:
        uploads.create(conn, NewUpload(uuid7(), who, f"uploads/{uuid7()}", "text/plain", 5, digest, None, None, None))


def expired(table: str) -> list[bool]:
    return sorted(row[0] for row in rows(f"select expires_at <= app_now() from {table}"))


def everything(who: UUID) -> None:
    """One of each thing that an account can have."""
    key_of(who)
    with transaction() as conn:
        conn.execute("insert into providers (name, entry) values ('router', '{}') on conflict do nothing")
        provider_keys.save(conn, who, "router", SecretStr("a key of their own"))
        endpoints.create(conn, who, "https://example.com/hook", [])
        events.add(conn, who, "announcement", {"title": "x", "body": "y"})
        answered.keep(conn, who, "k", b"a" * 32, {"secret": "x"})
    result(who)
    upload(who)


def things(who: UUID) -> tuple[Any, ...]:
    return one(
        """select (select count(*) from api_keys where account_id = a.id and revoked_at is null),
                  (select count(*) from provider_keys where account_id = a.id),
                  (select count(*) from webhook_endpoints where account_id = a.id and enabled), a.has_webhooks,
                  (select count(*) from notifications where account_id = a.id),
                  (select count(*) from answered_requests where account_id = a.id),
                  (select count(*) from assets where account_id = a.id and expires_at > app_now()),
                  (select count(*) from uploads where account_id = a.id and expires_at > app_now())
             from accounts a where id = %s""",
        who,
    )


def test_all_that_opens_doors_or_tells_of_somebody_is_taken_away_and_nothing_of_anybody_else() -> None:
    who, other = account(amount=9), account(amount=9)
    for each in (who, other):
        everything(each)
    ledger = rows("select * from ledger_entries order by id")
    left(who)
    assert things(who) == (0, 0, 0, False, 0, 0, 0, 0)
    assert things(other) == (1, 1, 1, True, 1, 1, 1, 1)
    assert rows("select * from ledger_entries order by id") == ledger
    assert left(who) == [], "again is fine"
    assert_books_are_clean()


def test_files_stay_where_the_deployment_keeps_them() -> None:
    who = account(amount=9)
    everything(who)
    with environment({"ON_USER_DELETED": "keep"}):
        left(who)
        assert things(who) == (0, 0, 0, False, 0, 0, 1, 1)
        deleted(who)
        assert confirmed(who)


def test_only_the_keys_at_providers_go_with_a_ban() -> None:
    who = account(amount=9)
    everything(who)
    with transaction() as conn:
        erasure.shut_out(conn, who)
    assert things(who) == (1, 0, 1, True, 1, 1, 1, 1)


def test_what_waits_is_canceled_before_what_runs_so_that_no_slot_is_given_in_vain() -> None:
    who, offer = account(amount=9), model()
    running = accepted(claimed(placed(who, offer)))
    first = placed(who, offer)
    waiting = [placed(who, offer) for _ in range(3)]
    assert left(who) == [Ring(running.job_id, "interactive")], "its provider is to be told, and nobody else to be woken"
    assert rows("select distinct ended from jobs where id = any(%s)", [first, *waiting]) == [("canceled",)]
    assert balance(who) == (8, 1)
    assert_books_are_clean()


def test_no_more_jobs_and_files_than_so_many_are_cleared_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "MAX_JOBS", 2)
    monkeypatch.setattr(erasure, "MAX_FILES", 2)
    who = account(amount=9)
    for _ in range(3):
        result(who)
        upload(who)
    slow = model("slow")
    for _ in range(3):
        placed(who, slow)
    deleted(who)
    left(who)
    assert one("select count(*) from job_runs") == (1,)
    assert (expired("assets"), expired("uploads")) == ([False, True, True], [False, True, True])
    assert not confirmed(who)
    left(who)
    assert confirmed(who)
    assert not confirmed(who), "once"


@pytest.mark.parametrize("rest", ["a job", "a result", "an upload", "a moment"])
def test_somebody_has_left_once_nothing_is_left_of_them(rest: str) -> None:
    who, stranger = account(amount=9), account(amount=9)
    begun(stranger)
    match rest:
        case "a job":
            begun(who)
        case "a result":
            result(who)
        case "an upload":
            upload(who)
    deleted(who, GRACE_SECONDS - 30 if rest == "a moment" else GRACE_SECONDS + 30)
    assert not confirmed(who)
    assert one("select erased_at from users where id = %s", user_of(who)) == (None,)


def test_somebody_who_was_not_deleted_does_not_leave() -> None:
    assert not confirmed(account())


def test_leavers_come_in_the_order_in_which_they_were_deleted_page_by_page() -> None:
    accounts = [account() for _ in range(4)]
    for who, ago in zip(accounts, (500, 700, 600, 800), strict=True):
        deleted(who, ago)
    account()
    change("update users set erased_at = app_now() where id = %s", user_of(accounts[3]))
    meant = [accounts[1], accounts[2], accounts[0]]
    with transaction() as conn:
        found = erasure.pending_erasures(conn, 10)
        assert [each.account_id for each in found] == meant
        first, rest = erasure.pending_erasures(conn, 1), found[1:]
        assert erasure.pending_erasures(conn, 10, after=(first[0].deleted_at, first[0].user_id)) == rest
        assert erasure.pending_erasures(conn, 10, without=[meant[0], uuid4()]) == rest
        assert erasure.pending_erasures(conn, 10, after=(datetime.now(UTC) + timedelta(hours=1), UUID(int=0))) == []
    assert first == found[:1]


def test_leavers_of_the_same_moment_are_none_of_them_passed_over() -> None:
    accounts = [account() for _ in range(3)]
    change("update users set deleted_at = '2031-01-01Z'")
    seen: list[PendingErasure] = []
    with transaction() as conn:
        while page := erasure.pending_erasures(
            conn, 1, after=(seen[-1].deleted_at, seen[-1].user_id) if seen else None
        ):
            seen += page
    assert sorted(each.account_id for each in seen) == sorted(accounts)


@pytest.mark.parametrize("policy", ["expire", "keep"])
def test_sessions_go_with_their_user_unless_files_are_kept(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "MAX_SESSIONS", 2)
    who, other = account(amount=9), account(amount=9)
    deleted(who)
    for each in (who, other):
        for _ in range(3):
            job_id = placed(each, model("words", kind="text"))
            with transaction() as conn:
                sessions.create(conn, each, job_id, "a prompt", NewSession())
    with environment({"ON_USER_DELETED": policy}):
        left(who)
        kept = {"expire": 1, "keep": 3}[policy]
        assert one("select count(*) from playground_sessions where account_id = %s", who) == (kept,)
        assert one("select count(*) from kept_texts") == (kept + 3,)
        assert confirmed(who) is (policy == "keep")
        left(who)
        assert confirmed(who) is (policy == "expire")  # of the others it is noted already
    assert one("select count(*) from playground_sessions where account_id = %s", other) == (3,)
    assert_books_are_clean()
