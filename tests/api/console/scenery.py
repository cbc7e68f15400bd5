"""A deployment with some life in it, for looking at the console: what ended in the last hours is written by hand, and what is looked
into is brought about by the verbs themselves.
"""

import math
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from models.access import audit_log
from models.access.audit_log import By
from models.accounts import standing
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.events import endpoints
from models.fleet import processes
from models.jobs import pauses, steps
from models.jobs.ending import AttemptEnd, Ending, end, put_back
from models.operations import bulk
from models.operations.finding import JobFilter
from scheduler.duties.jobs import retry_due
from tests.models.hands import change
from tests.models.payments.shop import ordered, pack
from tests.support import SCHEMA, account, claimed, eventually, one, placed

PROMPTS = (
    "A fishing harbour at dawn, oil on board, thick strokes", "Slow push-in over a harbour at dawn, mist lifting, gulls",
    "Four plates of citrus on linen, window light", "Logo study, interlocking river bends, two colours",
    "Paper lanterns over a night market, long exposure", "Portrait of a lighthouse keeper, wet plate",
    "A tiled courtyard in Lisbon, noon, no people", "Isometric map of an alpine village in winter",
)  # fmt: skip
OWNERS = (
    "owner@northlight.example",
    "render@palisade.example",
    "ada.okafor@example.com",
    "team@studio-umi.example",
    "api@kestrel.example",
)
MODELS = (
    ("flux-schnell", "interactive", 2),
    ("stable-diffusion", "interactive", 3),
    ("dall-e-3", "interactive", 5),
    ("sketch-video", "batch", 12),
)
ERRORS = ("timed_out", "timed_out", "timed_out", "moderated", "moderated", "provider_failed", "unreachable")


def populate(boss: UUID, *, jobs: int = 900) -> dict[str, Any]:
    """Fill the database. Returns what pages are looked at: an account, a job with a story, one that failed, one that runs, a webhook."""
    random.seed(7)
    offers = _catalogue()
    who = [account(amount=5000, plan="studio") for _ in OWNERS]
    with transaction() as conn:
        for each, address in zip(who, OWNERS, strict=True):
            conn.execute(
                "update users set email = %s where id = (select user_id from accounts where id = %s)", [address, each]
            )
    _history(who, jobs)
    _usage()
    hook = _hook(who)
    told, failed, running = _live(who, offers)
    _house(who, boss)
    return {"account": who[0], "told": told, "failed": failed, "running": running, "webhook": hook}


def _catalogue() -> dict[str, Any]:
    routes = {
        "flux-schnell": ["replicate", "fal"],
        "stable-diffusion": ["fal", "replicate"],
        "dall-e-3": ["openai"],
        "sketch-video": ["sketch"],
    }
    given = {
        "replicate": ProviderEntry(
            name="replicate", adapter="replicate", base_url="https://api.replicate.com", concurrency=32, per_minute=600
        ),
        "fal": ProviderEntry(name="fal", adapter="fal", base_url="https://queue.fal.run", concurrency=10),
        "openai": ProviderEntry(
            name="openai", adapter="openai", base_url="https://api.openai.com/v1", concurrency=16, per_minute=300
        ),
    }
    for number in range(2):  # two versions
        made = [
            Entry.model_validate({
                "id": name, "name": name.replace("-", " ").title(), "kind": "image", "input_schema": SCHEMA, "queue": queue,
                "price": {"unit": "job", "credits": price + number if name == "flux-schnell" else price}, "typical_seconds": 5 + number,
                "routes": [{"provider": each, "model": name, "options": {"instant": True} if each == "sketch" else {}} for each in routes[name]],
            }) for name, queue, price in MODELS
        ]  # fmt: skip
        with transaction() as conn:
            entries.apply(conn, made, list(given.values()))
    with transaction() as conn:
        return entries.offers(conn)


def _id(moment: datetime) -> UUID:
    return UUID(
        int=(int(moment.timestamp() * 1000) << 80)
        | (0x7 << 76)
        | (random.getrandbits(12) << 64)
        | (0x2 << 62)
        | random.getrandbits(62)
    )


