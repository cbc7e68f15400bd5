"""Credits are given with an act: who, and why. Only a sign-up's have none, since nobody decides on them."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from models.access.audit_log import By
from models.accounts import plan_changes
from models.db import transaction
from models.payments import promotions
from models.payments.states import Money
from scheduler.duties import accounts
from tests.conftest import environment
from tests.gates import sources
from tests.models.accounts.test_paid_periods import paid, repaid, unpaid
from tests.models.accounts.test_subscriptions import later
from tests.models.payments.shop import D, ordered, pack, told
from tests.support import account, rows

ROOT = Path(__file__).resolve().parents[3]
ME = By("somebody")


def grants_without_act() -> list[tuple[object, ...]]:
    return rows(
        """select g.kind, g.ref from grants g
            where g.kind <> 'signup' and g.ref <> 'test'
              and not exists (select 1 from acts where action = 'credits.grant' and details->>'grant' = g.id::text
                                 and subject = g.account_id::text and details->>'reason' <> '' and actor <> '')"""
    )


def acts_of(who: UUID) -> list[tuple[object, ...]]:
    return rows(
        """select action, actor, details->>'amount', details->>'reason' from acts
            where subject = %s and action like 'credits.%%' order by id""",
        str(who),
    )


def test_credits_are_granted_in_one_place_and_at_sign_up() -> None:
    code = sources(ROOT, ("api", "models", "scheduler", "workers", "cli", "companies"), frozenset({".py"}))
    found = {path for path, text in code.items() if re.search(r"\bledger\.grant\(|import grant\b", text)}
    assert found == {"models/credits/giving.py", "models/accounts/accounts.py"}


@pytest.mark.usefixtures("database")
def test_the_schedulers_grants_of_each_month_and_what_it_rolls_over_are_written_down_once() -> None:
    who = account()
    with environment({"ROLLOVER_MAX_CREDITS": "100"}):
        paid(who, "a", interval="yearly")
        with later(31.01):
            assert [accounts.grant_periods(100) for _ in range(2)] == [1, 0]
    assert acts_of(who) == [
        ("credits.grant", "payments", "250", "period 0 of plan creator"),
        ("credits.grant", "scheduler", "250", "period 1 of plan creator"),
        ("credits.grant", "scheduler", "100", "left of period 0 of plan creator"),
    ]
    assert grants_without_act() == []


@pytest.mark.usefixtures("database")
def test_whatever_gives_credits_is_written_down_with_who_and_why() -> None:
    first, second, third = account(), account(), account()
    with transaction() as conn:
        promotions.create(conn, ME, "WELCOME", credits=7)
        promotions.redeem(conn, first, "WELCOME", by=By("the user"))
        plan_changes.start_trial(conn, second, "reimaji-pro", by=ME)
    order = ordered(third, pack())
    told(order)
    told(order, refunded=D("2.50"))
    assert acts_of(first) == [("credits.grant", "the user", "7", "code WELCOME")]
    assert [each[1:2] + each[3:] for each in acts_of(second)] == [("somebody", "trial of plan reimaji-pro")]
    assert acts_of(third) == [
        ("credits.grant", "test", "100", f"payment {order}"),
        ("credits.take_back", "test", "25", f"payment {order}"),
    ]
    paid(first, "b")
    with transaction() as conn:
        plan_changes.change_plan(conn, first, "studio", by=ME, when="now", paid=True, reason="they complained")
    unpaid("b")
    repaid("b")
    assert grants_without_act() == []
    assert rows("select details->>'reason' from acts where action = 'plan.changed'") == [("they complained",)]


@pytest.mark.usefixtures("database")
def test_a_change_that_is_to_come_and_is_undone_is_written_down() -> None:
    who = account()
    paid(who, "a", plan="studio")
    with transaction() as conn:
        plan_changes.change_plan(conn, who, "creator", by=ME, reason="less")
        for _ in range(2):
            plan_changes.change_plan(conn, who, "studio", by=ME, reason="after all")
    assert rows("select action, details->>'reason' from acts where action in ('plan.planned', 'plan.kept')") == [
        ("plan.planned", "less"),
        ("plan.kept", "after all"),
    ]


@pytest.mark.usefixtures("database")
def test_money_of_an_unpaid_order_gives_nothing_and_writes_nothing() -> None:
    who = account()
    told(ordered(who, pack()), Money.PENDING)
    assert acts_of(who) == []
