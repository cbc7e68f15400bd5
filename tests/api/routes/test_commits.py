"""Uncertain is not wrong: the answer to a COMMIT is lost, held or never sent, on every route that writes."""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from api.main import make_app, needs_of
from api.provisioning.provisioning import _new
from api.provisioning.shapes import WebCredentialView
from common.errors import Unavailable
from common.settings import settings
from models import db
from models.access import api_keys, browser_tokens
from models.access.audit_log import By
from models.access.scopes import SCOPES
from models.accounts import paid_periods, plan_changes
from models.catalogue import provider_keys, providers
from models.catalogue.providers import ProviderEntry
from models.content import articles, reading
from models.credits import holds, label_limits
from models.credits.hold_rows import NewHold
from models.db import CommitUnknown, certain, transaction
from models.events import endpoints
from models.files import keeping
from models.fleet import processes
from models.gallery import items, links, members
from models.jobs import batches, pauses
from models.jobs.batches import Line
from models.jobs.callbacks import token_of
from models.jobs.ending import Ending, NewAsset, end
from models.operations import bulk
from models.operations.finding import JobFilter
from models.payments import refills
from models.playground import sessions
from models.playground.sessions import NewSession
from models.provisioning import credentials
from tests.api.edge.test_texts import ENTRY, RECORD
from tests.commits import FATES, CommitProxy, Fate, proxied
from tests.conftest import environment
from tests.depth import pairs
from tests.files import picture
from tests.models.content.desk import shown, written
from tests.models.gallery.things import collection, result, somebody
from tests.models.jobs.standing import parked_job
from tests.models.learning.school import course, question
from tests.models.payments.shop import ordered, pack, told
from tests.support import (
    ADMIN_TOKEN,
    account,
    assert_books_are_clean,
    balance,
    caller,
    claimed,
    model,
    one,
    order,
    placed,
    rows,
    uploaded,
)

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

QUIET = {"CATALOGUE_REFRESH_SECONDS": "600", "MANUAL_PAYMENTS": "true"}  # nothing else writes meanwhile


@pytest.fixture
def quiet(database: str) -> Iterator[str]:
    with environment(QUIET):
        yield database


@pytest.fixture
def proxy(quiet: str) -> Iterator[CommitProxy]:
    with proxied(quiet) as made, environment({"DATABASE_URL": made.url}):
        yield made


