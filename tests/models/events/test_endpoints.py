"""Webhook endpoints: what an account may have, who may touch it, and which secrets sign."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import EndpointDisabled, EndpointLimit, InvalidInput, NotFound, RateLimited
from common.settings import settings
from models.db import transaction
from models.events import endpoints
from models.events.endpoints import MAX_TESTS_PER_HOUR, MAX_URL_CHARACTERS, QUEUES_OF_JOBS, EndpointRow
from models.events.kinds import JOB_ENDS
from tests.conftest import environment
from tests.models.hands import change, later, while_locked
from tests.support import account, assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")

URL = "https://example.com/hook"
PRIVATE = "https://10.0.0.1/hook"


def made(who: UUID, url: str = URL, events: Any = (), description: str = "") -> tuple[EndpointRow, str]:
    with transaction() as conn:
        return endpoints.create(conn, who, url, events, description)


def changed(who: UUID, endpoint_id: UUID, **fields: Any) -> EndpointRow:
    with transaction() as conn:
        return endpoints.change(conn, who, endpoint_id, **fields)


def listens(who: UUID) -> bool:
    return bool(one("select has_webhooks from accounts where id = %s", who)[0])


def secrets_of(endpoint_id: UUID) -> list[str]:
    return endpoints.opened(*one("select secret, previous_secret from webhook_endpoints where id = %s", endpoint_id))


# Having them


def test_an_endpoint_is_made_with_a_secret_of_its_own_that_nobody_can_read_at_rest() -> None:
    who = account()
    (first, secret), (second, other) = (
        made(who, events=["job.failed", "job.failed", "credits.low"], description="mine"), made(who)
    )  # fmt: skip
    assert (first.url, first.events, first.description, first.enabled) == (
        URL, ["job.failed", "credits.low"], "mine", True,
    )  # fmt: skip
    assert second.events == []
    assert secret != other
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret.encode() not in bytes(one("select secret from webhook_endpoints where id = %s", first.id)[0])
    assert secrets_of(first.id) == [secret]


@pytest.mark.parametrize("url", [
    PRIVATE, "http://localhost/x", "ftp://example.com/x", "no address", "", "https://", f"https://example.com/{'x' * MAX_URL_CHARACTERS}",
])  # fmt: skip
def test_an_address_that_nothing_may_be_sent_to_is_refused_wherever_it_comes_from(url: str) -> None:
    who = account()
    endpoint, _ = made(who)
    for wrong in (
        lambda: made(who, url), lambda: changed(who, endpoint.id, url=url), lambda: endpoints.for_job(who, url, None)
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            wrong()
        assert refused.value.param in {"url", "webhook"}
    assert rows("select url from webhook_endpoints") == [(URL,)]


def test_an_address_may_be_as_long_as_there_is_room_for() -> None:
    longest = "https://example.com/".ljust(MAX_URL_CHARACTERS, "x")
    assert made(account(), longest)[0].url == longest
    with environment({"ALLOW_PRIVATE_ADDRESSES": "10.0.0.1:443"}):
        assert made(account(), PRIVATE)[0].url == PRIVATE, "a deployment may allow one"


def test_an_account_has_so_many_endpoints_and_switched_off_ones_count() -> None:
    who = account()
    with environment({"WEBHOOK_ENDPOINTS_MAX": "2"}):
        first, _ = made(who)
        changed(who, first.id, enabled=False)
        made(who)
        with pytest.raises(EndpointLimit):
            made(who)
        made(account())
        with transaction() as conn:
            endpoints.remove(conn, who, first.id)
        made(who)


def test_whoever_waits_while_the_last_endpoint_is_made_gets_none() -> None:
    who = account()

    def make(other: Any) -> None:
        endpoints.create(other, who, URL, [])

    with environment({"WEBHOOK_ENDPOINTS_MAX": "1"}), pytest.raises(EndpointLimit):
        while_locked("select 1 from accounts where id = %s for no key update", [who], lambda: made(who), make)
    assert rows("select count(*) from webhook_endpoints") == [(1,)]


def test_endpoints_are_listed_oldest_first_and_another_accounts_are_not_found() -> None:
    who, stranger = account(), account()
    mine = [made(who)[0].id for _ in range(3)]
    theirs, _ = made(stranger)
    with transaction() as conn:
        assert [each.id for each in endpoints.list_endpoints(conn, who)] == mine
    touches = (
        lambda conn, which: endpoints.find(conn, who, which),
        lambda conn, which: endpoints.change(conn, who, which, description="x"),
        lambda conn, which: endpoints.remove(conn, who, which),
        lambda conn, which: endpoints.rotate(conn, who, which),
        lambda conn, which: endpoints.count_test(conn, who, which),
    )
    before = rows("select * from webhook_endpoints order by id")
    for touch in touches:
        for wrong in (theirs.id, uuid4()):
            with pytest.raises(NotFound), transaction() as conn:
                touch(conn, wrong)
    assert rows("select * from webhook_endpoints order by id") == before


# Whether an account listens


def test_an_account_listens_while_one_of_its_endpoints_is_on() -> None:
    who = account()
    assert not listens(who)
    first, second = made(who)[0].id, made(who)[0].id
    assert listens(who)
    changed(who, first, enabled=False)
    assert listens(who)
    with transaction() as conn:
        endpoints.remove(conn, who, second)
    assert not listens(who)
    changed(who, first, description="still off")
    assert not listens(who)
    changed(who, first, enabled=True)
    assert listens(who)
    assert_books_are_clean()


def test_a_change_changes_what_was_given_and_nothing_else() -> None:
    who = account()
    endpoint, secret = made(who, events=["job.failed"], description="mine")
    assert changed(who, endpoint.id) == endpoint
    assert changed(who, endpoint.id, url=f"{URL}/2").url == f"{URL}/2"
    assert changed(who, endpoint.id, events=["job.queued", "job.queued"]).events == ["job.queued"]
    found = changed(who, endpoint.id, events=[], description="")
    assert (found.events, found.description, found.url) == ([], "", f"{URL}/2")
    assert secrets_of(endpoint.id) == [secret]


def test_why_an_endpoint_is_off_is_said_until_it_is_on_again() -> None:
    who = account()
    endpoint, _ = made(who)
    change("update webhook_endpoints set failing_since = app_now()")
    off = changed(who, endpoint.id, enabled=False)
    assert (off.enabled, off.disabled_reason) == (False, "switched off")
    assert off.failing_since is not None
    change("update webhook_endpoints set disabled_reason = 'it failed for days'")
    assert changed(who, endpoint.id, description="x").disabled_reason == "it failed for days"
    on = changed(who, endpoint.id, enabled=True)
    assert (on.enabled, on.disabled_reason, on.failing_since) == (True, None, None)


# Secrets


def test_the_secret_before_signs_besides_the_new_one_and_the_one_before_that_does_not() -> None:
    who = account()
    endpoint, first = made(who)
    with transaction() as conn:
        shown, second = endpoints.rotate(conn, who, endpoint.id)
    assert shown.previous_secret_until is not None
    assert secrets_of(endpoint.id) == [second, first]
    with transaction() as conn:
        third = endpoints.rotate(conn, who, endpoint.id)[1]
    assert secrets_of(endpoint.id) == [third, second]
    assert len({first, second, third}) == 3


def defaults(who: UUID) -> list[str]:
    with transaction() as conn:
        return endpoints.default_secrets(conn, who)


def test_an_accounts_default_secret_is_made_once_and_the_one_before_signs_for_so_many_hours() -> None:
    who, hours = account(), settings().webhook_rotation_hours
    first = defaults(who)
    assert (len(first), defaults(who), defaults(account()) == first) == (1, first, False)
    with transaction() as conn:
        second = endpoints.rotate_default(conn, who)
    assert defaults(who) == [second, *first]
    with later(hours - 0.1):
        assert defaults(who) == [second, *first]
    with later(hours + 0.1):
        assert defaults(who) == [second]
    assert len(defaults(account())) == 1


def test_two_that_ask_for_the_first_default_secret_at_once_get_the_same() -> None:
    who = account()
    with ThreadPoolExecutor(4) as pool:
        assert len({tuple(found) for found in pool.map(lambda _: defaults(who), range(8))}) == 1


def test_a_secret_that_cannot_be_read_any_more_is_left_out() -> None:
    who = account()
    made(who)
    sealed = one("select secret from webhook_endpoints")[0]
    readable = endpoints.opened(sealed)
    assert endpoints.opened(None, b"nonsense", sealed) == readable
    with environment({"SECRET_KEY": "another secret of forty characters......"}):
        assert endpoints.opened(sealed) == []


# Tests of an endpoint, and addresses of jobs


def counted(who: UUID, endpoint_id: UUID) -> None:
    with transaction() as conn:
        endpoints.count_test(conn, who, endpoint_id)


def test_an_endpoint_is_tested_so_often_in_an_hour_from_the_first_test_on() -> None:
    who = account()
    endpoint, other = made(who)[0].id, made(who)[0].id
    counted(who, endpoint)
    change("update webhook_endpoints set tests = %s where id = %s", MAX_TESTS_PER_HOUR - 1, endpoint)
    with later(0.9):
        counted(who, endpoint)
        with pytest.raises(RateLimited):
            counted(who, endpoint)
        counted(who, other)
    with later(1.1):
        counted(who, endpoint)
        assert one("select tests from webhook_endpoints where id = %s", endpoint) == (1,)


def test_an_endpoint_that_is_off_is_not_tested() -> None:
    who = account()
    endpoint, _ = made(who)
    changed(who, endpoint.id, enabled=False)
    with pytest.raises(EndpointDisabled):
        counted(who, endpoint.id)
    assert one("select tests from webhook_endpoints") == (0,)


def test_addresses_of_one_origin_have_one_line_and_an_account_has_so_many() -> None:
    who, other = UUID(int=1), UUID(int=2)

    def queue(url: str, account_id: UUID = who) -> str:
        return str(endpoints.for_job(account_id, url, None)["queue"])

    same = {queue(url) for url in ("https://example.com/a", "https://example.com/b?c=d", "https://EXAMPLE.com/a")}
    assert len(same) == 1
    assert queue("https://example.com/a", other) not in same
    many = {queue(f"https://{number}.example.com/") for number in range(300)}
    assert many == {str(each) for each in endpoints.job_queues(who)}
    assert len(many) == QUEUES_OF_JOBS


def test_a_job_tells_its_ends_unless_it_says_otherwise() -> None:
    kept = endpoints.for_job(UUID(int=1), URL, None)
    assert (kept["url"], kept["events"]) == (URL, list(JOB_ENDS))
    assert endpoints.for_job(UUID(int=1), URL, [])["events"] == list(JOB_ENDS)
    assert endpoints.for_job(UUID(int=1), URL, ["job.queued", "job.queued"])["events"] == ["job.queued"]
