"""What gives each duty of the scheduler something to do: a table by the duties' names, so that none runs in vain.

A preparation is made by today's clock, and the duty's turns come 30 hours later: leases, keys, results and uploads have
lapsed by then without more ado.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from uuid_utils.compat import uuid7

from common.settings import settings
from models.access import browser_tokens
from models.access.audit_log import By
from models.access.browser_tokens import NewToken
from models.accounts import paid_periods
from models.catalogue import providers
from models.catalogue.providers import ProviderEntry
from models.credits import holds, ledger
from models.credits.hold_rows import NewHold
from models.db import transaction
from models.events import announcements, deliveries, endpoints
from models.files import keeping
from models.fleet import processes
from models.identity import inbound
from models.jobs import batches, callbacks, ending, pauses
from models.jobs.admission import Accepted, Order
from models.jobs.batches import Line
from models.jobs.ending import AttemptEnd, Ending, NewAsset
from models.jobs.states import AttemptPhase
from models.operations import bulk, erasing
from models.operations.finding import JobFilter, id_at
from models.payments import orders
from models.playground import sessions
from models.playground.sessions import NewSession
from models.usage import entries
from scheduler.duties import gallery, results, retention, uploads
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.far_side.stripe import StripeServer
from tests.files import picture
from tests.models.payments.shop import pack
from tests.receivers import Receiver, tell
from tests.support import account, caller, claimed, key_of, model, one, order, place, placed, rows, uploaded
from workers.doorbell import NAMESPACE

# Time has passed; what a turn has rung is not due again before the next one, however slow the machine.
LATE = {"CLOCK_OFFSET_SECONDS": str(30 * 3600), "RING_AGAIN_SECONDS": "600"}

# What is looked at, and mended, between a duty's two turns, where its effect is not the number it returns.
Between = Callable[[], None]


def stored(who: UUID, count: int = 1, media: str = "text/plain") -> None:
    """Jobs that succeeded with one small stored result each."""
    offer = model()
    for _ in range(count):
        job_id = placed(who, offer)
        claim = claimed(job_id)
        key = keys.result_key(who, job_id, 1, 0, b"0" * 32, "txt")
        storage().put_bytes(key, b"result", media)
        asset = NewAsset(uuid7(), 0, key, media, 6, b"0" * 32)
        with transaction() as conn:
            ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1, assets=[asset]), token=claim.token)


def past_month(table: str, months: int) -> str:
    """A partition of so many months ago, which no function of ours makes. Returns its name."""
    with transaction() as conn:
        row = conn.execute(
            """select %s || to_char(m, '_YYYY_MM'), m::text || '+00', (m + interval '1 month')::text || '+00'
                 from (select date_trunc('month', app_now() at time zone 'UTC') - make_interval(months => %s) as m) x""",
            [table, months],
        ).fetchone()
        assert row is not None
        name, first, after = row
        conn.execute(
            f"create table if not exists {name} partition of {table} for values from ('{first}') to ('{after}')"
        )
    return str(name)


def announced(
    title: str = "New", body: str = "There is {more}.", plan: str | None = None
) -> announcements.AnnouncementRow:
    """An announcement that nobody has been told of yet."""
    with transaction() as conn:
        return announcements.create(conn, By("tester"), title, body, plan)


def _change(statement: str, *values: Any) -> None:
    with transaction() as conn:
        assert conn.execute(statement, list(values)).rowcount > 0, f"changed nothing: {statement}"


def _emptied(prefix: str) -> None:
    """Other tests leave objects in the bucket, which a reaper would be busy with for several turns."""
    while page := storage().list_page(prefix, None, 1000):
        storage().delete_many([item.key for item in page])


def _a_job() -> None:
    placed(account(amount=5), model())


def _a_retry() -> None:
    claim = claimed(placed(account(amount=5), model()))
    assert claim.live is not None
    with transaction() as conn:
        ending.put_back(
            conn, claim.account_id, claim.job_id, token=claim.token, after_seconds=0, reason="because",
            attempt=AttemptEnd(claim.live.number, "failed", "oops"), spends_attempt=True,
        )  # fmt: skip


def _a_lease() -> None:
    claimed(placed(account(amount=5), model()))


def _a_batch(count: int) -> UUID:
    """One that may have one job at a time, whose first has ended. Returns whose it is."""
    who, offer = account(amount=9), model()
    asked = [Line(number, None, order(who, offer)) for number in range(1, count + 1)]
    with transaction() as conn:
        batches.place(conn, who, asked, all_or_none=True, max_running=1)
    claim = claimed(one("select job_id from job_runs where dispatched")[0])
    with transaction() as conn:
        ending.end(conn, who, claim.job_id, Ending("succeeded", cost_credits=1), token=claim.token)
    return who


def _a_batch_whose_first_has_ended() -> None:
    _a_batch(3)


def _a_batch_that_is_over() -> None:
    _a_batch(1)


def _a_plan_that_grew() -> None:
    who, offer = account(amount=9, plan="free"), model()
    for _ in range(5):
        placed(who, offer)
    _change("update plans set slots = slots + 2 where id = 'free'")


def _results() -> None:
    stored(account(amount=9), 2)


def _expired_results() -> None:
    _results()
    with environment(LATE):
        assert results.expire_results(10) == 2
    _change("update assets set expired_at = expired_at - interval '1 hour'")


def _a_cdn_that_knows_nothing() -> None:
    far, who = Receiver(), account(amount=9)
    # The test's database takes the environment back with it; the far side ends with the process.
    os.environ |= {"CDN_PURGE_URL": far.url, "ALLOW_PRIVATE_ADDRESSES": far.place}
    settings.cache_clear()
    stored(who)
    with transaction() as conn:
        assert keeping.delete(conn, who, one("select id from jobs")[0]) == 1


def _stray_results() -> None:
    _emptied(keys.RESULTS)
    stored(who := account(amount=9))
    job_id = one("select id from jobs")[0]
    storage().put_bytes(keys.result_key(who, job_id, 99, 0, b"0" * 32, "png"), b"stray", "image/png")


def _uploads() -> None:
    uploaded(account(), [picture()])


def _expired_uploads() -> None:
    _uploads()
    with environment(LATE):
        assert uploads.expire_uploads(10) == 1
    _change("update uploads set expired_at = expired_at - interval '1 hour'")


def _stray_uploads() -> None:
    _emptied(keys.UPLOADS)
    storage().put_bytes(keys.upload_key(account(), uuid7(), "png"), b"stray", "image/png")


def _inputs_of_nobody() -> None:
    _emptied(keys.INPUTS)
    storage().put_bytes(keys.input_key(account(), uuid7(), "photo"), b"stray", "image/png")


def _an_open_upload() -> None:
    store = storage()
    store._client.create_multipart_upload(Bucket=store._bucket, Key=f"{keys.RESULTS}left-open")


def _a_grant_for_an_hour() -> None:
    with transaction() as conn:
        ledger.grant(
            conn, account(), kind="gift", amount=3, ref="short", expires_at=datetime.now(UTC) + timedelta(hours=1)
        )


def _a_subscription(interval: str) -> None:
    """One that began a month ago."""
    who = account()
    with transaction() as conn:
        paid_periods.subscribe(conn, who, "creator", interval)
    _change(
        """update subscriptions set started_at = started_at - interval '1 month', ends_at = ends_at - interval '1 month', anchor = anchor - interval '1 month',
                  next_grant_at = next_grant_at - interval '1 month'"""
    )
    _change("update grants set expires_at = expires_at - interval '1 month' where kind = 'plan'")


def _a_user_who_left() -> None:
    account(amount=3)
    _change("update users set deleted_at = app_now(), email = null")


def _an_announcement() -> None:
    account()
    announced()


def _a_month_missing() -> None:
    [(last,)] = rows("select max(relname) from pg_class where relname ~ '^events_[0-9]{4}_[0-9]{2}$'")
    with transaction() as conn:
        conn.execute(f"drop table {last}")


def _an_old_month() -> None:
    past_month("events", 6)


def _a_month_to_archive() -> None:
    past_month("events", 6)
    with environment({"ARCHIVE": "true"}):
        retention.drop_partitions(1)


def _old_word_of_a_service() -> None:
    with transaction() as conn:
        inbound.store(conn, "clerk", "msg_1", "user.updated", {})
    _change("update inbound_events set received_at = received_at - interval '91 days'")


def _an_idempotency_key() -> None:
    placed(account(amount=5), model(), idempotency_key="k", body_hash=b"x")


def _a_call_for_an_ended_job() -> None:
    job_id = placed(who := account(amount=5), model())
    claim = claimed(job_id)
    assert claim.live is not None
    with transaction() as conn:
        callbacks.store(conn, job_id, claim.live.number, {}, b"done")
        ending.end(conn, who, job_id, Ending("failed", error_code="x", error_message="y"), token=claim.token)
    assert one("select count(*) from provider_callbacks") == (1,)


def _an_old_notification() -> None:
    tell(account(), kind="announcement")
    _change("update notifications set created_at = created_at - interval '91 days'")


def _a_worker_that_was_killed() -> None:
    with transaction() as conn:
        processes.report_worker(conn, "host:1:abc", "interactive", 8, 8, 0)


def _a_pause_for_an_hour() -> None:
    who = account(amount=5)
    placed(who, model())
    with transaction() as conn:
        pauses.pause(conn, By("tester"), "account", str(who), "because")


def _a_provider_that_has_cost_enough() -> None:
    who = account(amount=5)
    limited = ProviderEntry(name="dear", adapter="sketch", daily_usd_micros=1)
    with transaction() as conn:
        providers.apply(conn, [limited])
    attempt = AttemptEnd(1, AttemptPhase.DONE, charged=True, cost_usd_micros=5)
    done = Ending("succeeded", cost_credits=1, attempt=attempt)
    with environment(LATE):  # it counts what has ended on the day of its turn
        job_id = placed(who, model(routes=[{"provider": "dear", "model": "image", "options": {"instant": True}}]))
        claim = claimed(job_id)
        with transaction() as conn:
            ending.end(conn, claim.account_id, job_id, done, token=claim.token)


def _a_bulk_run() -> None:
    who = account(amount=9)
    for _ in range(3):
        placed(who, model())
    with transaction() as conn:
        bulk.start(conn, By("tester"), "cancel", JobFilter(account_id=who), "because")


def _a_wake_far_ahead() -> None:
    claimed(placed(account(amount=5), model()))
    _change("update job_runs set wake_at = wake_at + interval '2 days'")


def _a_lost_message() -> Between:
    """It is deleted at the second look: at the first it may be on its way."""
    client, messages = redis.Redis.from_url(settings().redis_url), f"{NAMESPACE}:interactive.msgs"
    client.hset(messages, "lost", b"a message that is in no line")
    retention.mend_messages(1)
    assert client.hexists(messages, "lost"), "it may be on its way"

    def between() -> None:
        assert not client.hexists(messages, "lost")
        client.close()

    return between


def _an_old_line() -> None:
    with transaction() as conn:
        made = endpoints.create(conn, who := account(), "https://example.com/hook", ())[0].id
        deliveries.send(conn, who, made, "webhook.test", {}, endpoint_id=made)
    _change("update deliveries set status = 'delivered', next_at = null, delivered_at = app_now()")
    _change("update delivery_queues set wake_at = null, used_at = app_now() - interval '31 days'")


def _an_old_key() -> None:
    key_of(account())
    _change("update api_keys set revoked_at = app_now() - interval '91 days'")


def _an_old_token() -> None:
    with transaction() as conn:
        browser_tokens.give_out(conn, caller(account()), NewToken(["generate"], credits=1))
    _change("update browser_tokens set expires_at = app_now() - interval '25 hours'")


def _a_purged_upload() -> None:
    _expired_uploads()
    _change("update uploads set purged_at = app_now() - interval '31 days'")


def _an_old_act() -> None:
    _change(
        """insert into acts (at, actor, action, subject, details)
           values (app_now() - interval '3 years', 'tester', 'test', 'x', '{}')"""
    )


def _books_that_are_wrong() -> Between:
    account(amount=5)
    _change("update accounts set available = available + 1")

    def between() -> None:
        error = one("select error from duties where name = 'audit'")[0]
        assert error is not None, "the audit has not found what is wrong"
        assert "entries_sum_to_balances" in error
        _change("update accounts set available = available - 1")

    return between


def _an_order_that_is_refused() -> None:
    os.environ["MANUAL_PAYMENTS"] = "true"
    who, _ = account(), pack()
    with transaction() as conn:
        orders.create(conn, who, orders.find_pack(conn, "small", "USD"), "manual")
        conn.execute("update payments set check_at = app_now()")


def _an_account_that_runs_low() -> None:
    who, _ = account(), pack()
    _change(
        f"""insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
            values ('{who}', 'small', 'USD', 5, 99, 'stripe', 'cus_1', 'pm_1')"""
    )


def _a_subscription_of_who_left() -> Between:
    far, who = ExitStack(), account()
    stripe = far.enter_context(StripeServer().running())
    stripe.things["sub_1"] = {"id": "sub_1", "object": "subscription"}
    # The test's database takes the environment back with it.
    os.environ |= {"STRIPE_KEY": "sk_test_key", "STRIPE_WEBHOOK_SECRET": stripe.secret, "STRIPE_URL": stripe.url}
    with transaction() as conn:
        paid_periods.pay_subscription(
            conn, who, "starter", "monthly", payment_ref="x", renewer="stripe", company_id="sub_1"
        )
    _change(f"update users set deleted_at = now() where id = (select user_id from accounts where id = '{who}')")

    def between() -> None:
        assert stripe.things["sub_1"]["cancel_at_period_end"]
        far.close()

    return between


def _a_result_that_is_kept() -> None:
    stored(account(amount=9), media="image/png")
    _change("update assets set expires_at = expires_at + interval '9 days'")


def _an_item() -> None:
    stored(account(amount=9), media="image/png")
    assert gallery.index_results(10) == 1


def _a_ban() -> None:
    _an_item()
    _change("update gallery_items set public = true, published_at = app_now()")
    _change("update users set banned = true")


def _a_hold_for_an_hour() -> None:
    who = account(amount=5)
    with transaction() as conn:
        holds.create(conn, caller(who), NewHold(3, 3600))


def _a_text_that_nobody_has_read() -> None:
    who = account(amount=9)
    stored(who)
    with transaction() as conn:
        sessions.create(conn, who, one("select id from jobs")[0], "a prompt", NewSession())


def _a_person_to_erase() -> None:
    who = account(amount=5)
    with transaction() as conn:
        erasing.begin(conn, By("tester"), who, "because")
    _change("update users set erased_at = app_now() where deleted_at is not null")


def _placed(wanted: Order) -> UUID:
    (answer,) = place(wanted)
    assert isinstance(answer, Accepted), answer
    return answer.job_id


def _a_job_of_long_ago() -> None:
    os.environ |= {"PROMPT_DAYS": "1", "JOB_DAYS": "31"}
    settings.cache_clear()
    who, old = account(amount=9), id_at(datetime.now(UTC) - timedelta(days=60))
    claim = claimed(_placed(replace(order(who, model()), job_id=old)))
    with transaction() as conn:
        ending.end(conn, who, old, Ending("succeeded", cost_credits=1), token=claim.token)
    for months in (1, 2, 3):
        past_month("usage", months)
    with transaction() as conn:
        # It ended long ago as well, which the database lets nobody say.
        conn.execute("alter table jobs disable trigger ended_jobs_never_change")
        conn.execute("update jobs set ended_at = ended_at - interval '60 days'")
        conn.execute("alter table jobs enable trigger ended_jobs_never_change")
        entries.add_up(conn, 10)


PREPARATIONS: dict[str, Callable[[], Between | None]] = {
    "ring_due": _a_job,
    "retry_due": _a_retry,
    "rescue": _a_lease,
    "fill_slots": _a_plan_that_grew,
    "let_batches_go": _a_batch_whose_first_has_ended,
    "end_batches": _a_batch_that_is_over,
    "release_pauses": _a_pause_for_an_hour,
    "watch_spending": _a_provider_that_has_cost_enough,
    "carry_out_bulk": _a_bulk_run,
    "mend_wakes": _a_wake_far_ahead,
    "mend_messages": _a_lost_message,
    "add_up_usage": _results,
    "index_results": _a_result_that_is_kept,
    "forget_items": _an_item,
    "mark_shut": _a_ban,
    "expire_results": _results,
    "purge_results": _expired_results,
    "tell_cdn": _a_cdn_that_knows_nothing,
    "reap_strays": _stray_results,
    "keep_texts": _a_text_that_nobody_has_read,
    "expire_uploads": _uploads,
    "purge_uploads": _expired_uploads,
    "reap_uploads": _stray_uploads,
    "reap_inputs": _inputs_of_nobody,
    "abort_uploads": _an_open_upload,
    "expire_holds": _a_hold_for_an_hour,
    "expire_grants": _a_grant_for_an_hour,
    "grant_periods": lambda: _a_subscription("yearly"),
    "expire_subscriptions": lambda: _a_subscription("monthly"),
    "look_at_payments": _an_order_that_is_refused,
    "order_refills": _an_account_that_runs_low,
    "end_renewals": _a_subscription_of_who_left,
    "clear_deleted": _a_user_who_left,
    "announce": _an_announcement,
    "make_partitions": _a_month_missing,
    "drop_partitions": _an_old_month,
    "archive": _a_month_to_archive,
    "forget_inbound": _old_word_of_a_service,
    "forget_keys": _an_idempotency_key,
    "forget_callbacks": _a_call_for_an_ended_job,
    "forget_notifications": _an_old_notification,
    "forget_workers": _a_worker_that_was_killed,
    "forget_delivery_queues": _an_old_line,
    "forget_api_keys": _an_old_key,
    "forget_tokens": _an_old_token,
    "forget_uploads": _a_purged_upload,
    "erase_prompts": _a_job_of_long_ago,
    "erase_persons": _a_person_to_erase,
    "forget_jobs": _a_job_of_long_ago,
    "forget_acts": _an_old_act,
    "audit": _books_that_are_wrong,
}


def contents() -> dict[str, str]:
    """A fingerprint of each table's rows, but for the duties' own."""
    tables = rows(
        """select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
              and not relispartition and relname not in ('duties', 'provider_days')"""
    )
    return {
        name: str(one(f"select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {name} t")[0])
        for (name,) in tables
    }