class Case:
    """One route that writes: what is there before, the request, and how often what it does has been done."""

    def __init__(
        self,
        method: str,
        path: str,
        done: Callable[["World"], int],
        *,
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> None:
        self.method, self.path, self.done, self.request = method, path, done, request
        self.headers = headers or {}


class World:
    """An account with one of everything that a route can change."""

    def __init__(self) -> None:
        self.who = account(amount=20)
        offer = model("quick")
        self.job = placed(self.who, offer)
        self.ended = placed(self.who, offer)
        with transaction() as conn:
            from models.jobs.cancel import cancel

            cancel(conn, self.ended)
            self.key_id, _ = api_keys.create(conn, self.who, api_keys.NewKey("old"))
            self.browser_token = browser_tokens.give_out(
                conn, replace(caller(self.who), scopes=frozenset(SCOPES)), browser_tokens.NewToken(["stream"])
            )[0].id
            self.hook = endpoints.create(conn, self.who, "https://example.com/hook", [])[0].id
            providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
            provider_keys.save(conn, self.who, "router", provider_keys.SecretStr("sk-before-it-all"))
            self.user = conn.execute("update users set role = 'admin' returning id").fetchone()[0]
            self.notice = uuid4()
            conn.execute(
                """insert into notifications (id, account_id, event_number, kind, title, body, data)
                   values (%s, %s, 1, 'announcement', 'a', 'b', '{}')""",
                [self.notice, self.who],
            )
            pauses.pause(conn, By("tester"), "provider", "router", "x")
            self.secret = api_keys.create(conn, self.who, api_keys.NewKey("asks", scopes=SCOPES))[1]
        self.leaver = account()
        self.code = "CODE-1"
        self.course, self.module, self.lesson, self.question = a_course(), MODULE, LESSON, QUESTION
        with transaction() as conn:
            self.hold = holds.create(conn, caller(self.who), NewHold(1, 3600)).id
        self.other, self.gone = (one("select user_id from accounts where id = %s", account())[0] for _ in range(2))
        pack()
        self.unpaid, self.paid = ordered(self.who, company="manual"), ordered(self.who, company="manual")
        told(self.paid, customer_id="cus_1", card_id="pm_1")
        with transaction() as conn:
            conn.execute("update users set suspended_at = app_now() where id = %s", [self.gone])
            conn.execute("insert into promotions (code, credits) values ('CODE-1', 1)")
            conn.execute("delete from notifications where kind = 'payment.succeeded'")

    def count(self, statement: str, *values: Any) -> int:
        number: int = one(statement, *values)[0]
        return number


def counted(statement: str, *names: str) -> Callable[[World], int]:
    return lambda world: world.count(statement, *(getattr(world, name) for name in names))


MODULE, LESSON, QUESTION = (f"019a0000-0000-7000-8000-00000000000{n}" for n in range(3))


def a_course() -> UUID:
    """A course of one module, one lesson and one question, whose ids are known."""
    course_id, (lesson_id,) = course(1)
    question_id = question(lesson_id, [0])
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")  # ids are given anew
        conn.execute("update course_modules set id = %s", [MODULE])
        conn.execute("update lessons set id = %s, module_id = %s", [LESSON, MODULE])
        conn.execute("update quiz_questions set id = %s, lesson_id = %s where id = %s", [QUESTION, LESSON, question_id])
    return course_id


WEB = {"authorization": f"Bearer {ADMIN_TOKEN}"}
CASES = {
    "order": Case(
        "post", "/v1/jobs", counted("select count(*) from jobs where input->>'seed' = '77'"),
        json={"model": "quick", "input": {"seed": 77}},
    ),
    "order with a file": Case(
        "post", "/v1/jobs", counted("select count(*) from jobs where model_id = 'framed'"),
        json={"model": "framed", "input": {"image": "{upload}"}},
    ),
    "order again": Case("post", "/v1/jobs/{ended}/retry", counted("select count(*) from jobs where retry_of = %s", "ended")),
    "cancel": Case(
        "post", "/v1/jobs/{job}/cancel", counted("select count(*) from jobs where id = %s and ended = 'canceled'", "job")
    ),
    "order a batch": Case(
        "post", "/v1/batches", counted("select count(*) from jobs where input->>'seed' = '78'"),
        content='{{"model": "quick", "input": {{"seed": 78}}}}',
    ),
    "cancel a batch": Case(
        "post", "/v1/batches/{batch}/cancel", counted("select count(*) from batches where cancel_requested_at is not null")
    ),
    "upload": Case("post", "/v1/files", counted("select count(*) from uploads"), files={"file": ("a.png", picture())}),
    "delete an upload": Case(
        "delete", "/v1/files/{upload}", counted("select count(*) from uploads where status = 'deleted'")
    ),
    "delete a result": Case(
        "delete", "/v1/jobs/{done}/outputs/{place}", counted("select count(*) from assets where status = 'deleted'")
    ),
    "delete results": Case(
        "delete", "/v1/jobs/{done}/outputs", counted("select count(*) from assets where status = 'deleted'")
    ),
    "keep a result": Case(
        "post", "/v1/jobs/{done}/outputs/{place}/keep", counted("select count(*) from assets where plan_ends_at is not null")
    ),
    "let a result go": Case(
        "delete", "/v1/jobs/{done}/outputs/{place}/keep", counted("select count(*) from assets where plan_ends_at is null")
    ),
    "make a key": Case(
        "post", "/v1/keys", counted("select count(*) from api_keys where name = 'new'"), json={"name": "new"}
    ),
    "rotate a key": Case(
        "post", "/v1/keys/{key_id}/rotate", counted("select count(*) - 1 from api_keys where name = 'old'"), json={}
    ),
    "revoke a key": Case(
        "delete", "/v1/keys/{key_id}", counted("select count(*) from api_keys where revoked_at is not null")
    ),
    "make a browser token": Case(
        "post", "/v1/tokens", counted("select count(*) from browser_tokens where may = '{read}'"), json={"may": ["read"]}
    ),
    "revoke a browser token": Case(
        "delete", "/v1/tokens/{browser_token}", counted("select count(*) from browser_tokens where revoked_at is not null")
    ),
    "set a provider key": Case(
        "put", "/v1/provider-keys/router", counted("select count(*) from provider_keys where hint = '-now'"),
        json={"key": "sk-another-now"},
    ),
    "forget a provider key": Case(
        "delete", "/v1/provider-keys/router", counted("select 1 - count(*) from provider_keys")
    ),
    "add a webhook": Case(
        "post", "/v1/webhooks", counted("select count(*) - 1 from webhook_endpoints"), json={"url": "https://example.com/2"}
    ),
    "change a webhook": Case(
        "patch", "/v1/webhooks/{hook}", counted("select count(*) from webhook_endpoints where description = 'x'"),
        json={"description": "x"},
    ),
    "remove a webhook": Case("delete", "/v1/webhooks/{hook}", counted("select 1 - count(*) from webhook_endpoints")),
    "rotate a webhook": Case(
        "post", "/v1/webhooks/{hook}/rotate",
        counted("select count(*) from webhook_endpoints where previous_secret is not null"),
    ),
    "rotate the default": Case(
        "post", "/v1/webhooks/default/rotate",
        counted("select count(*) from webhook_secrets where previous_secret is not null"),
    ),
    "the default secret": Case("get", "/v1/webhooks/default/secret", counted("select count(*) from webhook_secrets")),
    "test a webhook": Case("post", "/v1/webhooks/{hook}/test", counted("select count(*) from deliveries")),
    "send again": Case(
        "post", "/v1/webhooks/{hook}/deliveries/{delivery}/redeliver",
        counted("select count(*) from deliveries where status = 'pending'"),
    ),
    "send a time again": Case(
        "post", "/v1/webhooks/{hook}/redeliver",
        counted("select count(*) from deliveries where status = 'pending'"), json={"since": "2020-01-01T00:00:00Z"},
    ),
    "read one": Case(
        "post", "/v1/notifications/{notice}/read", counted("select count(*) from notifications where read_at is not null")
    ),
    "read all": Case(
        "post", "/v1/notifications/read", counted("select count(*) from notifications where read_at is not null")
    ),
    "change a plan": Case(
        "post", "/v1/subscription/change", counted("select count(*) from acts where action = 'plan.planned'"),
        json={"plan": "starter"},
    ),
    "end a subscription": Case(
        "post", "/v1/subscription/cancel", counted("select count(*) from acts where action = 'plan.canceled'")
    ),
    "go on with a subscription": Case(
        "post", "/v1/subscription/resume", counted("select count(*) from acts where action = 'plan.resumed'")
    ),
    "try a plan": Case(
        "post", "/v1/subscription/trial", counted("select count(*) from subscriptions where status = 'trial'"),
        json={"plan": "reimaji-pro"},
    ),
    "change a role": Case(
        "patch", "/v1/admin/users/{user}", counted("select count(*) from users where role = 'pro'"), json={"role": "pro"}
    ),
    "pause": Case(
        "post", "/v1/admin/pauses", counted("select count(*) from pauses where what = 'queue'"),
        json={"what": "queue", "name": "batch", "reason": "x"},
    ),
    "end a pause": Case(
        "post", "/v1/admin/pauses/resume", counted("select count(*) from pauses where what = 'provider' and until <= app_now()"),
        json={"what": "provider", "name": "router", "reason": "x"},
    ),
    "retry a job": Case(
        "post", "/v1/admin/jobs/{ended}/retry", counted("select count(*) from jobs where retry_of = %s", "ended"), json={"reason": "x"}
    ),
    "refund a job": Case(
        "post", "/v1/admin/jobs/{done}/refund", counted("select count(*) from grants where ref like 'refund:%%'"), json={"reason": "x"}
    ),
    "discard a job": Case(
        "post", "/v1/admin/jobs/{parked}/discard", counted("select count(*) from jobs where id = %s and ended = 'failed'", "parked"),
        json={"reason": "x"},
    ),
    "cancel a job": Case(
        "post", "/v1/admin/jobs/{job}/cancel", counted("select count(*) from jobs where id = %s and ended = 'canceled'", "job"),
        json={"reason": "x"},
    ),
    "replay a job": Case(
        "post", "/v1/admin/jobs/{ended}/replay", counted("select count(*) from acts where action = 'job.replay'"), json={"reason": "x"}
    ),
    "replay an account": Case(
        "post", "/v1/admin/accounts/{who}/replay", counted("select count(*) from deliveries where status = 'pending'"),
        json={"since": "2020-01-01T00:00:00Z", "endpoint_id": "{hook}", "reason": "x"},
    ),
    "rest a provider": Case(
        "post", "/v1/admin/providers/router/rest", counted("select count(*) from acts where action = 'provider.rest'"), json={"reason": "x"}
    ),
    "wake a provider": Case(
        "post", "/v1/admin/providers/router/wake", counted("select count(*) from acts where action = 'provider.wake'"), json={"reason": "x"}
    ),
    "drain a worker": Case(
        "post", "/v1/admin/workers/{worker}/drain", counted("select count(*) from worker_processes where drained_at is not null"),
        json={"reason": "x"},
    ),
    "order a bulk run": Case(
        "post", "/v1/admin/bulk-runs", counted("select count(*) from bulk_runs where act = 'cancel'"),
        json={"act": "cancel", "filter": {}, "reason": "x", "dry_run": False},
    ),
    "stop a bulk run": Case(
        "post", "/v1/admin/bulk-runs/{bulk}/stop", counted("select count(*) from bulk_runs where status = 'stopped'"), json={"reason": "x"}
    ),
    "resume a bulk run": Case(
        "post", "/v1/admin/bulk-runs/{bulk}/resume", counted("select count(*) from bulk_runs where status = 'running'"), json={"reason": "x"}
    ),
    "announce": Case(
        "post", "/v1/admin/announcements", counted("select count(*) from announcements"), json={"title": "a", "body": "b"}
    ),
    "open an account": Case(
        "post", "/v1/admin/users", counted("select count(*) from users where subject = 'new'"), json={"subject": "new"}
    ),
    "suspend": Case(
        "post", "/v1/admin/users/{other}/suspend", counted("select count(*) from users where suspended_at is not null"),
        json={"reason": "x"},
    ),
    "resume": Case(
        "post", "/v1/admin/users/{gone}/resume", counted("select count(*) from users where id = %s and suspended_at is null", "gone"),
        json={"reason": "x"},
    ),
    "give credits": Case(
        "post", "/v1/admin/accounts/{who}/grants", counted("select count(*) from grants where amount = 77"),
        json={"amount": 77, "reason": "x"},
    ),
    "erase a person": Case(
        "post", "/v1/admin/accounts/{leaver}/erase", counted("select count(*) from erasures"), json={"reason": "x"}
    ),
    "take credits": Case(
        "post", "/v1/admin/accounts/{who}/take-back", counted("select coalesce(sum(taken_back), 0)::int from grants"),
        json={"amount": 1, "reason": "x"},
    ),
    "subscribe by hand": Case(
        "post", "/v1/admin/accounts/{who}/subscribe", counted("select count(*) from acts where action = 'plan.paid'"),
        json={"plan": "creator", "reason": "x"},
    ),
    "change a plan by hand": Case(
        "post", "/v1/admin/accounts/{who}/change-plan", counted("select count(*) from acts where details->>'reason' = 'by hand'"),
        json={"plan": "starter", "reason": "by hand"},
    ),
    "save a text": Case(
        "post", "/v1/playground/sessions", counted("select count(*) from jobs join playground_sessions s on s.job_id = jobs.id where title = 'new'"),
        json={"model": "words", "prompt": "x", "title": "new"},
    ),
    "rename a session": Case(
        "patch", "/v1/playground/sessions/{session}", counted("select count(*) from playground_sessions where title = 'named'"),
        json={"title": "named"},
    ),
    "delete a session": Case(
        "delete", "/v1/playground/sessions/{session}", counted("select 1 - count(*) from playground_sessions")
    ),
    "summarise": Case(
        "post", "/v1/summaries", counted("select count(distinct s.id) from jobs join summaries s on jobs.id in (paragraph_job, implications_job)"),
        json={"kind": "paper", "text": "x", "model": "words"},
    ),
    "hold": Case("post", "/v1/holds", counted("select count(*) - 1 from holds"), json={"amount": 2}),
    "settle a hold": Case("post", "/v1/holds/{hold}/settle", counted("select sum(settled)::int from holds"), json={"amount": 1}),
    "release a hold": Case("post", "/v1/holds/{hold}/release", counted("select sum(released)::int from holds"), json={"amount": 1}),
    "extend a hold": Case(
        "post", "/v1/holds/{hold}/extend", counted("select count(*) from holds where expires_at > app_now() + interval '2 h'"),
        json={"seconds": 9000},
    ),
    "choose alerts": Case(
        "put", "/v1/credits/alerts", counted("select count(*) from accounts where credit_alerts is not null"), json={"limits": [5]}
    ),
    "limit a label": Case(
        "put", "/v1/labels/limits", counted("select count(*) from label_limits where value = 'new'"),
        json={"name": "customer", "value": "new", "monthly_credits": 5},
    ),
    "limit a label no more": Case(
        "delete", "/v1/labels/limits", counted("select 1 - count(*) from label_limits where value = 'old'"),
        params={"name": "customer", "value": "old"},
    ),
    "say that it is paid": Case(
        "post", "/v1/admin/payments/{unpaid}/paid", counted("select count(*) - 1 from payments where money = 'paid'"),
        json={"reason": "x"},
    ),
    "refund": Case(
        "post", "/v1/admin/payments/{paid}/refund", counted("select count(*) from refunds"), json={"amount": "1", "reason": "x"}
    ),
    "make a code": Case(
        "post", "/v1/admin/promotions", counted("select count(*) - 1 from promotions"), json={"code": "NEW-1", "credits": 1}
    ),
    "end a code": Case(
        "delete", "/v1/admin/promotions/{code}", counted("select count(*) from promotions where ended_at is not null")
    ),
    "redeem": Case(
        "post", "/v1/promotions/redeem", counted("select count(*) from promotion_uses"), json={"code": "CODE-1"}
    ),
    "buy": Case(
        "post", "/v1/payments", counted("select count(*) - 2 from payments"),
        json={"pack": "small", "currency": "USD", "company": "manual"},
    ),
    "switch a top-up on": Case(
        "put", "/v1/refill", counted("select count(*) from refills where threshold = 5"),
        json={"pack": "small", "currency": "USD", "threshold": 5, "monthly_limit": "99"},
    ),
    "switch a top-up off": Case("delete", "/v1/refill", counted("select 1 - count(*) from refills")),
    "name an image": Case(
        "patch", "/v1/images/{item}", counted("select count(*) from gallery_items where title = 'x'"), json={"title": "x"}
    ),
    "like an image": Case("put", "/v1/images/{item}/like", counted("select sum(likes)::int from gallery_items")),
    "like an image no more": Case("delete", "/v1/images/{liked}/like", counted("select 1 - count(*) from item_likes")),
    "publish a film": Case(
        "patch", "/v1/videos/{film}", counted("select count(*) from gallery_items where public"), json={"public": True}
    ),
    "like a film": Case("put", "/v1/videos/{film}/like", counted("select count(*) - 1 from item_likes")),
    "like a film no more": Case("delete", "/v1/videos/{film}/like", counted("select 2 - count(*) from item_likes")),
    "publish a sound": Case(
        "patch", "/v1/sounds/{sound}", counted("select count(*) from gallery_items where public"), json={"public": True}
    ),
    "like a sound": Case("put", "/v1/sounds/{sound}/like", counted("select count(*) - 1 from item_likes")),
    "like a sound no more": Case("delete", "/v1/sounds/{sound}/like", counted("select 2 - count(*) from item_likes")),
    "make a collection": Case(
        "post", "/v1/collections", counted("select count(*) from collections where name = 'new'"), json={"name": "new"}
    ),
    "rename a collection": Case(
        "patch", "/v1/collections/{made}", counted("select count(*) from collections where name = 'new'"), json={"name": "new"}
    ),
    "delete a collection": Case("delete", "/v1/collections/{made}", counted("select 2 - count(*) from collections")),
    "add to a collection": Case(
        "post", "/v1/collections/{made}/items", counted("select count(*) - 2 from collection_items"), json={"items": ["{film}"]}
    ),
    "remove from a collection": Case(
        "post", "/v1/collections/{made}/items/remove", counted("select 2 - count(*) from collection_items"),
        json={"items": ["{item}"]},
    ),
    "order a collection": Case(
        "post", "/v1/collections/{made}/items/order",
        counted("select count(*) from collection_items where item_id = %s and position = 2", "item"),
        json={"items": ["{item}"], "after": "{liked}"},
    ),
    "share by link": Case("post", "/v1/collections/{made}/links", counted("select count(*) - 1 from share_links"), json={}),
    "revoke a link": Case(
        "delete", "/v1/collections/{made}/links/{link}", counted("select count(*) from share_links where revoked_at is not null")
    ),
    "invite": Case(
        "post", "/v1/collections/{made}/members", counted("select count(*) from collection_members where email = 'new@example.com'"),
        json={"email": "new@example.com"},
    ),
    "promote a collaborator": Case(
        "patch", "/v1/collections/{made}/members/{member}", counted("select count(*) from collection_members where role = 'editor'"),
        json={"role": "editor"},
    ),
    "remove a collaborator": Case(
        "delete", "/v1/collections/{made}/members/{member}", counted("select 2 - count(*) from collection_members")
    ),
    "leave a collection": Case(
        "post", "/v1/collections/{joined}/leave", counted("select 2 - count(*) from collection_members")
    ),
    "accept an invitation": Case(
        "post", "/v1/invitations/{invitation}/accept",
        counted("select count(*) from collection_members where account_id is not null"),
    ),
    "decline an invitation": Case(
        "delete", "/v1/invitations/{invitation}", counted("select 2 - count(*) from collection_members")
    ),
    "prefer": Case(
        "patch", "/v1/me", counted("select count(*) from users where preferences->>'theme' = 'dark'"), json={"theme": "dark"}
    ),
    "make a course": Case("post", "/v1/courses", counted("select count(*) - 1 from courses"), json={"title": "x", "level": "basic"}),
    "change a course": Case(
        "patch", "/v1/courses/{course}", counted("select count(*) from courses where title = 'New'"), json={"title": "New"}
    ),
    "delete a course": Case("delete", "/v1/courses/{course}", counted("select count(archived_at) from courses")),
    "order a course": Case(
        "put", "/v1/courses/{course}/order", counted("select count(*) from acts where action = 'course.order'"),
        json={"modules": [{"id": MODULE, "lessons": [LESSON]}]},
    ),
    "add a module": Case("post", "/v1/courses/{course}/modules", counted("select count(*) - 1 from course_modules"), json={"title": "x"}),
    "change a module": Case(
        "patch", "/v1/courses/{course}/modules/{module}", counted("select count(*) from course_modules where title = 'New'"),
        json={"title": "New"},
    ),
    "delete a module": Case(
        "delete", "/v1/courses/{course}/modules/{module}", counted("select count(archived_at) from course_modules")
    ),
    "add a lesson": Case(
        "post", "/v1/courses/{course}/lessons", counted("select count(*) - 1 from lessons"), json={"module_id": MODULE, "title": "x"}
    ),
    "change a lesson": Case(
        "patch", "/v1/lessons/{lesson}", counted("select count(*) from lessons where title = 'New'"), json={"title": "New"}
    ),
    "delete a lesson": Case("delete", "/v1/lessons/{lesson}", counted("select count(archived_at) from lessons")),
    "add a question": Case(
        "post", "/v1/lessons/{lesson}/questions", counted("select count(*) - 1 from quiz_questions"),
        json={"kind": "single", "text": "x", "options": ["a", "b"], "right_options": [1]},
    ),
    "change a question": Case(
        "patch", "/v1/lessons/{lesson}/questions/{question}", counted("select count(*) from quiz_questions where text = 'New'"),
        json={"text": "New"},
    ),
    "delete a question": Case(
        "delete", "/v1/lessons/{lesson}/questions/{question}", counted("select count(archived_at) from quiz_questions")
    ),
    "order a quiz": Case(
        "put", "/v1/lessons/{lesson}/order", counted("select count(*) from acts where action = 'question.order'"),
        json={"questions": [QUESTION]},
    ),
    "report progress": Case(
        "post", "/v1/lessons/{lesson}/progress", counted("select count(*) from lesson_visits where seconds = 5"),
        json={"visit": "a", "seconds": 5},
    ),
    "answer a quiz": Case(
        "post", "/v1/lessons/{lesson}/attempts", counted("select count(*) from quiz_attempts"), json={"answers": {QUESTION: [0]}}
    ),
    "begin an article": Case(
        "post", "/v1/content/desk/articles", counted("select count(*) from articles where title = 'New'"),
        json={"section": "news", "kind": "tool", "title": "New", "body": "New."},
    ),
    "change an article": Case(
        "patch", "/v1/content/desk/articles/{article}", counted("select count(*) from articles where body = 'changed'"),
        json={"body": "changed"}, headers={"if-match": "1"},
    ),
    "publish an article": Case(
        "post", "/v1/content/desk/articles/{article}/publish", counted("select count(*) from articles where state = 'published'"),
        json={},
    ),
    "take an article back": Case(
        "post", "/v1/content/desk/articles/{article}/unpublish", counted("select count(*) from articles where state = 'draft'")
    ),
    "delete an article": Case(
        "delete", "/v1/content/desk/articles/{article}", counted("select count(*) from articles where state = 'deleted'")
    ),
    "restore an article": Case(
        "post", "/v1/content/desk/articles/{article}/restore", counted("select count(*) from articles where state = 'draft'")
    ),
    "restore a revision": Case(
        "post", "/v1/content/desk/articles/{article}/revisions/{number}/restore", counted("select count(*) from articles where body = 'Some words.'"),
        headers={"if-match": "2"},
    ),
    "like": Case("put", "/v1/content/articles/{slug}/like", counted("select sum(likes)::int from article_counts")),
    "like no more": Case("delete", "/v1/content/articles/{slug}/like", counted("select 1 - sum(likes)::int from article_counts")),
    "keep a credential": Case(
        "post", "/api/provisioning/saveCredential", counted("select count(*) - 1 from web_credentials"),
        json={"record": {**RECORD, "id": "new"}}, headers=WEB,
    ),
    "revoke a credential": Case(
        "post", "/api/provisioning/markCredentialRevoked",
        counted("select count(*) from web_credentials where status = 'revoked'"), json={"credentialId": "c"}, headers=WEB,
    ),
    "rotate a credential": Case(
        "post", "/api/provisioning/rotateCredential",
        counted("select count(*) from web_credentials where token_hash = 'h2'"),
        json={"credentialId": "c", "tokenHash": "h2", "salt": "s"}, headers=WEB,
    ),
    "report usage": Case(
        "post", "/api/provisioning/recordUsage", counted("select count(*) from web_usage"), json={"entry": ENTRY},
        headers=WEB,
    ),
    "open a web account": Case(
        "post", "/api/account/getOrCreate", counted("select count(*) from web_accounts"), json={"userId": "u"}, headers=WEB
    ),
    "change a web account": Case(
        "post", "/api/account/updateAccount", counted("select count(*) from web_accounts where plan = 'p'"),
        json={"payload": {"userId": "u", "planTier": "p", "billingStatus": "active"}}, headers=WEB,
    ),
    "count tokens": Case(
        "post", "/api/account/recordUsage", counted("select count(*) from web_months where tokens_used = 1"),
        json={"userId": "u", "provider": "p", "tokensUsed": 1}, headers=WEB,
    ),
    "a provider calls": Case(
        "post", "/hooks/providers/{token}", counted("select count(*) from provider_callbacks"), content=b"{}"
    ),
}  # fmt: skip
# What writes nothing, or is tested with its own signatures.
NOT_HERE = {
    *(f"/api/provisioning/{name}" for name in ("findActiveCredential", "listCredentials", "listUsage")), "/v1/quotes", "/v1/events/token", "/hooks/clerk", "/hooks/xendit", "/hooks/stripe", "/hooks/truelayer", "/shared/{token}",
}  # fmt: skip


def _subscribed(conn: Any, who: UUID, name: str) -> None:
    if name != "try a plan":
        paid_periods.subscribe(conn, who, "creator")
    if name.startswith("go on"):
        plan_changes.cancel(conn, who, by=By("me"))


def _with_a_result(conn: Any, who: UUID) -> UUID:
    """A job of an account's that has one."""
    claim = claimed(placed(who, model("quick")))
    asset = NewAsset(uuid4(), 0, f"k/{claim.job_id}", "image/png", 10, b"x" * 32)
    assert end(conn, who, claim.job_id, Ending("succeeded", cost_credits=1, assets=[asset]), token=claim.token)
    return claim.job_id


def _written(world: World, name: str) -> None:
    """An article in the state that the route takes it from."""
    row = shown() if name == "take an article back" or name in ("like", "like no more") else written()
    world.article, world.slug, world.number = row.id, row.slug, 1
    with transaction() as conn:
        if name == "restore an article":
            articles.delete_article(conn, By("me"), row.id)
        if name == "restore a revision":
            articles.change_article(conn, By("me"), row.created_by, row.id, 1, lambda was: was._replace(body="other"))
        if name == "like no more":
            reading.like(conn, world.who, row.slug, liked=True)


def _fill_gallery(world: World) -> None:
    """Items of each kind, two of them in a collection; a link, a collaborator, an invitation, a collection of somebody else."""
    world.film, world.sound = result(world.who, media="video/mp4"), result(world.who, media="audio/mpeg")
    world.item, world.liked = result(world.who), result(world.who)
    host = somebody("host@example.com")
    with transaction() as conn:
        conn.execute("update accounts set plan_id = 'enterprise'")
        conn.execute(
            "update users set email = 'me@example.com' where id = (select user_id from accounts where id = %s)",
            [world.who],
        )
        items.like(conn, world.who, world.liked, "image")
    world.made, theirs = collection(world.who, world.item, world.liked).id, collection(host).id
    with transaction() as conn:
        world.link = links.create(conn, world.who, world.made)[0].id
        world.member = members.invite(conn, world.who, world.made, "friend@example.com", "viewer").id
        world.invitation = members.invite(conn, host, theirs, "me@example.com", "viewer").id
    world.joined = theirs


def prepared(world: World, name: str) -> None:
    """What only some routes need."""
    world.batch = world.upload = world.delivery = world.token = world.done = world.session = world.parked = None
    world.worker = "host:1:abc"
    if name == "order with a file":
        image = {"type": "string", "format": "image"}
        model("framed", input_schema={"type": "object", "additionalProperties": False, "properties": {"image": image}})
    world.place = 0
    if re.search("/v1/(images|videos|sounds|collections|invitations)", CASES[name].path):
        _fill_gallery(world)
        with transaction() as conn:
            if name == "leave a collection":
                members.accept(conn, world.who, world.invitation)
            if name.startswith("like a ") and name.endswith("film no more"):
                items.like(conn, world.who, world.film, "video")
            if name.startswith("like a ") and name.endswith("sound no more"):
                items.like(conn, world.who, world.sound, "sound")
    if "session" in name or name in {"save a text", "summarise"}:
        words = model("words", kind="text", routes=[{"provider": "sketch", "model": "text"}])
        os.environ["HOUSE_ACCOUNT"] = str(world.who)  # until the fixture's block ends
        settings.cache_clear()
        if "session" in name:
            job_id = placed(world.who, words)
            with transaction() as conn:
                world.session, _ = sessions.create(conn, world.who, job_id, "x", NewSession())
    with transaction() as conn:
        if name in {"revoke a credential", "rotate a credential", "keep a credential"}:
            credentials.save(conn, _new(WebCredentialView.model_validate(RECORD)), b"0" * 32)
        if name == "cancel a batch":
            asked = [Line(1, None, order(world.who, model("quick")))]
            world.batch = batches.place(conn, world.who, asked, all_or_none=True).row.id
        if name == "limit a label no more":
            label_limits.set_limit(conn, world.who, "customer", "old", 5)
        if name in {"delete an upload", "order with a file"}:
            world.upload = uploaded(world.who, [picture()]).id
        if name == "discard a job":
            world.parked = parked_job(claimed(placed(world.who, model("quick")))).job_id
        if name.endswith("a bulk run"):
            world.bulk = bulk.start(conn, By("tester"), "retry", JobFilter(), "x").id
        if name == "resume a bulk run":
            bulk.stop(conn, By("tester"), world.bulk, "x")
        processes.report_worker(conn, world.worker, "batch", 1, 1, 0)
        if name in {"delete a result", "delete results", "keep a result", "let a result go", "refund a job"}:
            world.done = _with_a_result(conn, world.who)
        if name == "let a result go":
            keeping.keep(conn, world.who, world.done, 0)
        if name == "switch a top-up off":
            refills.switch_on(conn, world.who, "small", "USD", 5, Decimal(99))
        if "a plan" in name or "subscription" in name:
            _subscribed(conn, world.who, name)
        if name.startswith("send") or name == "replay an account":
            row = conn.execute(
                """insert into deliveries (id, queue_id, account_id, channel, endpoint_id, event_type, event_at, data, status)
                   values (gen_random_uuid(), %s, %s, 'webhook', %s, 'job.queued', app_now(), '{}', 'failed') returning id""",
                [world.hook, world.who, world.hook],
            ).fetchone()
            world.delivery = row and row[0]
    if "article" in name or "revision" in name or name in ("like", "like no more"):
        _written(world, name)
    if name == "a provider calls":
        claimed(world.job)
        world.token = token_of(world.job, 1)


CLERK = {"CLERK_WEBHOOK_SECRET": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "OIDC_ISSUERS": "https://clerk.example"}


def of_clerk(kind: str) -> tuple[bytes, dict[str, str]]:
    """One event of Clerk's, signed; sent again it is the same."""
    user = {"id": "user_1", "updated_at": 1000, "banned": False, "email_addresses": []}
    body = json.dumps({"type": kind, "data": user, "object": "event"})
    when = datetime.now(UTC)
    signature = Webhook(CLERK["CLERK_WEBHOOK_SECRET"]).sign(f"msg_{kind}", when, body)
    head = {"svix-id": f"msg_{kind}", "svix-timestamp": str(int(when.timestamp())), "svix-signature": signature}
    return body.encode(), head


@pytest.mark.parametrize("kind", ["user.created", "user.deleted", "session.created"])
@pytest.mark.parametrize("fate", [*FATES, "nobody can say"])
def test_clerk_repeats_what_was_not_done_and_what_was_done_is_done_once(
    proxy: CommitProxy, monkeypatch: pytest.MonkeyPatch, fate: Fate, kind: str
) -> None:
    body, head = of_clerk(kind)
    unknown = fate == "nobody can say"
    monkeypatch.setattr(db, "FIND_OUT_SECONDS", 0.5 if unknown else db.FIND_OUT_SECONDS)
    with environment(CLERK), TestClient(make_app(), raise_server_exceptions=False) as http:
        assert http.get("/readyz").status_code == 200
        proxy.refuse_new = unknown
        proxy.arm("acknowledgement lost" if unknown else fate)
        answer = http.post("/hooks/clerk", content=body, headers=head)
        assert proxy.met.is_set()
        proxy.refuse_new = False
        proxy.release()
        if fate == "acknowledgement lost":
            assert answer.status_code == 200, answer.text
        else:  # anything but a success makes Clerk send it again
            assert (answer.status_code, answer.json()["retryable"]) == (503, True), answer.text
            assert one("select count(*) from inbound_events") == (1 if unknown else 0,)
        again = http.post("/hooks/clerk", content=body, headers=head)
        assert (again.status_code, again.json()) == (200, {"received": True})
    assert one("select count(*) from inbound_events") == (1,)
    told = kind.startswith("user.")
    assert one("select count(*), count(deleted_at) from users") == (int(told), int(kind == "user.deleted"))
    assert one("select count(*) from grants") == (int(told),)
    assert_books_are_clean()


def in_process() -> TestClient:
    return TestClient(make_app(), raise_server_exceptions=False)


def sent(http: TestClient, world: World, case: Case, **headers: str) -> Any:
    head = {"authorization": f"Bearer {world.secret}", **case.headers, **headers}
    request = {name: _named(value, world) for name, value in case.request.items()}
    return http.request(case.method, case.path.format(**vars(world)), headers=head, **request)


def _named(value: Any, world: World) -> Any:
    """A body in which `{film}` is the world's film."""
    if isinstance(value, dict):
        return {name: _named(each, world) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each, world) for each in value]
    return value.format(**vars(world)) if isinstance(value, str) else value


