"""Whole journeys over HTTP: real API, worker and scheduler processes on real servers."""

import hashlib
import io
import wave

import av
import httpx
import pytest
from PIL import Image

from models.accounts import paid_periods
from models.db import transaction
from scheduler.duties import results
from storage.s3 import storage
from tests.conftest import environment
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, model, one, rows


@pytest.fixture
def running(system: System) -> System:
    system.start("api", "worker", "scheduler")
    return system


def test_pictures_a_film_and_a_sentence_are_ordered_paid_generated_and_fetched(running: System) -> None:
    who = account(amount=30)
    with running.client(who) as http:
        asked = {
            "image": {
                "model": "sketch-image",
                "input": {"prompt": "a lake", "width": 400, "height": 240, "count": 2, "format": "webp"},
            },
            "video": {"model": "sketch-video", "input": {"prompt": "a lake", "duration_seconds": 5}},
            "speech": {"model": "sketch-speech", "input": {"text": "Hello from the mill."}},
        }
        jobs = {name: http.post("/v1/jobs", json=body).json()["id"] for name, body in asked.items()}
        done = {name: ended(http, job_id) for name, job_id in jobs.items()}
        assert {job["status"] for job in done.values()} == {"succeeded"}
        files = {name: [http.get(output["url"]) for output in job["outputs"]] for name, job in done.items()}
        for name, job in done.items():
            for output, file in zip(job["outputs"], files[name], strict=True):
                assert file.status_code == 200
                assert hashlib.sha256(file.content).hexdigest() == output["sha256"]
                assert len(file.content) == output["size_bytes"]
                assert file.headers["content-type"] == output["media_type"]
        assert [Image.open(io.BytesIO(file.content)).size for file in files["image"]] == [(400, 240)] * 2
        assert (done["image"]["outputs"][0]["width"], done["image"]["outputs"][0]["height"]) == (400, 240)
        with av.open(io.BytesIO(files["video"][0].content)) as film:
            assert film.duration == 5_000_000
        assert done["video"]["outputs"][0]["duration_seconds"] == 5.0
        with wave.open(io.BytesIO(files["speech"][0].content)) as sound:
            assert sound.getnframes() / sound.getframerate() == pytest.approx(
                done["speech"]["outputs"][0]["duration_seconds"], abs=0.01
            )
        small = Image.open(io.BytesIO(http.get(done["image"]["outputs"][0]["thumbnail_url"]).content))
        assert max(small.size) <= 256
        part = http.get(done["video"]["outputs"][0]["url"], headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        charged = sum(job["credits"]["charged"] for job in done.values())
        assert http.get("/v1/credits").json()["available"] == 30 - charged
        assert done["speech"]["credits"]["charged"] <= done["speech"]["credits"]["reserved"]
    assert balance(who) == (30 - charged, 0)
    assert_books_are_clean()


def test_a_job_that_fails_is_refunded_and_says_why(running: System) -> None:
    who = account(amount=5)
    with running.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "sketch-broken", "input": {"prompt": "x"}}).json()
        done = ended(http, job["id"])
    assert done["status"] == "failed"
    assert done["error"] == {"code": "sketch_permanent", "message": "this cannot be drawn"}
    assert done["credits"] == {"reserved": 3, "charged": 0}
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def test_a_retryable_failure_is_tried_again_with_a_new_attempt(running: System) -> None:
    who = account(amount=5)
    model("wobbly", options={"fail": "retryable", "fail_times": 2})
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/wobbly").status_code == 200, what="the new model")
        done = ended(http, http.post("/v1/jobs", json={"model": "wobbly", "input": {}}).json()["id"])
    assert (done["status"], done["attempts"]) == ("succeeded", 3)
    assert [row[0] for row in rows("select phase from attempts order by number")] == ["failed", "failed", "done"]
    assert running.book.starts_per_key() == {f"{done['id']}:{n}": 1 for n in (1, 2, 3)}
    assert_books_are_clean()


