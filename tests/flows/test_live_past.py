"""Who reads a long past holds up nobody who listens now."""

import threading
import time
from contextlib import ExitStack
from uuid import UUID

import httpx

from models.credits import ledger
from models.db import transaction
from tests.listening import Listening
from tests.support import System, account, ended, key_of, one

EVENTS = 60_000


def long_past(who: UUID) -> None:
    """Many more events of an account."""
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        conn.execute(
            """insert into events (account_id, number, type, data)
               select id, event_number + n, 'announcement', '{}' from accounts, generate_series(1, %s) n where id = %s""",
            [EVENTS, who],
        )
        conn.execute("update accounts set event_number = event_number + %s where id = %s", [EVENTS, who])


def test_the_stream_of_an_old_job_reads_its_own_events_and_no_others(system: System) -> None:
    system.start("api", "worker", "scheduler")
    busy, other = account(amount=20), account()
    with ExitStack() as stack:
        http = stack.enter_context(system.client(busy))
        begin = one("select event_number from accounts where id = %s", busy)[0]
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "a lake"}}).json()["id"]
        ended(http, job)
        end = one("select event_number from accounts where id = %s", busy)[0]
        long_past(busy)
        headers = {"authorization": f"Bearer {key_of(busy)}", "accept": "text/event-stream"}
        url = f"{system.url}/v1/jobs/{job}/events"
        # What it says: nothing after its end, its own events after an earlier number, and a reset for what never was.
        assert httpx.get(url, headers=headers, params={"after": end}).status_code == 204
        with Listening(url, {"authorization": headers["authorization"]}, after=begin, again=False) as heard:
            assert heard.over.wait(5)
        assert heard.kinds() == ["job.queued", "job.output", "job.succeeded"]
        assert heard.numbers() == [begin + 1, begin + 2, begin + 3]

        over = threading.Event()
        asked: list[int] = []

        def ask() -> None:
            with httpx.Client(headers=headers, timeout=30) as each:
                while not over.is_set():
                    asked.append(each.get(url, params={"after": end - 1}).status_code)
                    each.get(f"{system.url}/v1/events", params={"after": begin}, headers={"accept": "*/*"})

        threads = [threading.Thread(target=ask) for _ in range(12)]
        there = stack.enter_context(Listening(f"{system.url}/v1/events", {"authorization": f"Bearer {key_of(other)}"}))
        for thread in threads:
            thread.start()
        delays = []
        for number in range(15):
            with transaction() as conn:
                ledger.grant(conn, other, kind="gift", amount=1, ref=str(number))
            told = time.monotonic()
            while len(there.numbers()) <= number:
                assert time.monotonic() - told < 10
                time.sleep(0.002)
            delays.append(time.monotonic() - told)
        over.set()
        for thread in threads:
            thread.join()
        print(f"\nanother's event, while {len(asked)} old streams were asked for: max {max(delays) * 1000:.0f} ms")
        assert set(asked) == {200}
        assert sorted(delays)[len(delays) // 2] < 0.5
