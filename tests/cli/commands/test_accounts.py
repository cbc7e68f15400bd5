"""What operators do with accounts at the command line: each act with its reason, in the audit log with who did it."""

from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli.commands.test_operate import run, shell
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, key_of, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2, done.output
    return done.output


def acts_on(subject: Any) -> list[tuple[Any, ...]]:
    return rows(
        """select action, details->>'reason', actor like 'command line: %%' from acts where subject = %s order by id""",
        str(subject),
    )


def test_an_account_is_suspended_and_resumed_with_a_reason() -> None:
    who = account()
    user = one("select user_id from accounts where id = %s", who)[0]
    for _ in range(2):
        assert run("suspend", str(who), "--reason", "abuse")[0]["suspended_at"]
    assert run("resume", str(who), "--reason", "talked")[0]["suspended_at"] is None
    assert acts_on(user) == [("user.suspend", "abuse", True), ("user.resume", "talked", True)]
    assert "no account" in shell("suspend", str(uuid4()), "--reason", "x").stderr


@pytest.mark.parametrize("command", [
    ("grant", "5", "-a"), ("take-back", "5", "-a"), ("subscribe", "creator", "-a"), ("change-plan", "studio", "-a"), ("suspend",), ("resume",),
])  # fmt: skip
def test_without_a_reason_nothing_is_done(command: tuple[str, ...]) -> None:
    who = account(amount=9)
    before = rows("select count(*) from acts")
    for reason in ((), ("--reason", ""), ("--reason", "  "), ("--reason", "x" * 501)):
        assert "reason" in refused(*command, str(who), *reason)
    assert rows("select count(*) from acts") == before


def test_what_an_operator_gives_is_written_down_with_the_reason() -> None:
    who = account()
    run("grant", "25", "-a", str(who), "--reason", "they waited")
    run("subscribe", "creator", "-a", str(who), "--reason", "by bank")
    run("change-plan", "studio", "-a", str(who), "--reason", "agreed")
    run("change-plan", "creator", "-a", str(who), "--when", "period_end", "--reason", "too much")
    run("take-back", "5", "-a", str(who), "--reason", "by mistake")
    found = [each for each in acts_on(who) if not (each[1] or "").startswith(("period", "from plan"))]
    assert found == [
        ("credits.grant", "they waited", True), ("plan.paid", "by bank", True), ("plan.changed", "agreed", True),
        ("plan.planned", "too much", True), ("credits.take_back", "by mistake", True),
    ]  # fmt: skip
    assert {each[2] for each in acts_on(who)} == {True}


def test_credits_are_given_for_some_models_with_a_priority_and_an_end_and_all_of_it_is_written_down() -> None:
    who = account()
    given = run(
        "grant", "25", "-a", str(who), "--reason", "a campaign", "--kind", "goodwill", "--priority", "7", "--days", "30",
        "--model", "sketch-image", "--model", "sketch-video", "--model-kind", "text", "--model-kind", "speech",
    )[0]  # fmt: skip
    terms = (7, ["sketch-image", "sketch-video"], ["speech", "text"])
    assert one("select kind, priority, models, kinds from grants where id = %s", given["grant"]) == ("goodwill", *terms)
    (days,) = one(
        "select round(extract(epoch from expires_at - app_now()) / 86400) from grants where id = %s", given["grant"]
    )
    assert days == 30
    (details,) = one("select details from acts where subject = %s", str(who))
    assert (details["priority"], details["models"], details["kinds"]) == terms
    assert (details["kind"], details["expires_at"][:4].isdigit()) == ("goodwill", True)
    # Without any of it: for everything, for ever.
    plain = run("grant", "5", "-a", str(who), "--reason", "x")[0]
    assert one("select priority, models, kinds, expires_at from grants where id = %s", plain["grant"]) == (
        0,
        None,
        None,
        None,
    )
    (details,) = one("select details from acts where subject = %s order by id desc limit 1", str(who))
    assert details.keys() == {"amount", "grant", "kind", "reason"}
    assert_books_are_clean()


