"""What a browser token may and orders for: at most its maker, and never past its credits."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from common.errors import DomainError, Forbidden, InvalidInput, NotAuthenticated
from models.access import api_keys, browser_tokens
from models.access.api_keys import hash_of
from models.access.browser_tokens import NewToken, TokenRow, narrowed
from models.access.scopes import SCOPES, Caller, Rate, Reach, scopes_of, sees_job
from models.db import transaction
from models.jobs.admission import Accepted
from tests.models.hands import change, while_locked
from tests.support import account, assert_books_are_clean, caller, model, one, order, place, placed

ACCOUNT, USER, KEY, OTHER = (UUID(int=number) for number in range(1, 5))
PERSON = Caller(ACCOUNT, USER, None, scopes_of("pro"), "pro")
MAKER = Caller(
    ACCOUNT, USER, KEY, frozenset({"read", "write", "generate"}), "pro", frozenset({"one", "two"}), (Rate(KEY, 5),), 7
)
SERVER = Caller(OTHER, uuid4(), KEY, frozenset(SCOPES), "admin", None, (Rate(KEY, 5),), 7)
WHOLE = Reach(uuid4(), frozenset({"read", "generate"}))

database = pytest.mark.usefixtures("database")


# --- pure ---


def test_a_keys_token_is_its_key_narrowed() -> None:
    assert narrowed(PERSON, MAKER, WHOLE) == replace(
        MAKER, scopes=frozenset({"read", "generate"}), role="user", reach=WHOLE
    )


def test_a_persons_token_is_theirs_without_their_role() -> None:
    assert narrowed(PERSON, PERSON, WHOLE) == replace(
        PERSON, scopes=frozenset({"read", "generate"}), role="user", reach=WHOLE
    )


def test_a_servers_token_acts_by_its_key_and_spends_no_budget_of_it() -> None:
    found = narrowed(PERSON, SERVER, WHOLE)
    assert found is not None
    assert (found.account_id, found.key_id, found.acting_key, found.monthly_credits) == (ACCOUNT, None, KEY, None)
    assert (found.role, found.scopes, found.rates) == ("user", {"read", "generate"}, SERVER.rates)


@pytest.mark.parametrize(("maker", "why"), [
    (None, "its key has ended"), (replace(SERVER, suspended=True), "the server's user is suspended"),
    (replace(SERVER, scopes=frozenset({"read", "generate"})), "its key acts for nobody any more"),
    (replace(SERVER, role="user"), "its user is no admin any more"),
])  # fmt: skip
def test_a_token_ends_with_what_its_maker_was(maker: Caller | None, why: str) -> None:
    assert narrowed(PERSON, maker, WHOLE) is None, why


@pytest.mark.parametrize(("models", "wanted", "found"), [
    (None, None, None), (None, "one", {"one"}), ({"one", "two"}, "one", {"one"}), ({"two"}, "one", set()), ({"two"}, None, {"two"}),
])  # fmt: skip
def test_a_token_is_for_models_that_its_maker_may_order(models: Any, wanted: str | None, found: Any) -> None:
    maker = replace(MAKER, models=None if models is None else frozenset(models))
    narrow = narrowed(PERSON, maker, WHOLE._replace(model_id=wanted))
    assert narrow is not None
    assert narrow.models == (None if found is None else frozenset(found))


def test_a_suspended_user_is_known_as_one() -> None:
    found = narrowed(replace(PERSON, suspended=True), replace(MAKER, suspended=True), WHOLE)
    assert found is not None
    assert found.suspended


def test_a_job_is_seen_by_tokens_for_it_its_model_or_all() -> None:
    job = uuid4()
    for reach, seen in (
        (WHOLE, True), (WHOLE._replace(job_id=job), True), (WHOLE._replace(job_id=uuid4()), False),
        (WHOLE._replace(model_id="one"), True), (WHOLE._replace(model_id="two"), False),
    ):  # fmt: skip
        assert sees_job(reach, job, "one") is seen


# --- kept ---


def made(who: Caller, credits: int = 3, **wish: Any) -> tuple[TokenRow, str]:
    with transaction() as conn:
        return browser_tokens.give_out(conn, who, NewToken(["generate"], credits=credits, **wish))


def found(secret: str) -> Caller | None:
    with transaction() as conn:
        return browser_tokens.token_callers(conn, [hash_of(secret)])[0]


def kinds(answers: list[Any]) -> list[str]:
    return [type(each).__name__ for each in answers]


@database
def test_a_person_who_has_signed_in_makes_one_that_ends_with_them() -> None:
    who = account()
    row, secret = made(caller(who))
    speaks = found(secret)
    assert speaks is not None
    assert (speaks.account_id, speaks.key_id, speaks.reach and speaks.reach.token_id) == (who, None, row.id)
    assert found(api_keys.make_secret(browser_tokens.BEGINNING)) is None
    change("update users set banned = true")
    assert found(secret) is None
    with pytest.raises(NotAuthenticated):
        made(caller(who))


@database
def test_the_orders_of_one_transaction_share_a_tokens_credits() -> None:
    who, offer = account(amount=50), model(price={"credits": 2})
    row, _ = made(caller(who), credits=5)
    answers = place(*(order(who, offer, token_id=row.id) for _ in range(4)))
    assert kinds(answers) == ["Accepted", "Accepted", "TokenSpent", "TokenSpent"]
    assert isinstance(answers[2], DomainError)
    assert answers[2].extra == {"needed": 2, "left": 1, "credits": 5}
    # A cheaper one fits still, and another's order is its own matter.
    cheap = model("cheap", price={"credits": 1})
    answers = place(order(who, cheap, token_id=row.id), order(who, offer), order(who, cheap, token_id=row.id))
    assert kinds(answers) == ["Accepted", "Accepted", "TokenSpent"]
    assert one("select spent from browser_tokens where id = %s", row.id) == (5,)
    assert_books_are_clean()


@database
def test_an_order_that_is_refused_for_another_reason_takes_nothing_of_its_token() -> None:
    who, offer = account(amount=1), model(price={"credits": 2})
    row, _ = made(caller(who), credits=5)
    assert kinds(place(order(who, offer, token_id=row.id))) == ["NotEnoughCredits"]
    assert one("select spent from browser_tokens where id = %s", row.id) == (0,)


@database
def test_a_token_that_ends_while_its_order_waits_orders_nothing() -> None:
    who, offer = account(amount=50), model()
    row, _ = made(caller(who))

    def end(other: Any) -> None:
        other.execute("update browser_tokens set revoked_at = app_now()")

    lock = "select 1 from accounts where id = %s for no key update"
    answers = while_locked(lock, [who], lambda: place(order(who, offer, token_id=row.id)), end)
    assert kinds(answers) == ["NotAuthenticated"]


@database
def test_the_database_itself_refuses_what_is_past_a_tokens_credits() -> None:
    made(caller(account()), credits=3)
    change("update browser_tokens set spent = 3")
    for wrong in ("spent = 4", "spent = -1", "credits = null", "may = '{write}'", "may = '{}'"):
        with pytest.raises(psycopg.errors.CheckViolation):
            change(f"update browser_tokens set {wrong}")


@database
def test_an_account_has_a_limit_of_living_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_tokens, "MAX_LIVING", 2)
    who = account()
    first, _ = made(caller(who))
    made(caller(who))
    with pytest.raises(InvalidInput, match="the limit is 2"):
        made(caller(who))
    with transaction() as conn:
        browser_tokens.withdraw(conn, who, first.id)
    made(caller(who))


@database
def test_what_a_maker_may_not_do_its_token_may_not() -> None:
    who = caller(account())
    with pytest.raises(Forbidden, match="'read'"), transaction() as conn:
        browser_tokens.give_out(conn, who, NewToken(["stream"]))
    with pytest.raises(Forbidden, match="not for the model"), transaction() as conn:
        browser_tokens.give_out(conn, replace(who, models=frozenset({"one"})), NewToken(["generate"], None, "two", 5))


@database
def test_an_accepted_order_is_of_the_key_that_made_its_token() -> None:
    who = account(amount=50)
    with transaction() as conn:
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("maker", monthly_credits=1))
    row, secret = made(caller(who, key=key_id, budget=1), credits=5)
    speaks = found(secret)
    assert speaks is not None
    fields = {"api_key_id": speaks.key_id, "key_budget": speaks.monthly_credits, "token_id": row.id}
    answers = place(*(order(who, model(), **fields) for _ in range(2)))
    assert kinds(answers) == ["Accepted", "BudgetExceeded"]  # the key's own budget, which is less
    assert isinstance(answers[0], Accepted)
    assert one("select api_key_id from jobs where id = %s", answers[0].job_id) == (key_id,)


@database
def test_a_token_for_another_accounts_job_is_none() -> None:
    with pytest.raises(DomainError, match="no job"), transaction() as conn:
        job = placed(account(amount=5), model())
        browser_tokens.give_out(conn, replace(caller(account()), scopes=frozenset({"read"})), NewToken(["read"], job))