def _history(who: list[UUID], count: int) -> None:
    now = datetime.now(UTC)
    with transaction() as conn:
        for number in range(count):
            back = 3590 * (1 - number / count)
            wave = 0.5 + 0.5 * math.sin(back / 400)
            began = now - timedelta(seconds=back + 4 + 8 * wave)
            owner, (name, queue, price) = (
                random.choices(who, (9, 5, 3, 2, 1))[0],
                random.choices(MODELS, (9, 6, 3, 2))[0],
            )
            took, wait = (
                random.gammavariate(3, 1.1) + (9 if queue == "batch" else 0),
                random.expovariate(1.2) * (1 + 4 * wave),
            )
            how = random.choices(("succeeded", "failed", "canceled"), (94, 4, 2))[0]
            job, error = _id(began), random.choice(ERRORS) if how == "failed" else None
            charged = price if how == "succeeded" else 0
            start, over = began + timedelta(seconds=wait), began + timedelta(seconds=wait + took)
            conn.execute(
                """insert into jobs (id, account_id, model_id, model_version, input, queue, price_credits, quantity_milli, price_numerator, price_denominator,
                                     created_at, started_at, ended, ended_at, resolution, charged_credits, attempts, error_code, error_message)
                   values (%s, %s, %s, 1, jsonb_build_object('prompt', %s::text), %s, %s, 1000, %s, 1000, %s, %s, %s, %s, %s, %s, 1, %s, %s)""",
                [job, owner, name, random.choice(PROMPTS), queue, price, price, began, start, how, over, "settle" if how == "succeeded" else "refund",
                 charged, error, error and error.replace("_", " ")],
            )  # fmt: skip
            conn.execute(
                """insert into reservations (job_id, account_id, amount, resolution, settled, refunded, created_at, resolved_at)
                   values (%s, %s, %s, %s, %s, %s, %s, %s)""",
                [job, owner, price, "settle" if charged else "refund", charged, price - charged, began, over],
            )
            conn.execute(
                """insert into attempts (job_id, number, token, provider, route, phase, provider_job_id, started_at, ended_at, error_code, charged, cost_usd_micros)
                   values (%s, 1, 1, %s, 0, %s, %s, %s, %s, %s, %s, %s)""",
                [job, random.choice({"dall-e-3": ["openai"], "sketch-video": ["sketch"]}.get(name, ["replicate", "fal"])), "done" if how == "succeeded" else "failed",
                 f"req-{number:08x}", start, over, error, charged > 0, int(2500 * price * random.uniform(0.4, 1.2))],
            )  # fmt: skip


def _usage() -> None:
    """What the triggers count when a job ends, of those that were written by hand."""
    with transaction() as conn:
        conn.execute(
            """insert into usage (account_id, at, source, model_id, succeeded, failed, canceled, credits, cost_usd_micros)
               select j.account_id, date_bin('15 min', j.ended_at, 'epoch'), 'job', j.model_id, count(*) filter (where ended = 'succeeded'),
                      count(*) filter (where ended = 'failed'), count(*) filter (where ended = 'canceled'), sum(charged_credits), sum(t.cost_usd_micros)
                 from jobs j join attempts t on t.job_id = j.id group by 1, 2, 4"""
        )


