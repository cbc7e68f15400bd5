"""The audit finds what it says it finds: each rule is broken by hand once."""

import psycopg
import pytest

from models.accounts import paid_periods
from models.credits import audit, holds, label_limits
from models.credits.hold_rows import NewHold
from models.db import transaction
from models.jobs.ending import Ending, end
from models.usage.entries import add_up
from tests.support import account, assert_books_are_clean, caller, claimed, model, placed

pytestmark = pytest.mark.usefixtures("database")

BREAKS = {
    "entries_sum_to_balances": "update accounts set available = available + 1",
    "balances_after_follow_each_other": "update ledger_entries set available_after = available_after + 1 where kind = 'reserve'",
    "grants_sum_to_available": "update grants set remaining = remaining - 1 where open",
    "open_reservations_sum_to_reserved": "update accounts set reserved = reserved + 1",
    "reservations_equal_their_grants": "update reservation_grants set amount = amount + 1",
    "holds_equal_their_grants_and_entries": "update holds set settled = settled + 1",
    "scopes_are_kept": "update grants set models = array['another']",
    "resolved_reservations_settle_each_grant": "update reservation_grants set settled = null",
    "grants_are_accounted_for": "update grants set remaining = remaining - 1",
    "debts_are_spent_credits_of_revoked_grants": "update accounts set debt = debt + 1",
    "keys_spend_what_their_jobs_hold_or_cost": """insert into key_spending (key_id, month, credits)
        select gen_random_uuid(), app_now()::date, 1""",
    "labels_spend_what_their_orders_hold_or_cost": "update label_spending set credits = credits + 1",
    "label_limits_are_known_to_their_account": "update accounts set has_label_limits = false",
    "reservations_are_resolved_once": "update ledger_entries set amount = amount + 1 where kind = 'settle'",
    "living_jobs_have_runs": "delete from job_runs",
    "nothing_is_made_or_lost": "update ledger_entries set amount = amount + 1 where kind = 'grant'",
    "grants_were_issued": "update grants set amount = amount + 1",
    "payments_gave_what_is_due": """insert into payments (id, account_id, company, purpose, item, credits, price, currency, money,
        status, paid, paid_currency, paid_at, expires_at) select gen_random_uuid(), id, 'manual', 'pack', 'x', 5, 1, 'USD', 'paid', 'paid', 1, 'USD',
        app_now(), app_now() from accounts limit 1""",
    "slots_are_counted": "update accounts set slots_in_use = slots_in_use + 1",
    "what_comes_is_counted": "update accounts set expected_bytes = expected_bytes + 1",
    "storage_is_counted": "update accounts set storage_bytes = storage_bytes + 1",
    "usage_is_what_jobs_did": "update usage set credits = credits + 1 where source = 'job'",
    "forgotten_jobs_are_narrow": """update jobs set account_id = null, past_account_id = account_id, remains = '{}', input_erased_at = app_now()
        where ended = 'succeeded'""",
    "usage_has_entries_of_ended_jobs": "insert into usage_entries (account_id, job_id) select account_id, id from jobs where ended is null",
    "usage_is_what_holds_spent": "delete from usage where source = 'hold'",
    "usage_is_what_is_stored": "insert into usage (account_id, at, source, bytes_removed) select id, app_now(), 'storage', 1 from accounts",
    "results_belong_to_successes": """insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, expires_at)
        select gen_random_uuid(), id, account_id, 0, 'k', 'image/png', 1, sha256('x'), app_now() from jobs where ended is null""",
    "attempts_end_with_their_job": """insert into attempts (job_id, number, token, provider, route, phase)
        select id, 9, 1, 'sketch', 0, 'intent' from jobs where ended is not null""",
    "events_have_no_gaps": "delete from events where number = 2",
    "kinds_are_counted": "insert into stored_kinds (account_id, kind, files) select id, 'text', 1 from accounts limit 1",
    "webhooks_are_known_to_their_account": "update accounts set has_webhooks = true",
    "waiting_deliveries_have_a_queue_that_wakes": """insert into deliveries
        (id, queue_id, account_id, channel, event_type, event_at, data, next_at)
        select gen_random_uuid(), gen_random_uuid(), id, 'email', 'x', app_now(), '{}', app_now() from accounts limit 1""",
    "periods_are_granted_once": "update subscriptions set periods_granted = 0",
    "accounts_are_on_the_plan_of_their_subscription": "update accounts set plan_id = 'pro'",
    "each_job_ends_with_one_event": "delete from events where type = 'job.succeeded'",
}


@pytest.fixture
def books() -> None:
    who, offer = account(amount=20), model(price={"credits": 3})
    ended, _living = placed(who, offer), placed(who, offer)
    claim = claimed(ended)
    with transaction() as conn:
        end(conn, who, ended, Ending("succeeded", cost_credits=2), token=claim.token)
        paid_periods.subscribe(conn, who, "starter")
        label_limits.set_limit(conn, who, "customer", "acme", 9)
        made = holds.create(conn, caller(who), NewHold(3, 3600, labels={"customer": "acme"}))
        holds.settle(conn, who, made.id, 1)
        assert add_up(conn, 10) == 1


def test_sound_books_have_no_findings(books) -> None:
    assert_books_are_clean()


def test_every_rule_is_broken_here() -> None:
    assert set(BREAKS) == {rule.name for rule in audit.RULES}


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_is_found_with_its_rows(books, rule: str, database: str) -> None:
    # Constraints and triggers would refuse this: they are switched off, as a damaged database would be.
    with psycopg.connect(database) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(BREAKS[rule])
    with transaction() as conn:
        findings = {finding.rule: finding for finding in audit.audit(conn)}
    assert rule in findings
    assert findings[rule].rows