def test_an_asynchronous_provider_is_polled_until_it_is_done(running: System) -> None:
    who = account(amount=5)
    model("polled", options={"pending": True, "ready_seconds": 1.0, "poll_after_seconds": 0.2, "cost_usd_micros": 9})
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/polled").status_code == 200, what="the new model")
        done = ended(http, http.post("/v1/jobs", json={"model": "polled", "input": {}}).json()["id"])
    assert done["status"] == "succeeded"
    assert one("select provider_job_id, cost_usd_micros from attempts") == (f"sketch-{done['id']}:1", 9)
    assert list(running.book.starts_per_key().values()) == [1]
    assert_books_are_clean()


def test_a_lost_answer_is_found_again_and_never_paid_twice(running: System) -> None:
    who = account(amount=5)
    model("forgetful", options={"forget": True, "pending": True, "ready_seconds": 0.2})
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/forgetful").status_code == 200, what="the new model")
        done = ended(http, http.post("/v1/jobs", json={"model": "forgetful", "input": {}}).json()["id"])
    assert done["status"] == "succeeded"
    assert list(running.book.starts_per_key().values()) == [1]
    assert_books_are_clean()


def test_a_running_job_is_canceled_and_its_model_decides_on_the_refund(running: System) -> None:
    who = account(amount=10)
    model("slow", price={"credits": 3}, options={"delay_seconds": 60})
    model(
        "slow-charged",
        price={"credits": 2},
        options={"pending": True, "ready_seconds": 60, "poll_after_seconds": 30},
        on_cancel="charge",
    )
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/slow-charged").status_code == 200, what="the new models")
        first, second = (
            http.post("/v1/jobs", json={"model": name, "input": {}}).json()["id"] for name in ("slow", "slow-charged")
        )
        for job_id in (first, second):
            eventually(
                lambda job_id=job_id: bool(rows("select 1 from attempts where job_id = %s and phase <> 'x'", job_id)),
                what="the start",
            )
        eventually(lambda: one("select phase from attempts where job_id = %s", second) == ("accepted",), what="the id")
        assert http.post(f"/v1/jobs/{first}/cancel").json()["cancel_requested"]
        http.post(f"/v1/jobs/{second}/cancel")
        assert ended(http, first, seconds=8)["credits"] == {"reserved": 3, "charged": 0}
        assert ended(http, second, seconds=8)["credits"] == {"reserved": 2, "charged": 2}
    assert balance(who) == (8, 0)
    asked_to_stop = running.book.find(key=f"{second}:1")
    assert asked_to_stop is not None
    assert asked_to_stop.state == "canceled"
    assert_books_are_clean()


def test_a_job_over_its_time_limit_fails_and_is_refunded(running: System) -> None:
    who = account(amount=5)
    model("endless", options={"pending": True, "ready_seconds": 600, "poll_after_seconds": 0.3}, timeout_seconds=1)
    model("stubborn", options={"delay_seconds": 600}, timeout_seconds=1)
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/stubborn").status_code == 200, what="the new models")
        for name in ("endless", "stubborn"):
            done = ended(http, http.post("/v1/jobs", json={"model": name, "input": {}}).json()["id"], seconds=15)
            assert (done["status"], done["error"]["code"]) == ("failed", "timed_out")
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def test_a_lie_about_the_type_is_not_believed_and_a_broken_file_is_no_result(running: System) -> None:
    who = account(amount=5)
    model("liar", options={"claimed_media_type": "video/mp4"})
    model("torn", options={"instant": False, "truncated": True, "cost_usd_micros": 5}, max_attempts=2)
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/torn").status_code == 200, what="the new models")
        done = ended(http, http.post("/v1/jobs", json={"model": "liar", "input": {}}).json()["id"])
        assert done["outputs"][0]["media_type"] == "image/png"
        torn = ended(http, http.post("/v1/jobs", json={"model": "torn", "input": {}}).json()["id"])
    assert torn["error"]["code"] == "broken_result"
    assert one("select sum(cost_usd_micros) from attempts where charged") == (10,)  # paid for by the house
    assert balance(who) == (4, 0)
    assert_books_are_clean()