def _live(who: list[UUID], offers: dict[str, Any]) -> tuple[UUID, UUID, UUID]:
    video = offers["sketch-video"]
    told = placed(
        who[0], offers["stable-diffusion"], {"prompt": PROMPTS[0]}, labels={"campaign": "spring", "shot": "14"}
    )
    time.sleep(1.1)
    first = claimed(told, "mill-1:3300:a1")
    time.sleep(0.9)
    with transaction() as conn:
        attempt = AttemptEnd(1, "failed", "provider_failed", "503 from queue.fal.run: upstream is busy", charged=False)
        assert put_back(
            conn,
            first.account_id,
            told,
            token=first.token,
            after_seconds=0.6,
            reason="the next route is tried",
            attempt=attempt,
            spends_attempt=True,
            next_route=1,
        )
    eventually(lambda: one("select wake_at <= app_now() from job_runs where job_id = %s", told)[0])
    retry_due(10)
    again = claimed(told, "mill-2:3310:a1")
    change("update attempts set provider_job_id = 'fal-req-7f2e91c40b' where job_id = %s and number = 2", told)
    time.sleep(1.6)
    with transaction() as conn:
        fine = AttemptEnd(2, "done", charged=True, cost_usd_micros=34_200)
        assert end(conn, again.account_id, told, Ending("succeeded", cost_credits=2, attempt=fine), token=again.token)
    failed = placed(who[0], video, {"prompt": PROMPTS[5]})
    held = claimed(failed)
    with transaction() as conn:
        attempt = AttemptEnd(
            1, "failed", "timed_out", "504 from queue.fal.run after 60 s: upstream request timeout", charged=False
        )
        ending = Ending("failed", error_code="timed_out", error_message="it was not done in its time", attempt=attempt)
        assert end(conn, held.account_id, failed, ending, token=held.token)
    running = placed(who[0], video, {"prompt": PROMPTS[1]})
    claimed(running, "mill-2:3310:a1")
    parked = placed(who[1], video, {"prompt": PROMPTS[4]})
    lost = claimed(parked, "mill-2:3310:a1")
    with transaction() as conn:
        steps.wait_unknown(conn, lost, 1, after_seconds=600, reason="answer lost, the provider is asked")
    for each in PROMPTS[:6]:
        placed(who[1], offers["flux-schnell"], {"prompt": each})
    return told, failed, running


def _hook(who: list[UUID]) -> UUID:
    with transaction() as conn:
        hook = endpoints.create(conn, who[0], "https://api.northlight.example/hooks", ["job.succeeded", "job.failed"])[
            0
        ].id
        endpoints.create(conn, who[1], "https://render.palisade.example/live", [])
        conn.execute(
            "update webhook_endpoints set failing_since = app_now() - interval '20 min' where account_id = %s", [who[1]]
        )
    return hook


def _house(who: list[UUID], boss: UUID) -> None:
    mara = By(str(one("select user_id from accounts where id = %s", boss)[0]), None, "203.0.113.7")
    with transaction() as conn:
        for number, (queues, threads, busy) in enumerate(
            (("interactive", 16, 9), ("interactive", 16, 4), ("batch", 8, 8))
        ):
            processes.report_worker(
                conn, f"mill-{number + 1}:33{number}0:a1", queues, threads, threads, busy, version="0.1.0"
            )
        for name in ("ring_due", "rescue", "expire_results", "expire_grants", "grant_periods", "audit", "announce"):
            processes.take_turn(conn, name, 60)
            processes.end_turn(conn, name, random.randrange(40), None)
        pauses.pause(conn, mara, "model", "dall-e-3", "prices being changed", seconds=2700)
        standing.give_credits(
            conn,
            mara,
            who[0],
            40,
            "goodwill for a failed film",
            kind="goodwill",
            expires_at=datetime.now(UTC) + timedelta(days=28),
        )
        standing.take_credits(conn, mara, who[0], 5, "gift given twice")
        audit_log.record(conn, By("command line: deploy"), "catalogue.apply", "catalogue", changed=2)
    placed(who[0], _offer("flux-schnell"), {"prompt": PROMPTS[5]})
    ordered(who[0], pack())
    with transaction() as conn:
        bulk.start(conn, mara, "retry", JobFilter(error="timed_out", account_id=who[1]), "fal was away")
        conn.execute(
            "update bulk_runs set done = least(jobs, 9), skipped = least(jobs, 1), credits_done = 27, reasons = '{\"retried_already\": 1}'"
        )


def _offer(name: str) -> Any:
    with transaction() as conn:
        return entries.offers(conn)[name]