def test_every_route_that_writes_is_a_case() -> None:
    def plain(path: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))

    known = {(case.method, plain(case.path.replace("router", "{x}"))) for case in CASES.values()}
    writing = {
        (method, plain(path))
        for path, method, _ in needs_of(make_app())
        # Forms of pages are sent with a session: tests/api/console/test_acts.py, tests/api/account. The words of others lead to
        # the same verbs: tests/api/dialects, tests/sdks.
        if method not in {"get", "head"}
        and path not in NOT_HERE
        and not path.startswith(("/console", "/account", "/compat", "/mcp"))
    }
    assert writing <= known


@pytest.mark.parametrize(("name", "fate"), pairs(list(CASES), list(FATES)))
def test_a_commit_without_an_answer_is_found_out(quiet: str, name: str, fate: Fate) -> None:
    world, case = World(), CASES[name]
    prepared(world, name)
    before = case.done(world)
    through = proxied(quiet)  # what is there before, and what is there in the end, are asked for without it
    with through as proxy, environment({"DATABASE_URL": proxy.url}), in_process() as http:
        assert http.get("/v1/credits", headers={"authorization": f"Bearer {world.secret}"}).status_code == 200
        proxy.arm(fate)
        answer = sent(http, world, case)
        assert proxy.met.is_set()
        proxy.release()
        if fate == "acknowledgement lost":
            assert answer.status_code < 300, answer.text
            assert case.done(world) > before or name == "read all"
        else:
            assert (answer.status_code, answer.json()["retryable"]) == (503, True), answer.text
            assert answer.headers["retry-after"]
            assert case.done(world) == before, "what was answered as not done was not done"
            again = sent(http, world, case)
            assert again.status_code < 300, again.text
        after = case.done(world)
        assert after == (1 if name != "send again" and before == 0 else after)
    assert_books_are_clean()


