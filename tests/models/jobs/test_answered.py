"""Answers that are kept under an Idempotency-Key: the same request again, another one, and one after its time."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from common.errors import IdempotencyMismatch
from common.settings import settings
from models.db import transaction
from models.jobs import answered
from tests.conftest import environment
from tests.models.hands import change, later, while_locked
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")

HASH, OTHER = b"a" * 32, b"b" * 32
ANSWER = {"id": "1", "secret": "shown once", "more": [None, 1]}


def kept(who: UUID, key: str = "k", body_hash: bytes = HASH, answer: dict[str, Any] | None = None) -> None:
    with transaction() as conn:
        answered.keep(conn, who, key, body_hash, ANSWER if answer is None else answer)


def begun(who: UUID, key: str = "k", body_hash: bytes = HASH) -> dict[str, Any] | None:
    with transaction() as conn:
        return answered.begin(conn, who, key, body_hash)


def knows(who: UUID, key: str = "k") -> bool:
    with transaction() as conn:
        return answered.knows(conn, who, key)


def forgotten(limit: int = 10) -> int:
    with transaction() as conn:
        return answered.forget(conn, limit)


def test_the_same_request_has_the_same_answer_and_another_key_or_account_has_none() -> None:
    who, stranger = account(), account()
    assert begun(who) is None
    kept(who)
    assert begun(who) == ANSWER
    assert (begun(who, "K"), begun(who, "k "), begun(stranger)) == (None, None, None)
    assert (knows(who), knows(who, "K"), knows(stranger)) == (True, False, False)


def test_another_request_under_a_used_key_is_refused() -> None:
    who = account()
    kept(who)
    for wrong in (OTHER, HASH + b"a", HASH[:-1], b""):
        with pytest.raises(IdempotencyMismatch, match="another request"):
            begun(who, body_hash=wrong)
    assert begun(who) == ANSWER


def test_an_answer_is_kept_for_its_hours_and_the_key_is_free_after_them() -> None:
    who, hours = account(), settings().idempotency_key_hours
    kept(who)
    with later(hours - 0.1):
        assert begun(who) == ANSWER
    with later(hours + 0.1):
        assert begun(who, body_hash=OTHER) is None
        kept(who, body_hash=OTHER, answer={"id": "2"})
        assert begun(who, body_hash=OTHER) == {"id": "2"}
    with later(2 * hours):
        assert begun(who, body_hash=OTHER) == {"id": "2"}, "its age is that of the second answer"


def test_an_answer_cannot_be_read_at_rest_nor_once_the_secret_has_changed() -> None:
    who = account()
    kept(who)
    assert b"shown once" not in bytes(one("select answer from answered_requests")[0])
    with environment({"SECRET_KEY": "another secret of forty characters......"}):
        with pytest.raises(IdempotencyMismatch, match="SECRET_KEY has changed"):
            begun(who)


def test_an_answer_is_sealed_for_this_purpose_alone() -> None:
    who = account()
    kept(who)
    change("insert into webhook_secrets (account_id, secret) select account_id, answer from answered_requests")
    from models.events import endpoints

    with transaction() as conn:
        assert endpoints.default_secrets(conn, who) == []


def test_two_of_the_same_request_at_once_have_one_answer() -> None:
    who = account()

    def answer(other: Any) -> None:
        answered.keep(other, who, "k", HASH, ANSWER)

    lock = "select 1 from accounts where id = %s for no key update"
    assert while_locked(lock, [who], lambda: begun(who), answer) == ANSWER


def test_a_request_that_was_undone_was_not_answered() -> None:
    who = account()
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        answered.keep(conn, who, "k", HASH, ANSWER)
        raise ZeroDivisionError
    assert begun(who) is None
    assert not knows(who)


def test_a_hash_of_another_length_and_an_account_that_is_not_there_are_not_kept() -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        kept(account(), body_hash=b"short")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        kept(uuid4())


def test_answers_past_their_time_are_forgotten_and_no_more_than_so_many() -> None:
    who, hours = account(), settings().idempotency_key_hours
    for key in "abcd":
        kept(who, key)
    change(
        "update answered_requests set created_at = app_now() - make_interval(hours => %s, mins => -1) where key = 'a'",
        hours,
    )
    change("update answered_requests set created_at = app_now() - make_interval(hours => %s) where key > 'a'", hours)
    assert [forgotten(2), forgotten(2), forgotten(2)] == [2, 1, 0]
    assert rows("select key from answered_requests") == [("a",)]
