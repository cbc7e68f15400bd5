"""Users' own keys at providers: who may save one, what is shown of it, and which attempts go by it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from common.errors import InvalidInput, NotAuthenticated, NotFound
from models.catalogue import provider_keys
from models.catalogue.provider_keys import MAX_CHARACTERS
from models.db import transaction
from models.identity import erasure
from tests.conftest import environment
from tests.models.hands import change, while_locked
from tests.models.jobs.standing import begun, lapse
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")

SECRET = "sk-1234567890abcd"
LOCK = "select 1 from accounts where id = %s for no key update"


@pytest.fixture(autouse=True)
def router(database: str) -> None:
    change(
        "insert into providers (name, entry) values ('router', '{}'), ('other', '{}') on conflict (name) do update set entry = '{}'"
    )


def saved(who: UUID, secret: str = SECRET, provider: str = "router") -> None:
    with transaction() as conn:
        provider_keys.save(conn, who, provider, SecretStr(secret))


def shown(who: UUID) -> list[tuple[str, str]]:
    with transaction() as conn:
        return [each[:2] for each in provider_keys.shown(conn, who)]


def kept(who: UUID, provider: str = "router") -> str:
    sealed = one("select secret from provider_keys where account_id = %s and provider = %s", who, provider)[0]
    found = provider_keys.unsealed(sealed)
    assert found is not None
    return found.get_secret_value()


def test_a_key_is_shown_by_its_last_letters_and_kept_so_that_nobody_reads_it() -> None:
    who = account()
    saved(who)
    saved(who, "another-secret", "other")
    assert shown(who) == [("other", "cret"), ("router", "abcd")]
    assert kept(who) == SECRET
    assert SECRET.encode() not in bytes(one("select secret from provider_keys where provider = 'router'")[0])
    with environment({"SECRET_KEY": "another secret of forty characters......"}):
        assert provider_keys.unsealed(one("select secret from provider_keys where provider = 'router'")[0]) is None


def test_a_key_that_is_saved_again_takes_the_place_of_the_one_before() -> None:
    who, other = account(), account()
    saved(who)
    saved(other, "their own secret")
    before = one("select created_at from provider_keys where account_id = %s", who)[0]
    saved(who, "a newer secret")
    assert (kept(who), shown(who)) == ("a newer secret", [("router", "cret")])
    assert one("select created_at from provider_keys where account_id = %s", who)[0] > before
    assert kept(other) == "their own secret"


@pytest.mark.parametrize(
    "wrong", ["", "1234567", "x" * (MAX_CHARACTERS + 1), "with\na line", "with\0nul....", "tab\tbed...."]
)
def test_what_cannot_be_a_key_is_refused_without_repeating_it(wrong: str) -> None:
    who = account()
    with pytest.raises(InvalidInput) as refused:
        saved(who, wrong)
    assert refused.value.param == "key"
    assert not wrong or wrong not in str(refused.value)
    assert rows("select 1 from provider_keys") == []


@pytest.mark.parametrize("right", ["12345678", "x" * MAX_CHARACTERS])
def test_the_shortest_and_the_longest_key_are_kept(right: str) -> None:
    who = account()
    saved(who, right)
    assert kept(who) == right


def test_a_provider_that_is_not_there_has_no_keys() -> None:
    with pytest.raises(NotFound):
        saved(account(), provider="nobody")


@pytest.mark.parametrize("state", ["banned = true", "deleted_at = app_now()"])
def test_who_is_shut_out_saves_no_key(state: str) -> None:
    who = account()
    change(f"update users set {state}")
    with pytest.raises(NotAuthenticated):
        saved(who)
    assert rows("select 1 from provider_keys") == []


def test_a_key_that_is_saved_while_its_user_is_shut_out_does_not_stay() -> None:
    who = account()

    def ban(other: Any) -> None:
        other.execute("update users set banned = true")
        erasure.shut_out(other, who)

    with pytest.raises(NotAuthenticated):
        while_locked(LOCK, [who], lambda: saved(who), ban)
    assert rows("select 1 from provider_keys") == []


def test_a_key_is_forgotten_by_its_owner_alone() -> None:
    who, stranger = account(), account()
    saved(who)
    for asks, provider in ((stranger, "router"), (who, "other")):
        with pytest.raises(NotFound), transaction() as conn:
            provider_keys.remove(conn, asks, provider)
    with transaction() as conn:
        assert provider_keys.providers_of(conn, who) == {"router"}
        assert provider_keys.providers_of(conn, stranger) == set()
        provider_keys.remove(conn, who, "router")
        assert provider_keys.providers_of(conn, who) == set()


# Attempts


def begin(claim: Any, provider: str = "router", **fields: Any) -> bytes | None:
    given = {"job_id": claim.job_id, "number": 1, "token": claim.token, **fields}
    with transaction() as conn:
        return provider_keys.begin_with(conn, claim.account_id, provider, **given)


def test_an_attempt_goes_by_the_key_it_began_with_whatever_becomes_of_it() -> None:
    claim = begun()
    saved(claim.account_id)
    sealed = begin(claim)
    assert sealed is not None
    saved(claim.account_id, "a newer secret")
    with transaction() as conn:
        provider_keys.remove(conn, claim.account_id, "router")
    own = provider_keys.unsealed(one("select own_key from attempts")[0])
    assert own is not None
    assert own.get_secret_value() == SECRET
    with transaction() as conn:
        provider_keys.begin_without(conn, claim.job_id, 2)
        assert conn.execute("select own_key is null from attempts").fetchone() == (False,)
        provider_keys.begin_without(conn, claim.job_id, 1)
    assert one("select own_key from attempts") == (None,)


def test_an_attempt_begins_with_no_key_where_there_is_none_or_the_claim_is_lost() -> None:
    claim = begun()
    assert begin(claim) is None
    saved(claim.account_id)
    for wrong in ({"token": claim.token + 1}, {"number": 2}, {"job_id": uuid4()}):
        assert begin(claim, **wrong) is None
    assert begin(claim, "other") is None
    lapse(claim.job_id)
    change("update job_runs set token = token + 1")
    assert begin(claim) is None
    assert one("select own_key from attempts") == (None,)


def test_an_attempt_that_is_over_begins_with_nothing() -> None:
    claim = begun()
    saved(claim.account_id)
    change("update attempts set phase = 'failed', ended_at = app_now()")
    assert begin(claim) is None


def test_limits_are_counted_apart_for_a_key_of_ones_own() -> None:
    who = UUID(int=1)
    assert provider_keys.credential("router", who, own=False) == "router"
    assert provider_keys.credential("router", who, own=True) == f"router@{who}"