def test_a_group_of_orders_whose_commit_is_lost_is_accepted_once_each(proxy: CommitProxy) -> None:
    world = World()
    with TestClient(make_app(), raise_server_exceptions=False) as http:
        head = {"authorization": f"Bearer {world.secret}"}
        assert http.get("/v1/credits", headers=head).status_code == 200
        proxy.arm("acknowledgement lost")
        answers: list[Any] = []

        def order() -> None:
            answers.append(http.post("/v1/jobs", json={"model": "quick", "input": {"seed": 5}}, headers=head))

        threads = [threading.Thread(target=order) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [each.status_code for each in answers] == [201] * 6
    ids = {UUID(each.json()["id"]) for each in answers}
    assert {row[0] for row in rows("select id from jobs where input->>'seed' = '5'")} == ids
    assert len(ids) == 6
    assert_books_are_clean()


def test_where_nobody_can_say_the_answer_is_503_and_names_the_job(
    proxy: CommitProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr(db, "FIND_OUT_SECONDS", 0.5)
    with TestClient(make_app(), raise_server_exceptions=False) as http:
        assert http.get("/v1/credits", headers={"authorization": f"Bearer {world.secret}"}).status_code == 200
        proxy.arm("acknowledgement lost")
        proxy.refuse_new = True
        answer = sent(http, world, CASES["order"], **{"idempotency-key": "one"})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["retryable"]) == (503, "outcome_unknown", True)
        assert answer.headers["retry-after"]
        proxy.refuse_new = False
        assert one("select count(*) from jobs where id = %s", UUID(problem["job_id"])) == (1,)
        again = sent(http, world, CASES["order"], **{"idempotency-key": "one"})
        assert (again.status_code, again.json()["id"]) == (201, problem["job_id"])
    assert_books_are_clean()


def test_a_transaction_that_was_undone_is_known_to_be(proxy: CommitProxy) -> None:
    who = account(amount=3)
    proxy.arm("never arrives")
    with pytest.raises(Unavailable), certain() as conn:
        conn.execute("update accounts set debt = 1 where id = %s", [who])
    assert one("select debt from accounts where id = %s", who) == (0,)


def test_without_finding_out_a_lost_commit_is_unknown(proxy: CommitProxy) -> None:
    who = account(amount=3)
    proxy.arm("acknowledgement lost")
    with pytest.raises(CommitUnknown), transaction() as conn:
        conn.execute("update accounts set debt = 1 where id = %s", [who])
    assert one("select debt from accounts where id = %s", who) == (1,)


def test_a_single_statement_whose_connection_is_lost_is_unknown(database: str) -> None:
    who = account(amount=3)
    with pytest.raises(CommitUnknown), db.single() as conn:
        conn.execute(
            "with done as (update accounts set debt = 1 where id = %s returning 1) select pg_terminate_backend(%s) from done",
            [who, conn.info.backend_pid],
        )
        conn.execute("select 1")
    with pytest.raises(Unavailable), transaction() as conn:
        conn.execute("select pg_terminate_backend(pg_backend_pid())")
        conn.execute("select 1")
    assert balance(who) == (3, 0)


def test_a_commit_that_is_held_does_not_hold_the_account(proxy: CommitProxy) -> None:
    """The connection whose COMMIT is on its way is ended: its locks would be in everybody's way for as long."""
    who = account(amount=3)
    proxy.arm("arrives late")
    begun = time.monotonic()
    with pytest.raises(Unavailable), certain() as conn:
        conn.execute("update accounts set debt = 1 where id = %s", [who])
    assert time.monotonic() - begun < db.FIND_OUT_SECONDS
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update nowait", [who])
    proxy.release()
    assert one("select debt from accounts where id = %s", who) == (0,)