def test_results_and_subscriptions_expire(running: System) -> None:
    who = account(amount=5)
    with transaction() as conn:
        paid_periods.subscribe(conn, who, "creator")
    with running.client(who) as http:
        done = ended(http, http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}).json()["id"])
        url = done["outputs"][0]["url"]
        assert http.get(url).status_code == 200
        key = one("select key from assets")[0]
        running.processes.stop("scheduler")
        running.processes.stop("api")
        # A day later, by the clock that the database goes by.
        late = {"CLOCK_OFFSET_SECONDS": str(25 * 3600)}
        with environment(late):
            running.start("api", api=late)
            gone = http.get(url)
            assert (gone.status_code, gone.json()["reason"]) == (410, "expired")
            running.start("scheduler", scheduler=late)
            eventually(lambda: one("select purged_at is not null from assets") == (True,), what="the purge")
            assert storage().list_page(key, None, 10) == []
            assert http.get(url).status_code == 410
            assert http.get(f"/v1/jobs/{done['id']}").json()["outputs"][0]["status"] == "expired"
            assert one("select storage_bytes from accounts where id = %s", who) == (0,)
            assert results.expire_results(100) == results.purge_results(100) == 0
            running.processes.stop("scheduler")
            running.processes.stop("api")
        much_later = {"CLOCK_OFFSET_SECONDS": str(35 * 86_400)}  # a month, and the plan's days of grace
        with environment(much_later):
            running.start("api", "scheduler", api=much_later, scheduler=much_later)
            # Both begin at once and want the same account's lock; who does not get it looks again half a minute later.
            two_turns = 70
            eventually(
                lambda: one("select plan_id from accounts where id = %s", who) == ("free",),
                seconds=two_turns,
                what="the end of the plan",
            )
            # The job was paid from the plan's credits, which expire sooner than the gift.
            eventually(lambda: balance(who) == (5, 0), seconds=two_turns, what="the expiry of its credits")
            assert_books_are_clean()


def test_a_tenant_with_one_job_does_not_wait_for_a_tenant_with_many(running: System) -> None:
    many, few = account(amount=500), account(amount=5)
    model("steady", options={"delay_seconds": 0.2})
    with running.client(many) as http, running.client(few) as other:
        eventually(lambda: http.get("/v1/models/steady").status_code == 200, what="the new model")
        for _ in range(200):
            http.post("/v1/jobs", json={"model": "steady", "input": {}})
        job = other.post("/v1/jobs", json={"model": "steady", "input": {}}).json()
        ended(other, job["id"], seconds=5)
        assert one("select count(*) from jobs where ended is not null and account_id = %s", many)[0] < 100


def test_a_worker_that_is_asked_to_stop_gives_its_work_back_and_spends_no_attempt(running: System) -> None:
    who = account(amount=5)
    model("long", options={"delay_seconds": 3})
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/long").status_code == 200, what="the new model")
        job = http.post("/v1/jobs", json={"model": "long", "input": {}}).json()
        eventually(lambda: rows("select 1 from attempts") != [], what="the start")
        running.processes.stop("worker")
        running.start("worker")
        done = ended(http, job["id"])
    assert (done["status"], done["attempts"]) == ("succeeded", 1)
    assert_books_are_clean()


def test_the_api_serves_while_redis_is_away_and_the_jobs_run_afterwards(running: System) -> None:
    who = account(amount=5)
    running.processes.stop("api")
    running.start("api", api={"REDIS_URL": "redis://127.0.0.1:1/0"})
    with running.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}})
        assert job.status_code == 201
        assert ended(http, job.json()["id"])["status"] == "succeeded"  # the scheduler rang
    assert_books_are_clean()


def test_processes_stop_in_good_order(running: System) -> None:
    children = [running.processes._children[name] for name in ("api", "worker", "scheduler")]
    running.processes.stop()
    ends = [child.returncode for child in children]
    assert ends == [0, 0, 0], "killed for taking too long, or by a signal before it had said all it knew"
    assert rows("select 1 from worker_processes") == []
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{running.url}/healthz", timeout=1)
