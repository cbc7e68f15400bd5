"""The standard plans: as the specification has them, and written only where they are missing."""

from itertools import pairwise

import psycopg
import pytest

from models.catalogue.plans import STANDARD_PLANS, apply_standard
from models.db import transaction
from tests.models.hands import change
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")


def applied() -> int:
    with transaction() as conn:
        return apply_standard(conn)


def test_a_missing_plan_is_written_and_one_that_was_changed_stays_as_it_is() -> None:
    change("update plans set credits = 7, name = 'Ours' where id = 'pro'")
    change("delete from plans where id in ('studio', 'creator')")
    assert applied() == 2
    assert applied() == 0
    assert one("select name, credits from plans where id = 'pro'") == ("Ours", 7)
    assert one("select credits, slots, granted from plans where id = 'studio'") == (500, 10, "monthly")


def test_every_field_of_a_plan_is_written() -> None:
    change("delete from plans")
    assert applied() == len(STANDARD_PLANS)
    kept = {row[0]: row[1] for row in rows("select id, to_jsonb(p) from plans p")}
    assert kept == {plan.id: plan.model_dump() for plan in STANDARD_PLANS}


def test_plans_are_shown_in_an_order_of_their_own_and_each_is_at_least_the_one_before_it() -> None:
    assert [plan.position for plan in STANDARD_PLANS] == list(range(len(STANDARD_PLANS)))
    for less, more in pairwise(STANDARD_PLANS):
        assert less.slots < more.slots
        assert less.credits <= more.credits
        assert less.storage_quota_bytes <= more.storage_quota_bytes
        assert less.markup_bp >= more.markup_bp


def test_only_the_free_plan_gives_its_credits_once_and_limits_texts() -> None:
    assert [plan.id for plan in STANDARD_PLANS if plan.granted == "once"] == ["free"]
    assert [plan.id for plan in STANDARD_PLANS if plan.daily_text_jobs is not None] == ["free"]
    assert [plan.id for plan in STANDARD_PLANS if not plan.price_cents] == ["free", "enterprise"]


@pytest.mark.parametrize("wrong", [
    "credits = -1", "price_cents = -1", "markup_bp = -1", "credit_price_usd_micros = 0", "slots = 0", "granted = 'weekly'",
])  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_by_the_database(wrong: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        change(f"update plans set {wrong} where id = 'pro'")