@pytest.mark.parametrize(("option", "says"), [
    (("--priority", "101"), "100"), (("--priority", "-1"), "0"), (("--priority", "x"), "priority"), (("--model", ""), "1 to 100"), (("--model", "x" * 101), "101"),
    (("--model", "x") * 51, "51"), (("--model-kind", "smell"), "smell"), (("--days", "36501"), "36500"), (("--days", "0"), "days"),
])  # fmt: skip
def test_terms_that_are_none_are_refused_and_nothing_is_given(option: tuple[str, ...], says: str) -> None:
    who = account()
    assert says in refused("grant", "5", "-a", str(who), "--reason", "x", *option)
    assert rows("select 1 from grants where account_id = %s and kind = 'gift'", who) == []


def test_an_account_is_opened_for_anybody_on_any_plan_and_that_is_written_down() -> None:
    issuer = "https://id.example"
    made = run("account", "user_9", "--issuer", issuer, "--email", "nine@example.com", "--plan", "starter")[0]
    assert (made["new"], made["plan_id"]) == (True, "starter")
    assert run("account", "user_9", "--issuer", issuer)[0]["new"] is False
    assert acts_on(made["account"]) == [("account.open", None, True)]
    assert "no plan" in shell("account", "user_8", "--plan", "nonsense").stderr


def test_users_are_found_by_what_is_known_of_them() -> None:
    with environment({"CLERK_ISSUER": "https://clerk.example"}):
        made = run("account", "user_9", "--issuer", "https://clerk.example", "--email", "nine@example.com")[0]
        run("account", "user_9")  # the same name at another issuer
        key_of(made["account"])
        prefix = one("select prefix from api_keys where account_id = %s", made["account"])[0]
        for wanted in (
            ("--email", "nine@example.com"), ("--identity", "https://clerk.example:user_9"), ("--identity", "clerk:user_9"),
            ("--key-prefix", prefix),
        ):  # fmt: skip
            assert [each["account_id"] for each in run("users", *wanted)] == [made["account"]], wanted
        assert len(run("users", "--identity", "user_9")) == 2
        assert run("users", "--identity", "clerk:user_8") == []


def test_who_canceled_and_ordered_again_is_written_down() -> None:
    job = placed(account(amount=9), model())
    run("cancel", str(job))
    run("retry", str(job))
    assert [each[::2] for each in acts_on(job)] == [("job.cancel", True), ("job.retry", True)]


def test_an_account_is_named_by_id_by_address_or_by_a_providers_id() -> None:
    made = run("account", "user_9", "--issuer", "https://id.example", "--email", "nine@example.com")[0]["account"]
    names = (made, "nine@example.com", "email:nine@example.com", "https://id.example:user_9", "user_9")
    for at, name in enumerate(names, start=1):
        assert run("grant", "5", "-a", name, "--reason", "x")[0]["available"] == 10 + 5 * at, name
        assert run("keys", "-a", name) == []
        assert run("jobs", "-a", name) == []
        assert run("suspend", name, "--reason", "x")[0]["account_id"] == made
        run("resume", name, "--reason", "x")
    run("account", "user_9")  # the same id at another issuer
    for name, says in (
        ("user_9", "several"),
        ("none@example.com", "no account"),
        ("local:none", "no account"),
        ("\0", "no account"),
    ):
        assert says in refused("grant", "5", "-a", name, "--reason", "x")
    assert_books_are_clean()


def test_no_second_account_is_opened_for_an_address_unless_that_is_said() -> None:
    first = run("account", "user_9", "--issuer", "https://id.example", "--email", "nine@example.com")[0]["account"]
    for again in (("nine@example.com",), ("nine", "--email", "nine@example.com")):
        assert "another" in refused("account", *again)
    assert rows("select id::text from accounts") == [(first,)]
    assert run("account", "user_9", "--issuer", "https://id.example", "--email", "nine@example.com")[0]["new"] is False
    assert run("account", "nine@example.com", "--another")[0]["new"] is True
