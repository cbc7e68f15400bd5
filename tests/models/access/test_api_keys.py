"""API keys: what is kept of them, for whom they speak, how they are replaced and when they go."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.access import api_keys
from models.access.api_keys import ALPHABET, MAX_KEYS, MAX_MODELS, NewKey, Origin, checksum, hash_of, looks_like_a_key
from models.access.scopes import Rate
from models.db import transaction
from tests.models.hands import change, later, while_locked
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")

LOCK_ACCOUNT = "select 1 from accounts where id = %s for no key update"
SOON = datetime.now(UTC) + timedelta(hours=5)


def made(who: UUID, origin: Origin = api_keys.OF_NOBODY, **fields: Any) -> tuple[UUID, str]:
    with transaction() as conn:
        return api_keys.create(conn, who, NewKey("a key")._replace(**fields), origin=origin)


def rotated(who: UUID, key_id: UUID, hours: int = 24, **fields: Any) -> tuple[UUID, str]:
    with transaction() as conn:
        return api_keys.rotate(conn, who, key_id, hours, **fields)


def revoked(key_id: UUID, **fields: Any) -> None:
    with transaction() as conn:
        api_keys.revoke(conn, key_id, **fields)


def caller(secret: str) -> Any:
    with transaction() as conn:
        return api_keys.callers(conn, [hash_of(secret)])[0]


def listed(who: UUID, **fields: Any) -> list[UUID]:
    with transaction() as conn:
        return [each.id for each in api_keys.list_keys(conn, who, **fields)]


# A secret


@given(st.integers(0, 37), st.sampled_from(ALPHABET))
def test_a_key_with_any_one_character_changed_is_no_key_of_ours(at: int, other: str) -> None:
    secret = api_keys.make_secret()
    assert looks_like_a_key(secret)
    body = secret.removeprefix("hr_")
    changed = "hr_" + body[:at] + other + body[at + 1 :]
    assert looks_like_a_key(changed) is (changed == secret)


def test_what_is_shorter_longer_or_of_other_letters_is_no_key_of_ours() -> None:
    secret = api_keys.make_secret()
    accented = "ä" + secret[4:-6]
    for wrong in (
        "", "hr_", secret[3:], secret[:-1], secret + "A", secret.upper(), f"sk_{secret[3:]}", f" {secret}",
        f"hr_{accented}{checksum(accented)}",
    ):  # fmt: skip
        assert not looks_like_a_key(wrong), wrong


def test_the_secret_is_nowhere_in_the_database() -> None:
    _, secret = made(account())
    kept = one("select api_keys::text from api_keys")[0]
    assert secret not in kept
    assert secret[11:] not in kept
    assert one("select prefix, hash from api_keys") == (secret[:11], hash_of(secret))


# Making one


def test_a_key_keeps_its_scopes_and_models_once_each() -> None:
    made(account(), scopes=["write", "read", "read"], models=["b", "a", "b"])
    assert one("select scopes, models from api_keys") == (["read", "write"], ["a", "b"])


@pytest.mark.parametrize(("wrong", "param"), [
    ({"scopes": []}, "scopes"), ({"scopes": ["read", "root"]}, "scopes"), ({"models": []}, "models"),
    ({"models": [str(n) for n in range(MAX_MODELS + 1)]}, "models"),
])  # fmt: skip
def test_a_key_that_could_do_nothing_or_too_much_is_not_made(wrong: dict[str, Any], param: str) -> None:
    who = account()
    with pytest.raises(InvalidInput) as refused:
        made(who, **wrong)
    assert refused.value.param == param
    assert rows("select 1 from api_keys") == []


def test_a_key_may_be_for_as_many_models_as_there_may_be() -> None:
    _, secret = made(account(), models=[str(n) for n in range(MAX_MODELS)])
    assert len(caller(secret).models) == MAX_MODELS


def test_a_key_of_an_account_that_is_not_there_is_not_made() -> None:
    with pytest.raises(NotFound):
        made(uuid4())


def test_an_account_has_so_many_keys_and_a_revoked_one_makes_room_for_another() -> None:
    who, other = account(), account()
    last, _ = made(who)
    change(
        """insert into api_keys (id, account_id, name, prefix, hash)
           select gen_random_uuid(), %s, 'x', 'x', sha256(n::text::bytea) from generate_series(2, %s) n""",
        who, MAX_KEYS,
    )  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        made(who)
    assert refused.value.extra == {"limit": MAX_KEYS, "size": MAX_KEYS}
    made(other)
    revoked(last)
    made(who)
    with pytest.raises(InvalidInput):
        made(who)


def test_two_that_ask_for_the_last_key_at_once_get_one() -> None:
    who = account()
    change(
        """insert into api_keys (id, account_id, name, prefix, hash)
           select gen_random_uuid(), %s, 'x', 'x', sha256(n::text::bytea) from generate_series(2, %s) n""",
        who, MAX_KEYS,
    )  # fmt: skip

    def ask(_: int) -> bool:
        try:
            return bool(made(who))
        except InvalidInput:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(4))) == [False, False, False, True]


# For whom it speaks


def test_each_hash_is_answered_in_its_place() -> None:
    one_account, another = account(), account()
    (first, a), (second, b) = made(one_account), made(another, scopes=["read"])
    with transaction() as conn:
        found = api_keys.callers(conn, [hash_of(b), hash_of("nobody's"), hash_of(a), hash_of(b)])
        assert api_keys.callers(conn, []) == []
    assert [each and (each.account_id, each.key_id) for each in found] == [
        (another, second), None, (one_account, first), (another, second),
    ]  # fmt: skip
    assert found[0] is not None
    assert found[0].scopes == {"read"}
    assert (found[0].models, found[0].rates, found[0].monthly_credits, found[0].role) == (None, (), None, "user")


@pytest.mark.parametrize("state", [
    "update api_keys set revoked_at = app_now()", "update api_keys set expires_at = app_now()",
    "update api_keys set retires_at = app_now()", "update users set banned = true",
    "update users set deleted_at = app_now()",
])  # fmt: skip
def test_a_key_that_has_ended_or_whose_user_is_gone_speaks_for_nobody(state: str) -> None:
    _, secret = made(account(), expires_at=SOON)
    assert caller(secret) is not None
    change(state)
    assert caller(secret) is None


def test_a_key_ends_at_its_hour_and_not_before_it() -> None:
    _, secret = made(account(), expires_at=SOON)
    with later(4):
        assert caller(secret) is not None
    with later(5.1):
        assert caller(secret) is None


def test_a_key_is_bound_by_the_limits_of_its_own_line_and_of_those_that_made_it() -> None:
    who = account()
    maker, _ = made(who, per_minute=9, monthly_credits=50)
    child, secret = made(who, Origin([maker], [maker]), per_minute=3, monthly_credits=80)
    found = caller(secret)
    assert set(found.rates) == {Rate(maker, 9), Rate(child, 3)}
    assert found.monthly_credits == 50
    renewed, secret = rotated(who, child)
    assert set(caller(secret).rates) == {Rate(maker, 9), Rate(child, 3)}, "a line has one rate, under its first key"
    assert renewed != child


# Replacing one


def test_a_rotated_key_works_for_the_overlap_and_the_new_one_until_the_old_ones_end() -> None:
    who = account()
    old, old_secret = made(who, expires_at=SOON, scopes=["read"], models=["a"], per_minute=4, monthly_credits=7)
    new, new_secret = rotated(who, old, 2)
    assert new_secret != old_secret
    before, after = caller(old_secret), caller(new_secret)
    assert (after.scopes, after.models, after.monthly_credits) == (before.scopes, before.models, before.monthly_credits)
    with later(1.9):
        assert caller(old_secret) is not None
    with later(2.1):
        assert (caller(old_secret), caller(new_secret) is not None) == (None, True)
    with later(5.1):
        assert caller(new_secret) is None
    assert one("select root_id, lineage from api_keys where id = %s", new) == (old, [])
    third, _ = rotated(who, new)
    assert one("select root_id from api_keys where id = %s", third) == (old,), "the root's id stays its name"


def test_rotation_again_brings_the_old_key_no_later_end() -> None:
    who = account()
    old, secret = made(who)
    rotated(who, old, 1)
    rotated(who, old, 48)
    with later(1.1):
        assert caller(secret) is None


@pytest.mark.parametrize(("ends_by", "hours"), [(SOON - timedelta(hours=2), 3), (SOON + timedelta(hours=2), 5)])
def test_a_rotated_key_ends_with_the_earlier_of_both_ends(ends_by: datetime, hours: int) -> None:
    who = account()
    old, _ = made(who, expires_at=SOON)
    _, secret = rotated(who, old, ends_by=ends_by)
    with later(hours - 1):
        assert caller(secret) is not None
    with later(hours + 0.1):
        assert caller(secret) is None


def test_a_key_that_does_not_work_or_is_another_accounts_is_not_rotated() -> None:
    who, stranger = account(), account()
    key_id, _ = made(who)
    with pytest.raises(NotFound):
        rotated(stranger, key_id)
    with pytest.raises(NotFound):
        rotated(uuid4(), key_id)
    revoked(key_id)
    with pytest.raises(NotFound):
        rotated(who, key_id)
    assert rows("select count(*) from api_keys") == [(1,)]


def test_a_key_that_is_revoked_while_its_rotation_waits_is_not_rotated() -> None:
    who = account()
    key_id, _ = made(who)
    with pytest.raises(NotFound):
        while_locked(LOCK_ACCOUNT, [who], lambda: rotated(who, key_id), lambda other: api_keys.revoke(other, key_id))
    assert rows("select count(*) from api_keys where revoked_at is null") == [(0,)]


# Taking one away


def test_a_key_is_revoked_by_its_account_alone_and_keeps_its_first_hour() -> None:
    who, stranger = account(), account()
    key_id, secret = made(who)
    other, _ = made(who)
    for wrong in ({"account_id": stranger}, {"account_id": uuid4()}):
        with pytest.raises(NotFound):
            revoked(key_id, **wrong)
    with pytest.raises(NotFound):
        revoked(uuid4())
    assert caller(secret) is not None
    revoked(key_id, account_id=who)
    assert caller(secret) is None
    when = one("select revoked_at from api_keys where id = %s", key_id)
    with later(1):
        revoked(key_id)
    assert one("select revoked_at from api_keys where id = %s", key_id) == when
    assert one("select revoked_at from api_keys where id = %s", other) == (None,)


def test_keys_that_may_more_than_this_are_revoked_with_what_they_made() -> None:
    who, stranger = account(), account()
    small, _ = made(who, scopes=["read", "write"])
    large, _ = made(who, scopes=["read", "admin"])
    child, _ = made(who, Origin([large], [large]), scopes=["read"])
    other, _ = made(stranger, scopes=["admin"])
    with transaction() as conn:
        api_keys.lock_account(conn, who)
        api_keys.revoke_beyond(conn, who, {"read", "write", "delete"})
    left = {row[0] for row in rows("select id from api_keys where revoked_at is null")}
    assert left == {small, other}
    assert child not in left


# Looking at them


def test_a_list_has_the_living_keys_before_the_revoked_ones_newest_first_page_by_page() -> None:
    who, stranger = account(), account()
    keys = [made(who)[0] for _ in range(6)]
    made(stranger)
    for key_id in keys[:4]:
        revoked(key_id)
    assert listed(who) == keys[::-1]
    assert listed(who, limit=2) == [keys[5], keys[4]]
    assert listed(who, after=(False, keys[5]), limit=2) == [keys[4], keys[3]], "a page may have both"
    assert listed(who, after=(True, keys[2]), limit=1) == [keys[1]], "what follows a revoked key has no living ones"
    assert listed(who, after=(True, keys[0])) == []
    assert listed(uuid4()) == []


def test_a_list_says_what_is_left_of_a_key_and_who_made_it() -> None:
    who = account()
    maker, _ = made(who, monthly_credits=50, expires_at=SOON)
    child, _ = made(who, Origin([maker], [maker]))
    change(
        """insert into key_spending select %s, date_trunc('month', app_now() at time zone 'UTC')::date + d, c
             from (values (interval '0', 20), (interval '-1 month', 9)) x(d, c)""",
        maker,
    )
    rotated(who, maker, 1)
    with transaction() as conn:
        new, kid, old = api_keys.list_keys(conn, who)
    assert (new.spent_this_month, old.spent_this_month, kid.spent_this_month) == (20, 20, 0)
    assert (new.root_id, old.root_id, kid.root_id) == (maker, maker, child)
    assert (new.made_by, kid.made_by) == (None, maker)
    assert new.expires_at == SOON
    assert old.expires_at is not None
    assert old.expires_at < SOON, "its own end is shown, not its lineage's"


def test_uses_are_added_up() -> None:
    who = account()
    first, second = made(who)[0], made(who)[0]
    with transaction() as conn:
        api_keys.record_uses(conn, {})
        api_keys.record_uses(conn, {first: 3, uuid4(): 9})
        api_keys.record_uses(conn, {first: 2})
    assert one("select uses, last_used_at is not null from api_keys where id = %s", first) == (5, True)
    assert one("select uses, last_used_at from api_keys where id = %s", second) == (0, None)


# Forgetting them


@pytest.mark.parametrize("column", ["revoked_at", "expires_at", "retires_at"])
def test_a_key_is_forgotten_so_many_days_after_its_end_and_not_before(column: str) -> None:
    who = account()
    key_id, _ = made(who)
    made(who)
    hours = settings().key_days * 24
    change(f"update api_keys set {column} = app_now() - make_interval(hours => %s) where id = %s", hours - 1, key_id)
    with transaction() as conn:
        assert api_keys.forget(conn, 10) == 0
    change(f"update api_keys set {column} = app_now() - make_interval(hours => %s) where id = %s", hours + 1, key_id)
    with transaction() as conn:
        assert api_keys.forget(conn, 10) == 1
        assert api_keys.forget(conn, 10) == 0
    assert rows("select 1 from api_keys where id = %s", key_id) == []


def test_the_oldest_are_forgotten_first_and_no_more_than_so_many() -> None:
    who = account()
    keys = [made(who)[0] for _ in range(3)]
    for days, key_id in zip((200, 400, 300), keys, strict=True):
        change("update api_keys set revoked_at = app_now() - make_interval(days => %s) where id = %s", days, key_id)
    with transaction() as conn:
        assert api_keys.forget(conn, 2) == 2
    assert rows("select id from api_keys") == [(keys[0],)]


def test_a_key_whose_line_or_children_live_is_not_forgotten() -> None:
    who = account()
    first, _ = made(who)
    renewed, _ = rotated(who, first)
    maker, _ = made(who)
    child, _ = made(who, Origin([maker], [maker]))
    change("update api_keys set revoked_at = app_now() - interval '900 days' where id = any(%s)", [first, maker])
    with transaction() as conn:
        assert api_keys.forget(conn, 10) == 0
    change("delete from api_keys where id = any(%s)", [renewed, child])
    with transaction() as conn:
        assert api_keys.forget(conn, 10) == 2
