"""A person who is erased: what names them and what they wrote goes, the books stay, and a stop half-way goes on."""

from uuid import UUID

import pytest

from common.errors import ActRefused, NotFound
from models.access.audit_log import By
from models.db import transaction
from models.files import keeping
from models.fleet.processes import set_place
from models.jobs import ending
from models.jobs.ending import Ending
from models.operations import erasing
from models.schema.tables import metadata
from scheduler.duties import accounts, results, uploads
from tests.conftest import environment
from tests.models.hands import change, later
from tests.models.operations.test_exporting import lived
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")

WHO = By("tester")
ADDRESS = "alice@example.com"


def begun(who: UUID) -> None:
    with transaction() as conn:
        erasing.begin(conn, WHO, who, "they asked for it")


def turns() -> None:
    """The duties come by until none does anything; two minutes later, so that no process knows the user any more."""
    with later(1 / 30):
        for _ in range(40):
            with transaction() as conn:
                set_place(conn, "clear_deleted", None)
            done = [
                accounts.clear_deleted(50),
                accounts.erase_persons(20),
                results.expire_results(100),
                uploads.expire_uploads(100),
            ]
            for aside in (accounts._persons, accounts._erasures):
                aside._until.clear()
            if not any(done):
                return
    raise AssertionError("the duties do not come to an end")


def holding(word: str) -> dict[str, int]:
    """In which tables a word stands in how many rows, whatever the column."""
    tables = [table for table in metadata.tables if table != "acts"]
    found = {
        table: one(f'select count(*) from "{table}" t where to_jsonb(t)::text ilike %s', f"%{word}%")[0]
        for table in tables
    }
    return {table: count for table, count in found.items() if count}


def alice() -> UUID:
    who, _ = lived("alice")
    change(
        "update users set email = %s, first_name = 'alice' where id = (select user_id from accounts where id = %s)",
        ADDRESS,
        who,
    )
    return who


@pytest.mark.parametrize("on_deletion", ["keep", "expire"])
def test_nothing_that_names_them_or_that_they_wrote_is_left_and_the_books_stay(on_deletion: str) -> None:
    who, (other, _) = alice(), lived("bertram")
    change("update assets set expires_at = expires_at + interval '900 days'")
    with transaction() as conn:
        keeping.keep(conn, who, one("select job_id from assets where account_id = %s limit 1", who)[0], 0)
    before = (rows("select * from ledger_entries order by id"), holding("bertram"))
    assert {
        "jobs",
        "users",
        "webhook_endpoints",
        "collections",
        "playground_sessions",
    } <= set(holding("alice"))
    with environment({"ON_USER_DELETED": on_deletion}):
        begun(who)
        turns()
        assert holding("alice") == {"deliveries": 1}  # the last word to their own address is let arrive
        assert one("select finished_at from erasures") == (None,)
        change(
            "update deliveries set status = 'delivered', next_at = null where status = 'pending' and account_id = %s",
            who,
        )
        turns()
    assert holding("alice") == {}
    assert one("select count(*) from erasures where finished_at is not null") == (1,)
    assert rows("select 1 from uploads where account_id = %s and status = 'stored'", who) == []
    assert rows("select 1 from assets where account_id = %s and status = 'stored'", who) == []
    assert one(
        "select deleted_at is not null, email, first_name from users where id = (select user_id from accounts where id = %s)",
        who,
    ) == (True, None, None)
    ledger = rows("select * from ledger_entries order by id")
    assert [each for each in ledger if each in before[0]] == before[0]
    assert holding("bertram") == before[1]
    assert balance(other)[0] > 0
    assert_books_are_clean()


def test_a_job_that_runs_is_let_end_before_its_prompt_goes() -> None:
    who = account(amount=5)
    claimed(placed(who, model(), {"prompt": "a secret"}))
    begun(who)
    turns()
    assert one("select input->>'prompt' from jobs") == ("a secret",)
    assert one("select finished_at from erasures") == (None,)
    with transaction() as conn:
        ending.end(
            conn, who, one("select id from jobs")[0], Ending("canceled"), token=one("select token from job_runs")[0]
        )
    turns()
    assert one("select input from jobs") == ({},)
    assert one("select finished_at is not null from erasures") == (True,)
    assert_books_are_clean()


def test_a_stop_half_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    who, offer = account(amount=9), model()
    for number in range(3):
        claim = claimed(placed(who, offer, {"prompt": f"secret {number}"}))
        with transaction() as conn:
            ending.end(conn, who, claim.job_id, Ending("succeeded", cost_credits=1), token=claim.token)
    monkeypatch.setattr(erasing, "JOBS_AT_ONCE", 1)
    begun(who)
    with pytest.raises(KeyboardInterrupt), transaction() as conn:
        assert erasing.go_on(conn, who)
        raise KeyboardInterrupt
    assert len(rows("select 1 from jobs where input_erased_at is null")) == 3
    with transaction() as conn:
        assert erasing.go_on(conn, who)
    assert len(rows("select 1 from jobs where input_erased_at is null")) == 2
    turns()
    assert rows("select 1 from jobs where input_erased_at is null") == []
    assert one("select count(*) from acts where action = 'account.erase'") == (1,)


def test_a_dry_run_says_what_goes_and_changes_nothing() -> None:
    who = alice()
    before = holding("alice")
    with transaction() as conn:
        found = erasing.preview(conn, who)
    assert (found.goes["prompts"], found.goes["results"], found.goes["uploads"], found.goes["living_jobs"]) == (
        3,
        2,
        1,
        1,
    )
    assert (found.begun_at, holding("alice")) == (None, before)
    begun(who)
    begun(who)  # again, it changes nothing
    with transaction() as conn:
        assert erasing.preview(conn, who).begun_at is not None
    assert one("select count(*) from acts where action = 'account.erase'") == (1,)


def test_nobody_and_the_houses_own_account_are_refused() -> None:
    with pytest.raises(NotFound):
        begun(UUID(int=5))
    who = account()
    with environment({"HOUSE_ACCOUNT": str(who)}), pytest.raises(ActRefused):
        begun(who)
