"""What is paused waits in its place, loses nothing, and goes on when its time has come; all else goes on."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from api.orders.told import job_view
from common.errors import InvalidInput, NotFound
from models.access.audit_log import By
from models.catalogue import providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.jobs import pauses, reads, steps
from models.jobs.cancel import cancel
from models.jobs.ending import AttemptEnd, put_back
from models.jobs.pauses import KINDS, Paused, PauseRow
from scheduler.duties import jobs, operations
from tests.models.hands import change, later
from tests.support import account, assert_books_are_clean, claimed, model, one, order, place, placed, rows
from workers.calls import routing
from workers.leases import Keeper
from workers.steps.advance import Advance

pytestmark = pytest.mark.usefixtures("database")
BY = By("tester")


def paused(what: str, name: object, seconds: float = 3600) -> PauseRow:
    with transaction() as conn:
        found = pauses.pause(conn, BY, what, str(name), "because", seconds=seconds)
    pauses.forget_seen()
    return found


def resumed(what: str, name: object) -> None:
    """A pause that was ended by hand, with all that the duty does then."""
    with transaction() as conn:
        pauses.resume(conn, BY, what, str(name), "done")
    pauses.forget_seen()
    released()


def released() -> None:
    while operations.release_pauses(2).more:
        pass


def advance(job_id: UUID) -> None:
    """What a worker does that is rung for a job."""
    Advance(Keeper("w:1:a", "interactive", 1))(job_id)


def run_of(job_id: UUID) -> dict[str, Any]:
    names = ("status", "dispatched", "wake_at", "attempts", "attempts_spent", "deadline_at", "rings")
    return dict(zip(names, one(f"select {', '.join(names)} from job_runs where job_id = %s", job_id), strict=True))


def waits(job_id: UUID) -> dict[str, Any] | None:
    with transaction() as conn:
        found: dict[str, Any] | None = job_view(reads.jobs_by_id(conn, [job_id])[job_id])["waiting"]
    return found


def name_of(what: str, who: UUID) -> str:
    return {"queue": "interactive", "model": "test-model", "provider": "sketch", "account": str(who)}[what]


@pytest.fixture(autouse=True)
def _books(database: str) -> Iterator[None]:
    yield
    assert_books_are_clean()


@pytest.mark.parametrize("what", KINDS)
def test_what_is_paused_is_queued_and_says_so_until_it_is_resumed(what: str) -> None:
    who = account(amount=20, plan="studio")
    offer = model()
    before = placed(who, offer)
    paused(what, name_of(what, who))
    after = placed(who, offer)
    advance(before)  # it had its slot already
    for job_id in (before, after):
        run = run_of(job_id)
        assert (run["status"], run["dispatched"], run["attempts"], run["wake_at"]) == ("queued", False, 0, None)
        told = waits(job_id)
        assert told is not None
        assert "paused" in told["reason"]
        assert told["estimate_seconds"] is None
    assert one("select slots_in_use from accounts where id = %s", who) == (0,)
    advance(after)  # a late message
    assert run_of(after)["status"] == "queued"
    resumed(what, name_of(what, who))
    assert [run_of(job_id)["dispatched"] for job_id in (before, after)] == [True, True]
    assert one("select slots_in_use from accounts where id = %s", who) == (2,)
    for job_id in (before, after):
        advance(job_id)
    assert rows("select ended from jobs") == [("succeeded",)] * 2


@pytest.mark.parametrize("what", KINDS)
def test_what_is_not_paused_goes_on(what: str) -> None:
    who, other = account(amount=20, plan="studio"), account(amount=20, plan="studio")
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="spare", adapter="sketch")])
    routes = [{"provider": "spare", "model": "image", "options": {"instant": True}}]
    free = model("free-model", routes=routes)
    model()
    paused(what, name_of(what, who))
    going = placed(other, free, queue="batch")
    assert run_of(going)["dispatched"]
    claimed(going)


def test_a_job_that_runs_goes_on_and_its_retry_waits() -> None:
    who = account(amount=20, plan="studio")
    claim = claimed(placed(who, model(timeout_seconds=100)))
    paused("model", "test-model")
    with transaction() as conn:
        assert steps.extend(conn, [(claim.job_id, claim.token, claim.owner)])
        attempt = AttemptEnd(1, "failed", "http_500", "oops")
        assert put_back(
            conn, who, claim.job_id, token=claim.token, after_seconds=0, reason="http_500: oops", attempt=attempt, spends_attempt=True
        )  # fmt: skip
    assert jobs.retry_due(10).more
    run = run_of(claim.job_id)
    assert (run["dispatched"], run["wake_at"], run["attempts_spent"]) == (False, None, 1)
    with later(0.5):
        with transaction() as conn:
            pauses.resume(conn, BY, "model", "test-model", "done")
        released()
        given = run_of(claim.job_id)
        assert given["dispatched"]
        assert (given["deadline_at"] - run["deadline_at"]).total_seconds() == pytest.approx(1800, abs=20)
        again = claimed(claim.job_id)
        assert (again.begins, again.seconds_left > 60) == (True, True)


@pytest.mark.parametrize(("what", "name"), [("model", "one"), ("queue", "interactive")])
def test_a_slot_of_what_is_paused_goes_to_what_is_not(what: str, name: str) -> None:
    who = account(amount=20)
    change("update plans set slots = 1 where id = 'free'")
    first, second = placed(who, model("one"), queue="interactive"), placed(who, model("other"), queue="batch")
    paused(what, name)
    advance(first)
    assert (run_of(first)["dispatched"], run_of(second)["dispatched"]) == (False, True)
    claimed(second)


def test_a_pause_moves_no_job_that_waits_and_its_end_those_that_get_a_slot() -> None:
    who, offer = account(amount=500), model()
    change("update plans set slots = 3 where id = 'free'")
    ids = [answer.job_id for answer in place(*(order(who, offer) for _ in range(300)))]
    before = dict(rows("select job_id, xmin::text from job_runs"))
    paused("account", who)
    for job_id in ids:  # whoever is rung, and however often
        advance(job_id)
    after = dict(rows("select job_id, xmin::text from job_runs"))
    assert [job_id for job_id in ids if after[job_id] != before[job_id]] == ids[:3]
    placed(who, offer)
    assert rows("select 1 from job_runs where dispatched") == []
    resumed("account", who)
    assert [row[0] for row in rows("select job_id from job_runs where dispatched order by job_id")] == ids[:3]
    now = dict(rows("select job_id, xmin::text from job_runs"))
    assert [job_id for job_id in ids if now[job_id] != after[job_id]] == ids[:3]


def test_a_pause_ends_by_time_and_its_accounts_are_dispatched_one_after_the_other() -> None:
    people = [account(amount=5) for _ in range(5)]
    paused("queue", "interactive", seconds=60)
    waiting = [placed(who, model()) for who in people]
    released()
    assert rows("select 1 from job_runs where dispatched") == []
    assert jobs.fill_slots(10) == 0, "nobody looks at what is paused"
    with later(0.1):
        pauses.forget_seen()
        released()
        assert {row[0] for row in rows("select job_id from job_runs where dispatched")} == set(waiting)
        assert rows("select 1 from pauses") == []
        released()


def test_a_pause_that_is_over_is_walked_again_for_who_had_not_heard_of_its_end() -> None:
    who = account(amount=9)
    paused("account", who)
    with transaction() as conn:
        pauses.seen(conn)  # as of a second ago
        pauses.resume(conn, BY, "account", str(who), "done")
    stale = Paused(accounts=frozenset([who]))
    pauses._seen = (time.monotonic(), stale)
    assert operations.release_pauses(10).more
    assert operations.release_pauses(10).more
    late = placed(who, model())
    assert not run_of(late)["dispatched"]
    assert rows("select passes from pauses") == [(1,)]
    assert not operations.release_pauses(10).more, "it is not time yet"
    change("update pauses set until = until - interval '6 seconds'")
    pauses.forget_seen()
    released()
    assert run_of(late)["dispatched"]
    assert rows("select 1 from pauses") == []


def test_what_is_paused_again_while_its_end_is_dispatched_stays_paused() -> None:
    people = sorted(account(amount=5) for _ in range(3))
    paused("model", model().entry.id)
    waiting = {who: placed(who, model()) for who in people}
    with transaction() as conn:
        pauses.resume(conn, BY, "model", "test-model", "done")
    with transaction() as conn:
        ended = pauses.ended_pauses(conn)[0]
        assert pauses.waiting_accounts(conn, ended, 2) == people[:2]
        pauses.release(conn, ended, people[0])
        assert pauses.waiting_accounts(conn, pauses.ended_pauses(conn)[0], 2) == people[1:]
    paused("model", "test-model")
    with transaction() as conn:
        assert pauses.release(conn, ended, people[1]) == []
        pauses.finish(conn, ended)
    assert [run_of(waiting[who])["dispatched"] for who in people] == [True, False, False]
    assert len(rows("select 1 from pauses")) == 1


def test_a_job_that_waits_for_a_pause_can_be_canceled() -> None:
    who = account(amount=9)
    paused("account", who)
    job_id = placed(who, model(price={"credits": 4}))
    with transaction() as conn:
        assert cancel(conn, job_id).ended
    assert one("select available, reserved from accounts where id = %s", who) == (9, 0)


def test_a_paused_provider_is_passed_over_and_nobody_is_asked_where_all_are() -> None:
    routes = [SimpleRoute("one"), SimpleRoute("other")]
    limiter = Limiter()

    def choose(*names: str) -> Any:
        return routing.take(limiter, routes, lambda _: None, 0, "m", lease_seconds=1, paused=names)  # type: ignore[arg-type]  # no limits

    assert choose() == routing.Go(0)
    assert choose("one") == routing.Go(1)
    waiting = choose("one", "other")
    assert isinstance(waiting, routing.Wait)
    assert waiting.reason.startswith(f"{pauses.WAITS}: ")
    assert limiter.asked == ["one", "other"]


class SimpleRoute:
    def __init__(self, provider: str) -> None:
        self.provider = provider


class Limiter:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def acquire(self, provider: str, *_: Any, **__: Any) -> Any:
        self.asked.append(provider)
        return routing.Granted()


def test_a_model_waits_only_where_all_its_providers_are_paused() -> None:
    who = account(amount=20, plan="studio")
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="spare", adapter="sketch")])
    routes = [{"provider": name, "model": "image", "options": {"instant": True}} for name in ("sketch", "spare")]
    offer = model(routes=routes)
    paused("provider", "sketch")
    job_id = placed(who, offer)
    advance(job_id)
    assert rows("select provider from attempts") == [("spare",)]
    assert one("select ended from jobs where id = %s", job_id) == ("succeeded",)
    paused("provider", "spare")
    assert not run_of(placed(who, offer))["dispatched"]


@pytest.mark.parametrize(("what", "name", "seconds", "param", "error"), [
    ("job", "x", 60, "what", InvalidInput), ("queue", "slow", 60, "name", NotFound), ("model", "gone", 60, "name", NotFound),
    ("provider", "gone", 60, "name", NotFound), ("account", "me", 60, "name", NotFound), ("account", str(UUID(int=7)), 60, "name", NotFound),
    ("queue", "batch", 0, "seconds", InvalidInput), ("queue", "batch", 7 * 86400 + 1, "seconds", InvalidInput),
])  # fmt: skip
def test_what_cannot_be_paused_is_refused_by_its_name(
    what: str, name: str, seconds: float, param: str, error: Any
) -> None:
    with pytest.raises(error) as refused:
        paused(what, name, seconds)
    assert refused.value.param == param
    assert rows("select 1 from pauses union all select 1 from acts") == []


def test_there_are_so_many_pauses_at_most_and_one_of_each_thing() -> None:
    people = [account() for _ in range(3)]
    first = paused("account", people[0])
    again = paused("account", people[0], seconds=60)
    assert again.until < first.until
    change(
        "insert into pauses (what, name, until, reason, actor) select 'model', 'm' || n, app_now() + interval '1 h', '', '' from generate_series(1, 99) n"
    )
    paused("account", people[0])
    with pytest.raises(InvalidInput, match="100 things"):
        paused("account", people[1])
    with transaction() as conn:
        assert len(pauses.list_pauses(conn)) == 100


def test_pauses_and_their_ends_are_in_the_audit_log_with_who_and_why() -> None:
    who = account()
    paused("account", who)
    resumed("account", who)
    with pytest.raises(NotFound):
        resumed("account", who)
    assert rows("select action, subject, actor, details->>'reason' from acts order by id") == [
        ("pause", f"account:{who}", "tester", "because"), ("resume", f"account:{who}", "tester", "done"),
    ]  # fmt: skip


def test_jobs_of_one_account_are_shelved_by_many_workers_at_once_and_its_slots_stay_right() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    ids = [placed(who, offer) for _ in range(40)]
    paused("model", "test-model")

    def shelve(job_id: UUID) -> int:
        with transaction() as conn:
            return len(pauses.shelve(conn, job_id))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(shelve, ids * 2)) == 0
    assert one("select slots_in_use from accounts where id = %s", who) == (0,)
    resumed("model", "test-model")
    assert one("select slots_in_use > 0 from accounts where id = %s", who) == (True,)
